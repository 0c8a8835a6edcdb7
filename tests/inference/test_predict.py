"""The command on folders of pictures, good and hostile."""

import csv
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from fer.cli.app import CONF
from fer.errors import CheckpointError, ConfigError, DataError, RunError
from fer.files import write_json
from fer.inference.annotate import copy_name
from fer.inference.inputs import Options, list_inputs
from fer.inference.predict import UNFINISHED, predict, predict_pictures
from fer.inference.predictor import EmotionClassifier
from fer.inference.results import FACES_FILE
from fer.inference.stream import stream
from fer.runs.folder import RunFolder

Put = Callable[..., np.ndarray]
Table = list[dict[str, str]]


def table_of(folder: Path) -> Table:
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def photographs(tmp_path: Path, seen_faces: list[np.ndarray], put_faces: Put) -> Path:
    """Two faces, none, and a face cut out already, in colour, in a folder with a folder."""
    folder = tmp_path / "photographs"
    (folder / "more").mkdir(parents=True)
    both = put_faces([(seen_faces[0], 20, 30), (seen_faces[1], 360, 120)])
    Image.fromarray(both).convert("RGB").save(folder / "a.jpg", quality=95)
    Image.fromarray(np.full((200, 300), 90, np.uint8)).save(folder / "b.png")
    Image.fromarray(seen_faces[2]).resize((48, 48)).save(folder / "more" / "c.png")
    return folder


