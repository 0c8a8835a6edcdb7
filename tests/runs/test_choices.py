"""What a run was started with is recorded, and saying it again is no contradiction."""

from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from fer.errors import RunError
from fer.runs.choices import Choices
from fer.runs.folder import RunFolder
from fer.runs.resume import check_resume, resumed_config
from tests.composing import composed

STARTED = ["experiment=demo", "model=resnet34", "freeze=partial", "optimizer.lr=1e-3", "seed=3"]
GROUPS = {"experiment": "demo", "model": "resnet34", "data": "demo", "freeze": "partial", "augment": "light"}


def resuming(run: RunFolder, *overrides: str) -> DictConfig:
    cfg = composed("train", *overrides)
    cfg.resume = str(run)
    return cfg


@pytest.fixture(params=["recorded", "an older run"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.write_config(composed("train", *STARTED))
    if request.param == "recorded":
        folder.write_choices(Choices.of_command({**GROUPS, "hydra/launcher": "basic", "sweep": None}, STARTED))
    folder.checkpoints.mkdir()
    folder.last_checkpoint.touch()
    return folder


@pytest.mark.parametrize(
    "again",
    [
        [],
        STARTED,
        ["model=resnet34"],
        ["freeze=partial", "trainer.max_epochs=9"],
        ["seed=3"],
        ["experiment=demo", *STARTED],
    ],
)
def test_the_very_choices_of_a_run_are_no_contradiction(again: list[str], run: RunFolder) -> None:
    if again == ["model=resnet34"] and run.read_choices() is None:
        pytest.skip("nothing says whether the weights of an older run were those of its model")
    command = [*again, f"resume={run}"]
    cfg = resuming(run, *again)
    check_resume(cfg, run, command)
    wanted = resumed_config(cfg, run, command)
    assert wanted.model.backbone.startswith("resnet34")
    assert wanted.optimizer.lr == 1e-3
    assert wanted.trainer.max_epochs == (9 if "trainer.max_epochs=9" in again else 5)


@pytest.mark.parametrize(
    ("other", "says"),
    [("model=resnet50", "keeps its model"), ("freeze=none", "keeps its freeze"), ("seed=4", "keeps its seed"),
     ("experiment=finetune", "keeps its experiment"), ("optimizer.lr=1", "optimizer.lr=1 ")],
)  # fmt: skip
def test_other_choices_are(other: str, says: str, run: RunFolder) -> None:
    command = [other, f"resume={run}"]
    with pytest.raises(RunError, match=says):
        check_resume(resuming(run, other), run, command)


def test_choices_are_read_as_they_were_written(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.read_choices() is None
    choices = Choices.of_command({**GROUPS, "hydra/sweeper": "grid", "sweep": None}, [*STARTED, "hydra.run.dir=a"])
    run.write_choices(choices)
    assert run.read_choices() == choices == Choices(GROUPS, tuple(STARTED))
    later = choices.resumed_with(Choices(GROUPS, ("optimizer.lr=1e-4", "trainer.max_epochs=9")))
    assert set(later.overrides) == {*STARTED[:3], "seed=3", "optimizer.lr=1e-4", "trainer.max_epochs=9"}
    run.choices_file.write_text("[]")
    with pytest.raises(RunError, match=r"choices\.json cannot be read"):
        run.read_choices()


def test_a_config_holds_no_choices() -> None:
    assert "choices" not in OmegaConf.to_container(composed("train", "experiment=demo"))
