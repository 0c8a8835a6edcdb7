"""A run folder has one writer, is finished where its metrics are, and reads back what was written."""

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf

from fer.errors import RunError
from fer.runs.folder import RunFolder
from fer.runs.tables import Predictions

HOLD = """
import sys
from fer.errors import RunError
from fer.runs.folder import RunFolder
try:
    with RunFolder(sys.argv[1]).only_writer():
        print("held", flush=True)
        sys.stdin.readline()
except RunError as error:
    print(error, flush=True)
"""


class TestOnlyWriter:
    @staticmethod
    def other_process(folder: Path) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def test_a_second_process_is_refused_in_one_line(self, tmp_path: Path) -> None:
        with RunFolder(tmp_path / "run").only_writer():
            said, _ = self.other_process(tmp_path / "run").communicate("\n", timeout=30)
        assert len(said.splitlines()) == 1
        assert "another run" in said
        assert "hydra.run.dir" in said

    def test_a_second_writer_in_the_same_process_is_refused(self, tmp_path: Path) -> None:
        with RunFolder(tmp_path).only_writer(), pytest.raises(RunError), RunFolder(tmp_path).only_writer():
            pass

    @pytest.mark.parametrize("error", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
    def test_a_file_system_without_locks_is_no_obstacle(
        self, error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def refuse(*_: object) -> None:
            raise OSError(error, "No locks available")

        monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", refuse)
        with RunFolder(tmp_path / "run").only_writer():
            assert "has no locks" in caplog.text

    def test_a_lock_that_the_file_system_calls_a_deadlock_is_held_by_another(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise OSError(errno.EDEADLK, "Resource deadlock avoided")

        monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", refuse)
        with pytest.raises(RunError, match="is being written"), RunFolder(tmp_path / "run").only_writer():
            pass

    @pytest.mark.parametrize("end", ["normally", "killed"])
    def test_the_folder_is_free_once_its_writer_is_gone(self, tmp_path: Path, end: str) -> None:
        other = self.other_process(tmp_path)
        assert other.stdin is not None
        assert other.stdout is not None
        try:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(RunError), RunFolder(tmp_path).only_writer():
                pass
            if end == "killed":
                other.kill()
            else:
                other.stdin.write("\n")
                other.stdin.flush()
            other.wait(timeout=30)
            with RunFolder(tmp_path).only_writer():
                pass
        finally:
            other.kill()
            other.communicate()

    def test_an_error_inside_frees_the_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="inside"), RunFolder(tmp_path).only_writer():
            raise ValueError("inside")
        with RunFolder(tmp_path).only_writer():
            pass

    def test_two_folders_have_two_writers(self, tmp_path: Path) -> None:
        """As those of a sweep and of its jobs."""
        with RunFolder(tmp_path).only_writer(), RunFolder(tmp_path / "a").only_writer():
            assert (tmp_path / "a").is_dir()


def test_a_run_is_finished_where_its_metrics_are(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not folder.is_finished()
    folder.check_unfinished()
    folder.write_metrics({"test/accuracy": 0.5})
    assert folder.is_finished()
    assert folder.read_metrics() == {"test/accuracy": 0.5}
    with pytest.raises(RunError, match=r"finished already: metrics\.json"):
        folder.check_unfinished()


def test_a_checkpoint_tells_its_run(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.best_checkpoint == tmp_path / "checkpoints" / "best.ckpt"
    run = RunFolder.of_checkpoint(folder.last_checkpoint)
    assert run is not None
    assert run.path == tmp_path
    assert RunFolder.of_checkpoint(tmp_path / "best.ckpt") is None
    assert RunFolder.of_checkpoint(tmp_path / "checkpoints" / "a_run") is None


def test_folds_are_found_in_their_order(tmp_path: Path) -> None:
    for name in ("fold10", "fold9", "foldable", "figures"):
        (tmp_path / name).mkdir()
    (tmp_path / "fold1").touch()
    assert [fold.fold_number for fold in RunFolder(tmp_path).folds()] == [9, 10]
    assert RunFolder(tmp_path).fold(3).path == tmp_path / "fold3"


def predictions(subjects: list[str] | None = None, names: tuple[str, ...] = ("test/a,1.png", "b.png")) -> Predictions:
    return Predictions(
        classes=["angry", "happy"],
        names=np.array(names),
        labels=np.array(["angry", "happy"]),
        predicted=np.array(["angry", "angry"]),
        losses=np.array([0.123456789, 1e-9]),
        probabilities=np.array([[0.883875, 0.116125], [0.51, 0.49]]),
        subjects=None if subjects is None else np.array(subjects),
    )


class TestPredictions:
    def test_are_written_as_one_expects(self, tmp_path: Path) -> None:
        RunFolder(tmp_path).write_predictions(predictions(["S1", "S2"]))
        assert (tmp_path / "predictions.csv").read_text() == (
            "name,label,predicted,loss,angry,happy\n"
            '"test/a,1.png",angry,angry,0.123457,0.883875,0.116125\n'
            "b.png,happy,angry,1e-09,0.51,0.49\n"
        )
        assert (tmp_path / "subjects.csv").read_text() == 'name,subject\n"test/a,1.png",S1\nb.png,S2\n'

    @pytest.mark.parametrize("subjects", [None, ["S1", "S2"]])
    def test_are_read_as_they_were_written(self, subjects: list[str] | None, tmp_path: Path) -> None:
        written = predictions(subjects)
        RunFolder(tmp_path).write_predictions(written)
        read = RunFolder(tmp_path).read_predictions()
        assert read.classes == written.classes
        for name in ("names", "labels", "predicted", "probabilities"):
            assert getattr(read, name).tolist() == getattr(written, name).tolist()
        assert read.losses == pytest.approx(written.losses, rel=1e-5)
        assert (None if read.subjects is None else read.subjects.tolist()) == subjects
        assert read.indices(read.labels).tolist() == [0, 1]
        assert read.row_of["b.png"] == 1

    def test_of_ckplus_tell_their_subjects(self, tmp_path: Path) -> None:
        RunFolder(tmp_path).write_predictions(predictions(names=("S010_004_00000018.png", "x/S011_1.png")))
        assert RunFolder(tmp_path).read_predictions().subjects is None
        names = ("S010_004_00000018.png", "x/S011_004_00000018.png")
        RunFolder(tmp_path).write_predictions(predictions(names=names))
        assert list(RunFolder(tmp_path).read_predictions().subjects) == ["S010", "S011"]  # type: ignore[call-overload]

    @pytest.mark.parametrize(
        "content",
        [
            "",
            "name,label\na,b\n",
            "name,label,predicted,loss,happy\n",
            "name,label,predicted,loss,happy\na,happy,happy\n",
            "name,label,predicted,loss,happy\na,happy,happy,0,many\n",
            "name,label,predicted,loss,happy\n" + "a" * 200_000 + ",happy,happy,0,1\n",
            "name,label,predicted,loss,happy\n" + "a,happy,happy,0,1\n" * 2,
        ],
    )
    def test_of_another_form_are_refused_by_name(self, content: str, tmp_path: Path) -> None:
        (tmp_path / "predictions.csv").write_text(content)
        with pytest.raises(RunError, match=r"predictions\.csv cannot be read") as error:
            RunFolder(tmp_path).read_predictions()
        assert "\n" not in str(error.value)


def test_a_config_is_written_resolved(tmp_path: Path) -> None:
    RunFolder(tmp_path).write_config(OmegaConf.create({"seed": 3, "data": {"seed": "${seed}"}}))
    assert (tmp_path / "config.yaml").read_text() == "seed: 3\ndata:\n  seed: 3\n"
    assert RunFolder(tmp_path).read_config().data.seed == 3


def test_a_temperature_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.read_temperature() is None
    folder.write_calibration(1.5, "val", {"val/ece": 0.1, "val/ece_calibrated": 0.05, "val/accuracy": 0.7})
    assert folder.read_temperature() == 1.5
    text = folder.calibration_file.read_text()
    assert '"val/ece_calibrated": 0.05' in text
    assert "accuracy" not in text


def test_what_is_optional_is_empty_where_it_is_absent(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert (folder.read_subjects(), folder.read_overrides(), folder.read_found_lr()) == (None, None, None)
    assert folder.read_history() == {}


def test_overrides_folds_and_the_found_rate_are_read_as_they_were_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_overrides(["data=ckplus", "seed=1"])
    folder.write_folds([{"fold": 0, "temperature": None}, {"fold": 1, "temperature": 2.0}])
    folder.write_lr_find({"used": 0.01, "rates": [1.0]})
    assert folder.read_overrides() == ["data=ckplus", "seed=1"]
    assert folder.folds_file.read_text() == "fold,temperature\n0,\n1,2.0\n"
    assert folder.read_found_lr() == 0.01


@pytest.mark.parametrize(
    ("name", "content", "read"),
    [
        ("metrics.json", "[1]", RunFolder.read_metrics),
        ("metrics.json", "{", RunFolder.read_metrics),
        ("config.yaml", "a: [b", RunFolder.read_config),
        ("config.yaml", "- a", RunFolder.read_config),
        ("calibration.json", "{}", RunFolder.read_temperature),
        ("calibration.json", '{"temperature": -1}', RunFolder.read_temperature),
        ("calibration.json", '{"temperature": "hot"}', RunFolder.read_temperature),
        ("subjects.csv", "image,who\n", RunFolder.read_subjects),
        ("history.csv", "epoch,val/loss\nx,1\n", RunFolder.read_history),
        ("history.csv", "epoch,val/loss\n1\n", RunFolder.read_history),
        ("overrides.json", "3", RunFolder.read_overrides),
        ("lr_find.json", "{}", RunFolder.read_found_lr),
    ],
)
def test_a_damaged_file_is_named_in_one_line(
    name: str, content: str, read: Callable[[RunFolder], Any], tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(RunError) as error:
        read(RunFolder(tmp_path))
    assert f"{name} cannot be read" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("read", [RunFolder.read_config, RunFolder.read_metrics, RunFolder.read_predictions])
def test_an_absent_file_is_named(read: Callable[[RunFolder], Any], tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r" has no (config\.yaml|metrics\.json|predictions\.csv)"):
        read(RunFolder(tmp_path))


def test_nothing_heavy_is_imported() -> None:
    """Commands ask run folders before they answer `--help`."""
    code = (
        "import sys, fer.runs.folder; print([m for m in ('torch', 'numpy', 'lightning', 'timm') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
