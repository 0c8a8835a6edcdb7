"""What cannot be evaluated is said in one line, and nothing that a checkpoint or run names is run."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from evaluations import evaluated
from omegaconf import OmegaConf

from fer.errors import ConfigError, FERError


class Code:
    """What a pickle can make its reader do."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (Path.touch, (self.marker,))


def truncated(path: Path, run: Path) -> None:
    content = (run / "checkpoints" / "best.ckpt").read_bytes()
    path.write_bytes(content[: len(content) // 2])


def of_another_project(path: Path, run: Path) -> None:
    torch.save({"state_dict": {"fc.weight": torch.zeros(7, 512)}, "epoch": 3}, path)


def with_code(path: Path, run: Path) -> None:
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    torch.save({**checkpoint, "extra": Code(path.with_name("executed"))}, path)


def bare_pickle(path: Path, run: Path) -> None:
    path.write_bytes(pickle.dumps(Code(path.with_name("executed"))))


def of_no_numbers(path: Path, run: Path) -> None:
    checkpoint = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    checkpoint["state_dict"]["network.fc.bias"].fill_(float("nan"))
    torch.save(checkpoint, path)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path, run: None, "no checkpoint at"),
        (truncated, "damaged"),
        (of_another_project, "no checkpoint of this project"),
        (with_code, "never loaded"),
        (bare_pickle, "never loaded"),
        (of_no_numbers, "no numbers"),
    ],
)
def test_a_checkpoint_that_is_none_is_told_in_one_line(run, tmp_path, spoil, told):
    path = tmp_path / "model.ckpt"
    spoil(path, run)
    data = OmegaConf.load(run / "config.yaml").data
    with pytest.raises(FERError, match=told) as error:
        evaluated(f"checkpoint={path}", "data=fer2013", f"data.root={data.root}")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "executed").exists()


def test_a_run_folder_may_not_name_code_that_we_run(run, changed):
    folder = changed("hostile")
    config = OmegaConf.load(folder / "config.yaml")
    config.data = {"_target_": "pathlib.Path.touch", "self": str(folder / "executed"), "name": "fer2013"}
    OmegaConf.save(config, folder / "config.yaml")
    with pytest.raises(ConfigError, match="give data=NAME"):
        evaluated(f"checkpoint={folder}")
    assert not (folder / "executed").exists()


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ([], "give checkpoint=RUN_OR_CKPT"),
        (["checkpoint=RUN", "split=tests"], "split=tests: choose train, val, test, all"),
        (["checkpoint=RUN", "tta=flips"], "tta=flips: choose none, flip, tencrop"),
        (["checkpoint=[RUN,RUN/checkpoints/../]"], "two votes"),
        (["checkpoint=RUN", "device=gpus"], "device=gpus"),
        (["checkpoint=RUN", "data.classes=[happy,smug]"], "smug"),
    ],
)
def test_what_cannot_be_asked_is_told_in_one_line(run, overrides, told):
    with pytest.raises(ConfigError, match=told):
        evaluated(*(override.replace("RUN", str(run)) for override in overrides))
