"""Names of files as people have them, and the table of keys."""

from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from fer.cli.app import CONF
from fer.cli.arguments import path_value, understood
from fer.config.check import check_config, leaves
from fer.config.keys import EXPORTS, KEYS, METRICS, OF_COMMAND, SHIPPED, rule_of, rules_of
from fer.config.signatures import parameters_of
from tests.composing import composed

COMMANDS = sorted(path.stem for path in CONF.glob("*.yaml"))
NAMES = [
    "my photo.jpg", "a=b.jpg", "a,b.jpg", "[a].jpg", "(a).jpg", "{a}.jpg", "~a.jpg", "Bärbel Müße.jpg", "it's.jpg",
    "ends\\", 'a"b.jpg', "a\\b.jpg", "a\\'b.jpg", "123",
    "1e3", "true", "a:b.jpg", "日本.jpg", "a&b;c.jpg", " a .jpg", "a#b.jpg",
]  # fmt: skip


def parsed(override: str) -> object:
    return OverridesParser.create().parse_override(override).value()


@pytest.mark.parametrize("name", NAMES)
def test_any_file_that_exists_is_taken_as_it_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).touch()
    [word] = understood([f"input={name}"], "predict", CONF)
    value = parsed(word)
    assert str(getattr(value, "text", value)) == name
    assert composed("predict", word).input == name


def test_a_file_named_like_an_interpolation_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("${x}.jpg").touch()
    [word] = understood(["input=${x}.jpg"], "predict", CONF)
    assert composed("predict", word).input == "${x}.jpg"


@pytest.mark.parametrize("name", ["my photo.jpg", "a=b.jpg", "[a.jpg", "Bärbel.jpg", "0", "2026", "1e5"])
def test_a_file_that_does_not_exist_keeps_its_name(name: str) -> None:
    value = parsed(f"input={path_value(name)}")
    assert str(getattr(value, "text", value)) == name


def test_lists_and_sweeps_of_files_stay_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert path_value("outputs/A,outputs/B") == "outputs/A,outputs/B"
    assert path_value("[outputs/A,outputs/B]") == "[outputs/A,outputs/B]"
    assert path_value("'a b'") == "'a b'"
    assert (
        path_value("[ä.jpg,b c.jpg]") == "['ä.jpg','b c.jpg']" or path_value("[ä.jpg,b c.jpg]") == "['ä.jpg',b c.jpg]"
    )
    assert path_value("null") == "null"


def test_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert path_value("~/photos") == f"{tmp_path}/photos"
    (tmp_path / "my photos").mkdir()
    assert path_value("~/my photos") == f"'{tmp_path}/my photos'"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_key_has_a_rule_and_its_default_obeys(command: str) -> None:
    choices = ["callbacks=early_stopping"] if command in ("train", "benchmark") else []
    content = OmegaConf.to_container(composed(command, *choices), throw_on_missing=False)
    rules = rules_of(command)
    for key, value in leaves(content):
        if key.rpartition(".")[2].startswith("_") or value in ("???", {}):
            continue
        rule = rule_of(key, rules)
        assert rule is not None, f"{key} has no row in fer/config/keys.py"
        assert rule.accepts(value) or str(value).startswith("${"), f"{key}={value}: {rule.words}"


def test_rows_of_the_table_are_of_keys_that_there_are() -> None:
    """Others than those that are given with a plus, or by files of one's own."""
    text = "".join(path.read_text() for path in CONF.rglob("*.yaml"))
    added = {"trainer.max_steps", "optimizer.eps"}
    for key in [*KEYS, *(key for own in OF_COMMAND.values() for key in own)]:
        assert key in added or f"{key.rpartition('.')[2]}:" in text, key


def test_choices_are_those_of_the_code() -> None:
    from fer.data.datamodule import RESIDENCIES
    from fer.device import PRECISIONS, SHORT
    from fer.evaluation.predict_split import VIEWS
    from fer.export.formats import SUFFIXES
    from fer.models.network import STEMS
    from fer.models.shipped import SHA256

    rules = rules_of("evaluate")
    assert set(rules["trainer.precision"].choices) == {"auto", *PRECISIONS, *SHORT}
    assert rules["tta"].choices == tuple(VIEWS)
    assert set(KEYS["data.residency"].choices) == set(RESIDENCIES)
    assert set(KEYS["model.stem"].choices) == set(STEMS)
    assert set(EXPORTS) == set(SUFFIXES)
    assert "val/accuracy" in METRICS
    assert set(SHIPPED) == set(SHA256)


def test_own_classes_give_their_own_meaning_to_words(tmp_path: Path) -> None:
    cfg = composed("train", "model._target_=my_network.Net", "model.stem=16", "loss._target_=my.Loss", "loss.gamma=-1")
    check_config(cfg, "train")


def test_arguments_are_found_without_importing() -> None:
    assert "amsgrad" in (parameters_of("torch.optim.AdamW") or ())
    assert "batch_size" in (parameters_of("fer.data.datamodule.FERDataModule") or ())
    assert parameters_of("fer.training.trainer.build_trainer") is None  # takes what the Trainer takes
    assert parameters_of("nowhere.Nothing") is None
    assert "num_classes" in (parameters_of("torchmetrics.Metric") or ("num_classes",))