def test_a_folder_becomes_a_table_and_pictures(trained_run: Path, photographs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (summary,) = predict(trained_run, str(photographs), folder, device="cpu")
    assert (summary.pictures, summary.faces, summary.faceless, summary.skipped) == (3, 3, 1, [])
    rows = table_of(folder)
    assert [Path(row["picture"]).name for row in rows] == ["a.jpg", "a.jpg", "b.png", "c.png"]
    assert [row["face"] for row in rows] == ["1", "2", "", "1"]
    assert rows[2]["emotion"] == "no face"
    assert rows[2]["happy"] == rows[2]["probability"] == rows[2]["width"] == ""
    assert rows[3]["x"] == ""
    classes = EmotionClassifier.load(trained_run).classes
    for row in (rows[0], rows[1], rows[3]):
        shares = {name: float(row[name]) for name in classes}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
        assert row["emotion"] == max(shares, key=lambda name: shares[name])
        assert float(row["probability"]) == max(shares.values())
    assert abs(int(rows[0]["width"]) - 160) < 60
    assert sorted(os.listdir(folder / "annotated")) == ["00001_a.jpg", "00002_b.jpg", "00003_c.jpg"]
    assert Image.open(folder / "annotated" / "00001_a.jpg").size == (560, 360)
    assert Image.open(folder / "contact_sheet.png").width > 300
    with pytest.raises(RunError, match="holds predictions already"):
        predict(trained_run, str(photographs), folder)


def test_pictures_are_optional(trained_run: Path, photographs: Path, tmp_path: Path) -> None:
    options = Options(annotate=False, contact_sheet=False, page=False)
    predict(trained_run, str(photographs), tmp_path / "out", options, device="cpu")
    assert sorted(os.listdir(tmp_path / "out")) == ["predictions.csv", "results.json"]


def test_a_page_and_json_say_what_the_table_says(
    classifier: EmotionClassifier, photographs: Path, tmp_path: Path
) -> None:
    (photographs / "<b>.jpg").write_text("no picture")
    paths = sorted(str(path) for path in photographs.rglob("*.*"))
    predict_pictures(classifier, paths, tmp_path / "out", Options(contact_sheet=False))
    items = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    assert items["classes"] == classifier.classes
    assert [item["picture"] for item in items["pictures"]] == paths
    faces = [face for item in items["pictures"] for face in item.get("faces", [])]
    rows = [row for row in table_of(tmp_path / "out") if row["face"]]
    assert [face["emotion"] for face in faces] == [row["emotion"] for row in rows]
    assert [face["probability"] for face in faces] == pytest.approx(
        [float(row["probability"]) for row in rows], abs=1e-5
    )
    assert [face["face_score"] for face in faces if face["box"]] == [
        float(row["face_score"]) for row in rows if row["x"]
    ]
    assert [item["error"] for item in items["pictures"] if "error" in item] == ["not an image"]
    page = (tmp_path / "out" / "results.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 3
    assert page.count('class="bar"') == len(faces) * len(classifier.classes)
    assert "no face" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_command_and_python_agree(classifier: EmotionClassifier, photographs: Path, tmp_path: Path) -> None:
    paths = sorted(str(path) for path in photographs.rglob("*.*"))
    predict_pictures(classifier, paths, tmp_path / "out", Options(batch_size=2, annotate=False, contact_sheet=False))
    told = [float(row["probability"]) for row in table_of(tmp_path / "out") if row["face"]]
    known = [face.probability for faces in classifier.predict(paths) for face in faces]
    assert told == pytest.approx(known, abs=1e-5)


def test_bad_files_are_named_skipped_and_counted(
    classifier: EmotionClassifier, photographs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (photographs / "a.jpg").read_bytes()
    (photographs / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    with zipfile.ZipFile(photographs / "zip.jpg", "w") as archive:
        archive.writestr("a", "b")
    (photographs / "empty.png").touch()
    os.mkfifo(photographs / "pipe.png")
    (photographs / "circle.png").symlink_to("circle.png")
    (summary,) = predict(classifier_path(classifier, photographs), str(photographs), tmp_path / "o", device="cpu")
    assert summary.pictures == 3
    with (tmp_path / "o" / "skipped.csv").open() as file:
        skipped = {Path(row["picture"]).name: row["reason"] for row in csv.DictReader(file)}
    assert set(skipped) == {"cut.jpg", "zip.jpg", "empty.png", "pipe.png", "circle.png"}
    assert skipped["zip.jpg"] == skipped["empty.png"] == "not an image"
    assert "truncated" in skipped["cut.jpg"].lower()
    assert "cut.jpg" in caplog.text


def test_names_of_any_kind_keep_the_table_whole(
    classifier: EmotionClassifier, tmp_path: Path, seen_faces: list[np.ndarray]
) -> None:
    names = ["new\nline.png", 'quo"te,s.png', "<img src=x onerror=alert(1)>.png", "=1+1.png", "..png", "é笑😀.png"]
    names += ["a" * 250 + ".png"]
    folder = tmp_path / "in"
    folder.mkdir()
    for name in names:
        Image.fromarray(seen_faces[0]).save(folder / name, "PNG")
    raw = os.fsencode(folder) + b"/bytes\xff.png"
    Image.fromarray(seen_faces[0]).save(os.fsdecode(raw), "PNG")
    paths = [*(str(folder / name) for name in names), os.fsdecode(raw)]
    summary = predict_pictures(classifier, paths, tmp_path / "out")
    assert summary.pictures == len(paths)
    told = [os.path.basename(row["picture"]) for row in table_of(tmp_path / "out")]
    assert told == [*names, "bytes\\udcff.png"]
    assert len(os.listdir(tmp_path / "out" / "annotated")) == len(paths)
    assert {path.parent for path in (tmp_path / "out").rglob("*.jpg")} == {tmp_path / "out" / "annotated"}


def test_copies_cannot_leave_their_folder() -> None:
    assert copy_name(7, "../../../etc/passwd") == "00007_passwd.jpg"
    assert copy_name(8, "..") == "00008_...jpg"
    assert copy_name(9, "笑.png") == "00009.jpg"


def test_when_nothing_can_be_read_that_is_an_error(classifier: EmotionClassifier, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"none of the 2 pictures can be read; the first, .*a\.png': not an image"):
        predict_pictures(classifier, [str(tmp_path / "a.png"), str(tmp_path / "gone.png")], tmp_path / "out")
    assert not (tmp_path / "out" / "predictions.csv").exists()
    assert len((tmp_path / "out" / "skipped.csv").read_text().splitlines()) == 3


def test_no_face_at_all_is_an_answer(classifier: EmotionClassifier, tmp_path: Path) -> None:
    Image.fromarray(np.full((200, 300), 90, np.uint8)).save(tmp_path / "wall.png")
    summary = predict_pictures(classifier, [str(tmp_path / "wall.png")], tmp_path / "out")
    assert (summary.pictures, summary.faces, summary.faceless) == (1, 0, 1)
    assert not (tmp_path / "out" / "contact_sheet.png").exists()


def test_a_face_of_eight_pixels_is_still_a_face(classifier: EmotionClassifier, tmp_path: Path) -> None:
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "tiny.png")
    assert predict_pictures(classifier, [str(tmp_path / "tiny.png")], tmp_path / "out").faces == 1
    assert max(Image.open(next((tmp_path / "out" / "annotated").iterdir())).size) >= 320


def test_sheets_have_pages(classifier: EmotionClassifier, tmp_path: Path, seen_faces: list[np.ndarray]) -> None:
    Image.fromarray(seen_faces[0]).resize((48, 48)).save(tmp_path / "a.png")
    predict_pictures(classifier, [str(tmp_path / "a.png")] * 101, tmp_path / "out", Options(annotate=False))
    assert sorted(path.name for path in (tmp_path / "out").glob("*.png")) == [
        "contact_sheet.png",
        "contact_sheet_2.png",
    ]


def test_options_that_cannot_work_are_one_line(trained_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="input=PATH"):
        predict(trained_run, None, tmp_path)
    with pytest.raises(ConfigError, match="faces=some"):
        predict(trained_run, "x", tmp_path, Options(faces="some"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="batch_size=0"):
        predict(trained_run, "x", tmp_path, Options(batch_size=0))
    with pytest.raises(DataError, match="there is no"):
        predict(trained_run, str(tmp_path / "gone"), tmp_path)
    with pytest.raises(DataError, match="there is no"):
        predict(trained_run, str(tmp_path / "gone.mp4"), tmp_path)


def test_pictures_come_back_in_order_with_their_own_faces(classifier: EmotionClassifier, photographs: Path) -> None:
    paths = sorted(str(path) for path in photographs.rglob("*.*")) * 5
    paths.insert(3, "gone.png")
    seen = list(stream(classifier, paths, batch_size=3, workers=3))
    assert [one.path for one in seen] == paths
    assert [bool(one.error) for one in seen] == [path == "gone.png" for path in paths]
    assert all(len(one.predictions) == (2 if one.path.endswith("a.jpg") else "c.png" in one.path) for one in seen)


def test_a_network_of_ones_own_predicts(classifier: EmotionClassifier, photographs: Path, tmp_path: Path) -> None:
    checkpoint = classifier_path(classifier, photographs, builder="timm.create_model")
    with pytest.raises(CheckpointError, match="build that network and pass it in"):
        predict(checkpoint, str(photographs), tmp_path / "none", device="cpu")
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("predict", ["+model._target_=timm.create_model", "+model.model_name=test_resnet"])
    predict(checkpoint, str(photographs), tmp_path / "own", device="cpu", own_network=cfg.get("model"))
    known = predict_pictures(classifier, sorted(map(str, photographs.rglob("*.*"))), tmp_path / "known")
    rows, expected = (table_of(tmp_path / name) for name in ("own", "known"))
    assert known.pictures == 3
    assert [row["emotion"] for row in rows] == [row["emotion"] for row in expected]


def classifier_path(classifier: EmotionClassifier, near: Path, builder: str | None = None) -> Path:
    """A checkpoint of a classifier, beside some data; `builder` is what its network is said to be built by."""
    import torch

    model = classifier.model
    checkpoint: dict = {"state_dict": model.state_dict(), "fer": model.facts()}
    if builder is not None:
        checkpoint["fer"]["network"] = {"_target_": builder, "model_name": "test_resnet"}
    torch.save(checkpoint, near.parent / "model.ckpt")
    return near.parent / "model.ckpt"


def test_a_stopped_prediction_goes_on_by_the_same_command(trained_run: Path, photographs: Path, tmp_path: Path) -> None:
    """As a SIGKILL leaves it: tables that were done, and the file that says what was asked."""
    out, options = tmp_path / "out", Options(annotate=False, contact_sheet=False, page=False)
    predict(trained_run, str(photographs), out, options, device="cpu")
    whole = (out / FACES_FILE).read_bytes()
    with pytest.raises(RunError, match="holds predictions already"):
        predict(trained_run, str(photographs), out, options, device="cpu")
    asked = {"checkpoint": str(trained_run), "inputs": list_inputs(str(photographs)).pictures, **asdict(options)}
    write_json(out / UNFINISHED, asked | {"inputs": ["another.jpg"]})
    with pytest.raises(RunError, match="holds predictions already"):
        predict(trained_run, str(photographs), out, options, device="cpu")
    write_json(out / UNFINISHED, asked)
    (out / f".{FACES_FILE}.abcd_123").touch()
    predict(trained_run, str(photographs), out, options, device="cpu")
    assert (out / FACES_FILE).read_bytes() == whole
    assert sorted(os.listdir(out)) == ["predictions.csv", "results.json"]


def test_two_predictions_do_not_share_a_folder(trained_run: Path, photographs: Path, tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path / "out").only_writer(),
        pytest.raises(RunError, match=r"written by another prediction.*give another output"),
    ):
        predict(trained_run, str(photographs), tmp_path / "out", device="cpu")
