"""Every YAML under conf/ composes, and what it names can be built: a new file is tested by existing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from fer.cli.app import CONF
from fer.config.check import check_config
from fer.data.datamodule import FERDataModule
from fer.errors import ConfigError
from fer.instantiate import build
from tests.composing import composed

GROUPS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra")
OPTIONS = sorted(
    (group, file.stem) for group in GROUPS for file in (CONF / group).glob("*.yaml") if not file.stem.startswith("_")
)
LIVE = {  # what the run adds
    "model": {"num_classes": 7, "in_chans": 1},
    "loss": {"class_counts": [5] * 7},
    "logger": {"folder": Path("run"), "save_dir": "run"},
}
WHOLE = ("experiment", "sweep")  # which choose of several groups
DATA = [option for group, option in OPTIONS if group == "data"]


def with_option(group: str, option: str) -> DictConfig:
    """A config with this option, and of each other group with the one of the same number: few are composed."""
    if group in WHOLE:
        return composed("train", f"{group}={option}")
    of_group = {name: [file for other, file in OPTIONS if other == name] for name in GROUPS if name not in WHOLE}
    number = of_group[group].index(option)
    return composed("train", *(f"{name}={each[number]}" for name, each in of_group.items() if number < len(each)))


@pytest.mark.parametrize(("group", "option"), OPTIONS, ids=lambda value: str(value))
def test_every_option_composes_is_accepted_and_builds(group: str, option: str) -> None:
    cfg = with_option(group, option)
    check_config(cfg, "train")
    if "weights" in cfg.model:  # nothing is downloaded
        cfg.model.weights = "none"
    OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    nodes = [(name, cfg[name]) for name in _built(group)]
    if group in ("callbacks", "logger"):
        nodes = [(group, node) for node in cfg[group].values()]
    for name, node in nodes:
        live: dict[str, Any] = LIVE.get(name, {})
        try:
            with torch.device("meta"):  # no weights are drawn
                built = build(node, name, **live)
        except ConfigError as error:
            missing = option == "gpu" and not torch.cuda.is_available()
            assert missing or (group == "logger" and isinstance(error.__cause__, ImportError)), error
            continue
        assert built is not None


RECIPE = ["optimizer", "rates", "scheduler", "freeze", "loss", "augment", "mix"]
SET_BY = [(file.stem, group) for file in (CONF / "experiment").glob("*.yaml") for group in RECIPE]


@pytest.mark.parametrize(("experiment", "group"), SET_BY, ids=lambda value: str(value))
def test_every_option_has_the_keys_that_an_experiment_sets(experiment: str, group: str) -> None:
    """Else `experiment=paper freeze=none` would fail on a key that is left behind."""
    left = set(OmegaConf.load(CONF / "experiment" / f"{experiment}.yaml").get(group, {}))
    for option in [option for name, option in OPTIONS if name == group] if left else []:
        assert left <= set(composed(f"{group}/{option}")[group]), option


def _built(group: str) -> list[str]:
    everything = ["data", "model", "optimizer", "rates", "scheduler", "freeze", "loss", "augment", "mix", "trainer"]
    return everything if group in WHOLE else [group]


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_command_composes(path: Path) -> None:
    assert composed(path.stem)


@pytest.mark.parametrize("option", DATA)
def test_the_fixed_keys_of_data_are_there(option: str) -> None:
    data = with_option("data", option).data
    assert {"source", "root", "image_size", "batch_size", "classes", "fold", "folds"} <= set(data)


def test_one_ckplus_pack_serves_three_class_sets() -> None:
    names = [name for name in DATA if name.startswith("ckplus")]
    modules = {name: build(composed("train", f"data={name}").data, "data") for name in names}
    assert {module.pack_name for module in modules.values()} == {"ckplus"}
    assert all(isinstance(module, FERDataModule) and module.folds == 10 for module in modules.values())
    assert "contempt" not in modules["ckplus"].default_classes
    assert "neutral" not in modules["ckplus_contempt"].default_classes
    assert len(modules["ckplus_all"].default_classes) == 8


def test_packs_live_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert composed("train").data.root == "data"
    monkeypatch.setenv("FER_DATA_DIR", "/elsewhere")
    assert composed("train").data.root == "/elsewhere"


def test_an_experiment_yields_to_the_command_line() -> None:
    cfg = composed("train", "experiment=demo", "trainer.max_epochs=1")
    assert cfg.trainer.max_epochs == 1
    assert cfg.model.weights == "none"
