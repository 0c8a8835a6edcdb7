"""`folds=all`; a script that ends as asked stands in for training, test_sweep.py has the real one."""

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from fer.errors import ConfigError, RunError
from fer.runs.status import read_status
from fer.sweeps import job
from fer.sweeps.folds import is_run_of_folds, train_folds

RUN = """
import sys
from pathlib import Path
given = dict(a.partition("=")[::2] for a in sys.argv[1:])
folder = Path(given["hydra.run.dir"].strip("'"))
(folder / "seen.txt").write_text(" ".join(sys.argv[1:]))
if given["data.fold"] in given.get("fails", ""):
    sys.exit("error: this fold fails")
(folder / "metrics.json").write_text('{"val/accuracy": 0.5, "test/accuracy": 0.4}')
"""


@pytest.fixture(autouse=True)
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.py").write_text(RUN)
    monkeypatch.setattr(job, "TRAIN", tmp_path / "run.py")


def test_only_data_with_folds_is_trained_fold_by_fold(tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    assert not is_run_of_folds(tiny_config(), tmp_path)
    assert not is_run_of_folds(tiny_config("data=ckplus"), tmp_path)
    assert is_run_of_folds(tiny_config("data=ckplus", "folds=all"), tmp_path)
    official = tiny_config("folds=all")
    assert not is_run_of_folds(official, tmp_path)
    assert official.folds is None  # an ordinary run, and its config says so
    with pytest.raises(ConfigError, match=r"data\.fold=3"):
        is_run_of_folds(tiny_config("folds=3"), tmp_path)


def test_a_fold_that_fails_leaves_the_others_and_is_named_and_the_rest_is_resumed(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    said = ["data=ckplus", "folds=all", "data.folds=3", "seed=7"]
    with pytest.raises(RunError, match=r"1 of 3 folds failed: fold1: this fold fails \(see .*output\.log\)") as raised:
        train_folds(tiny_config(*said), folder, [*said, "fails=1"])
    assert f"resume={folder}" in str(raised.value)
    states = [read_status(folder / f"fold{fold}") for fold in range(3)]
    assert [status and status.state for status in states] == ["finished", "failed", "finished"]
    assert not (folder / "metrics.json").exists()
    seen = (folder / "fold1" / "seen.txt").read_text().split()
    assert {"seed=7", "folds=null", "data.fold=1", "hydra.mode=RUN"} <= set(seen)
    assert "folds=all" not in seen

    (folder / "fold0" / "seen.txt").unlink()
    resumed = tiny_config(f"resume={folder}")
    assert is_run_of_folds(resumed, folder)
    with pytest.raises(RunError, match="1 of 3 folds failed: fold1"):
        train_folds(resumed, folder, [f"resume={folder}"])
    assert not (folder / "fold0" / "seen.txt").exists()  # was finished
    assert "seed=7" in (folder / "fold1" / "seen.txt").read_text()  # as the run was begun
    assert read_status(folder / "fold1").attempts == 2
    assert json.loads((folder / "overrides.json").read_text()) == ["data=ckplus", "data.folds=3", "seed=7", "fails=1"]


def test_folds_that_fail_alike_are_told_together(tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    said = ["data=ckplus", "folds=all", "data.folds=3"]
    together = r"2 of 3 folds failed: fold0, fold2: this fold fails \(see .*fold0/output\.log\);"
    with pytest.raises(RunError, match=together):
        train_folds(tiny_config(*said), tmp_path / "run", [*said, "fails=02"])


def test_what_fails_the_first_two_folds_alike_is_not_tried_on_the_others(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    said = ["data=ckplus", "folds=all", "data.folds=9"]
    with pytest.raises(
        RunError, match=r"2 of 9 folds failed: fold0, fold1: .*; the other 7 were not tried; resume with: "
    ):
        train_folds(tiny_config(*said), tmp_path / "run", [*said, "fails=012345678"])
    assert not (tmp_path / "run" / "fold2").exists()
    (tmp_path / "run.py").write_text(RUN.replace('given.get("fails", "")', '""'))
    with suppress(RunError):  # pooling wants predictions, which the stand-in does not make
        train_folds(tiny_config(f"resume={tmp_path / 'run'}"), tmp_path / "run", [f"resume={tmp_path / 'run'}"])
    assert all((tmp_path / "run" / f"fold{fold}" / "metrics.json").exists() for fold in range(9))


def test_folds_of_other_settings_are_not_pooled(tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    said = ["data=ckplus", "folds=all", "data.folds=3"]
    begun = tiny_config(*said, "optimizer.lr=0.1", "data.fold=1")
    for name, finished in (("finished", True), ("stopped", False)):
        fold = tmp_path / name / "fold1"
        fold.mkdir(parents=True)
        (fold / "config.yaml").write_text(OmegaConf.to_yaml(begun, resolve=True))
        if finished:
            (fold / "metrics.json").write_text('{"val/accuracy": 0.5}')
        else:
            (fold / "checkpoints").mkdir()
            (fold / "checkpoints" / "last.ckpt").touch()
        with pytest.raises(RunError, match=r"fold1 was trained with other settings: optimizer\.lr=0\.02 \(was 0\.1\)"):
            train_folds(tiny_config(*said, "optimizer.lr=0.02"), tmp_path / name, [*said, "optimizer.lr=0.02"])
        assert not (tmp_path / name / "fold0").exists()
    folder = tmp_path / "stopped"
    early = tmp_path / "early" / "fold1"  # failed before it had learned anything: a mended command goes on
    early.mkdir(parents=True)
    (early / "config.yaml").write_text(OmegaConf.to_yaml(begun, resolve=True))
    with suppress(RunError):
        train_folds(tiny_config(*said, "optimizer.lr=0.02"), tmp_path / "early", [*said, "optimizer.lr=0.02"])
    assert (early / "metrics.json").exists()
    with suppress(RunError):  # pooling wants predictions, which the stand-in does not make
        train_folds(tiny_config(*said, "optimizer.lr=0.1"), folder, [*said, "optimizer.lr=0.1"])
    again = [f"resume={folder}", "optimizer.lr=0.02"]
    with pytest.raises(RunError, match=r"was trained with other settings: optimizer\.lr=0\.02"):
        train_folds(tiny_config(*again), folder, again)
    longer = [f"resume={folder}", "trainer.max_epochs=99"]
    with pytest.raises(RunError, match=r"trainer\.max_epochs=99"):  # what is finished does not last longer
        train_folds(tiny_config(*longer), folder, longer)


def test_folds_are_trained_from_the_configs_that_were_asked_for(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    said, folder = ["data=ckplus", "folds=all", "data.folds=2", "fails=01"], tmp_path / "run"
    option = f"--config-dir={tmp_path}"
    with pytest.raises(RunError):
        train_folds(tiny_config(*said[:3]), folder, said, [option])
    again = [f"resume={folder}"]
    with pytest.raises(RunError):
        train_folds(tiny_config(*again), folder, again)
    for fold in range(2):
        assert option in (folder / f"fold{fold}" / "seen.txt").read_text().split()
        assert read_status(folder / f"fold{fold}").attempts == 2


def test_what_a_resume_changed_holds_for_the_next(tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    said, folder = ["data=ckplus", "folds=all", "data.folds=2", "trainer.max_epochs=3"], tmp_path / "run"
    (tmp_path / "run.py").write_text(RUN.replace('given.get("fails", "")', '"01"'))
    with pytest.raises(RunError, match="this fold fails"):
        train_folds(tiny_config(*said), folder, said)
    longer = [f"resume={folder}", "trainer.max_epochs=9"]
    with pytest.raises(RunError, match="this fold fails"):
        train_folds(tiny_config(*longer), folder, longer)
    assert OmegaConf.load(folder / "config.yaml").trainer.max_epochs == 9
    for group, told in (("trainer=cpu", "this fold fails"), ("data=demo", "only single values")):
        with pytest.raises(RunError, match=told):  # a trainer may be another: its device alone is taken from it
            train_folds(tiny_config(f"resume={folder}", group), folder, [f"resume={folder}", group])
        assert OmegaConf.load(folder / "config.yaml").trainer.max_epochs == 9
    (tmp_path / "run.py").write_text(RUN)
    with suppress(RunError):  # pooling wants predictions, which the stand-in does not make
        train_folds(tiny_config(f"resume={folder}"), folder, [f"resume={folder}"])
    for fold in range(2):
        assert "trainer.max_epochs=9" in (folder / f"fold{fold}" / "seen.txt").read_text().split()


def test_a_finished_run_is_not_begun_anew(tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(RunError, match="finished already"):
        train_folds(tiny_config("data=ckplus", "folds=all"), tmp_path, [])
