"""Videos that were sent to the page: predicted one at a time, kept in a temporary folder until the program ends."""

import logging
import secrets
import shutil
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer.errors import FERError
from fer.inference.inputs import Options
from fer.inference.predictor import EmotionClassifier, FaceOutputs
from fer.inference.results import TIMELINE_FIGURE, TIMELINE_FILE
from fer.inference.video import predict_video
from fer.inference.video_copy import copy_suffix

MAX_SECONDS = 600.0  # of a video
MAX_KEPT = 3  # the oldest go
VIDEO = "video"  # the file as it was sent
KINDS = {
    f"annotated{copy_suffix()}": f"video/{copy_suffix()[1:]}",
    TIMELINE_FILE: "text/csv; charset=utf-8",
    TIMELINE_FIGURE: "image/png",
}


class TakesTurns(EmotionClassifier):
    """A classifier that shares its network with the page's pictures, batch by batch."""

    def __init__(self, classifier: EmotionClassifier, turn: threading.Lock) -> None:
        self.__dict__.update(classifier.__dict__)
        self.turn = turn

    def outputs(self, *args: Any, **kwargs: Any) -> FaceOutputs:
        with self.turn:
            return super().outputs(*args, **kwargs)


@dataclass
class Job:
    """A video, and how far it is."""

    folder: Path
    state: dict[str, Any] = field(default_factory=lambda: {"done": 0, "frames": 0})
    stop: threading.Event = field(default_factory=threading.Event)


class Videos:
    """Takes one video at a time.

    Args:
        classifier: of the faces.
        turn: is held while the network runs.
    """

    def __init__(self, classifier: EmotionClassifier, turn: threading.Lock) -> None:
        self.classifier = TakesTurns(classifier, turn)
        self.free, self._jobs = threading.BoundedSemaphore(1), dict[str, Job]()
        self._folder = tempfile.TemporaryDirectory(prefix="fer-page-", ignore_cleanup_errors=True)

    def new_folder(self) -> Path:
        """For the next video, whose file there is called VIDEO; `free` is held."""
        while len(self._jobs) >= MAX_KEPT:
            shutil.rmtree(self._jobs.pop(next(iter(self._jobs))).folder, ignore_errors=True)
        return Path(tempfile.mkdtemp(dir=self._folder.name))

    def start(self, folder: Path) -> str:
        """Predict the video in a folder in a thread, which frees the place; returns a name that nobody can guess."""
        name, job = secrets.token_urlsafe(16), Job(folder)
        self._jobs[name] = job
        threading.Thread(target=self._work, args=(job,), daemon=True).start()
        return name

    def state(self, name: str) -> dict[str, Any] | None:
        """`done` of `frames`, then `files`, or `error`; None where there is no such video."""
        job = self._jobs.get(name)
        return None if job is None else dict(job.state)

    def stop(self, name: str) -> bool:
        """End a video; its results until then follow. False where there is no such video."""
        job = self._jobs.get(name)
        if job is not None:
            job.stop.set()
        return job is not None

    def file(self, name: str, file: str) -> Path | None:
        """A result of a video that is done."""
        job = self._jobs.get(name)
        return job.folder / file if job is not None and file in job.state.get("files", ()) else None

    def close(self) -> None:
        self._folder.cleanup()

    def _work(self, job: Job) -> None:
        def tell(done: int, frames: int) -> None:
            job.state.update(done=done, frames=frames)

        try:
            options = Options(page=False, seconds=MAX_SECONDS)
            summary = predict_video(self.classifier, str(job.folder / VIDEO), job.folder, options, tell, job.stop)
            job.state.update(files=list(KINDS), done=summary.pictures, faces=summary.faces)
        except FERError as error:
            if job.stop.is_set():
                job.state["error"] = "Stopped before the first frame."
                return
            job.state["error"] = f"This video cannot be read: {str(error).replace(str(job.folder / VIDEO), 'it')}."
        except Exception:
            logging.getLogger(__name__).exception("a video failed")
            job.state["error"] = "Something went wrong; the terminal says what."
        finally:
            (job.folder / VIDEO).unlink(missing_ok=True)
            self.free.release()
