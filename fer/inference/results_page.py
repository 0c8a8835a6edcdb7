"""`results.html`, one page with the pictures, their faces and probabilities; and `results.json`, for programs."""

import base64
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from PIL import Image

from fer.data.datasets import dataset
from fer.files import printable, replacing
from fer.inference.annotate import annotated, colour, contact_sheet, label
from fer.inference.predictor import EmotionClassifier, Prediction
from fer.inference.results import PAGE_FILE, RESULTS_FILE
from fer.inference.stream import PictureResult
from fer.reporting.render import render_html

MAX_SHOWN = 200  # pictures of the page: with more, browsers become slow
SHOWN_SIDE = 480  # pixels of their longer side
JPEG_QUALITY = 80
SHARES = tuple[str, float, str]  # a class, its probability, its colour


class JsonList:
    """A list within a JSON object, written item by item.

    Args:
        file: open for writing.
        facts: the rest of the object.
        name: of the list.
    """

    def __init__(self, file: IO[str], facts: Mapping[str, Any], name: str) -> None:
        self.file, self._empty = file, True
        head = json.dumps({**facts, name: []}, indent=1, ensure_ascii=False, allow_nan=False)
        file.write(head.removesuffix("]\n}"))

    def add(self, item: Mapping[str, Any]) -> None:
        self.file.write(("" if self._empty else ",") + "\n  " + json.dumps(item, ensure_ascii=False, allow_nan=False))
        self._empty = False

    def end(self) -> None:
        self.file.write("\n ]\n}\n")


@contextmanager
def results_json(folder: Path, facts: Mapping[str, Any], name: str) -> Iterator[JsonList]:
    """Write `results.json`; it is whole or absent.

    Args:
        folder: of the results.
        facts: of the model and the input, plain values.
        name: of the list that the items go into.
    """
    with replacing(folder / RESULTS_FILE) as file:
        items = JsonList(file, facts, name)
        yield items
        items.end()


def picture_item(result: PictureResult) -> dict[str, Any]:
    """What `results.json` holds of a picture."""
    if result.error:
        return {"picture": printable(result.path), "error": result.error}
    return {"picture": printable(result.path), "faces": [face_item(face) for face in result.predictions]}


def face_item(face: Prediction) -> dict[str, Any]:
    """The box in pixels, None if the whole picture is the face; and the calibrated probabilities."""
    box = face.box
    return {
        "emotion": face.emotion,
        "probability": round(face.probability, 6),
        "probabilities": {name: round(value, 6) for name, value in face.probabilities.items()},
        "box": None if box is None else [round(value, 1) for value in (box.left, box.top, box.side, box.side)],
        "face_score": None if box is None else round(box.score, 3),
        "novelty": None if face.novelty is None else round(face.novelty, 3),
    }


def model_facts(classifier: EmotionClassifier) -> dict[str, str]:
    """What the model was trained on, by the title of the data set: at the top of all results."""
    title = dataset(classifier.trained_on).title
    return {"trained on": title if title == classifier.trained_on else f"{title} ({classifier.trained_on})"}


class ResultsPage:
    """Collects the first pictures, and writes `results.html`."""

    def __init__(self) -> None:
        self.pictures: list[dict[str, Any]] = []
        self.left_out = 0

    def add(self, result: PictureResult) -> None:
        if len(self.pictures) == MAX_SHOWN:
            self.left_out += 1
            return
        faces = [{"label": label(face), "bars": bars(face.probabilities)} for face in result.predictions]
        self.pictures.append({"name": printable(result.path), "image": _shown(result), "faces": faces})

    def write(self, folder: Path, facts: Mapping[str, str], warning: str = "") -> None:
        """Write the page, with facts by their names, under a warning where there is one."""
        page = render_html(
            "results.html.j2",
            title="Emotions",
            facts=facts,
            warning=warning,
            pictures=self.pictures,
            left_out=self.left_out,
            figure=None,
            video=None,
        )
        with replacing(folder / PAGE_FILE) as file:
            file.write(page)


def write_video_page(
    folder: Path,
    facts: Mapping[str, str],
    figure: Path,
    faces: Sequence[Mapping[str, Any]],
    copy: Path | None,
    warning: str = "",
) -> None:
    """Write `results.html` of a video: its timeline, and for each face how often it showed each emotion.

    Args:
        folder: of the results.
        facts: by their names.
        figure: the timeline, a PNG.
        faces: `label` and `bars` of each.
        copy: the annotated video, which the page plays where both are in one folder; None without one.
        warning: at its top; empty for none.
    """
    pictures = [{"name": "", "image": None, "faces": faces}] if faces else []
    page = render_html(
        "results.html.j2",
        title="Emotions",
        facts=facts,
        warning=warning,
        pictures=pictures,
        left_out=0,
        figure=figure,
        video=copy and copy.name,
    )
    with replacing(folder / PAGE_FILE) as file:
        file.write(page)


def bars(shares: Mapping[str, float]) -> list[SHARES]:
    """The classes with their shares and colours, the largest first."""
    return [(name, share, colour(name)) for name, share in sorted(shares.items(), key=lambda item: -item[1])]


def _shown(result: PictureResult) -> str | None:
    """The annotated picture, or else its faces, as a data URI; None where there is neither."""
    if result.preview is not None:
        image = annotated(result.preview, result.predictions)
    elif result.framed is not None and len(result.framed.faces):
        captions = [label(face) for face in result.predictions[:10]]
        image = contact_sheet(list(result.framed.faces[:10]), captions, [""] * len(captions))
    else:
        return None
    image.thumbnail((SHOWN_SIDE, SHOWN_SIDE), Image.Resampling.BICUBIC)
    content = io.BytesIO()
    image.convert("RGB").save(content, "JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
