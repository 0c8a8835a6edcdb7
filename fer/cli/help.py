"""`--help`: each key as it is typed, with its comment in `conf/` and what it may be; the groups that apply."""

import re
import shutil
import string
import textwrap
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

from hydra._internal.hydra import Hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from fer.config.check import as_typed, leaves
from fer.config.keys import rule_of, rules_of
from fer.config.rules import FLAG, PATH, PATHS, TEXT

LINE = re.compile(r"(?P<indent> *)(?P<key>[\w/ ]+):(?P<value>[^#]*)(# (?P<comment>.*))?")
KEY_WIDTH = 34  # of the column of keys; longer ones have their comment in the next line
# Rules that a comment says already
SAID = {rule.words for plain in (FLAG, PATH, PATHS, TEXT) for rule in (plain, plain.or_null())}
HIDDEN = ("_target_", "_partial_")


def show_own_help(command: str, conf: Path) -> None:
    """Make Hydra print keys with comments where its templates say `$CONFIG`, and groups where `$APP_CONFIG_GROUPS`."""

    def get_help(self: Hydra, help_cfg: DictConfig, cfg: DictConfig, args_parser: ArgumentParser, resolve: bool) -> str:
        groups = list(group_lines(self, conf))
        keys = list(key_lines(cfg, command, conf))
        text = string.Template(help_cfg.template)
        return text.safe_substitute(APP_CONFIG_GROUPS="\n".join(groups) + "\n", CONFIG="\n".join(keys) + "\n")

    Hydra.get_help = get_help  # type: ignore[method-assign]


def group_lines(hydra: Hydra, conf: Path) -> Iterator[str]:
    """The groups of a command with their options, the chosen one first; files that are private to others are none."""
    for group, chosen in reversed(HydraConfig.get().runtime.choices.items()):  # Hydra has data and model last
        if group.startswith("hydra") or not (conf / group).is_dir():
            continue
        options = sorted(
            option for option in hydra.config_loader.get_group_options(group) if not option.startswith("_")
        )
        default = f" (default: {chosen})" if chosen in options else ""
        yield from _wrapped(f"{group}=", f"{', '.join(options)}{default}")


def key_lines(cfg: DictConfig, command: str, conf: Path) -> Iterator[str]:
    """`key=value`, its comment, what it may be."""
    rules, comments = rules_of(command), known_comments(command, conf)
    content = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(content, dict)
    part = None
    for key, value in leaves({str(name): node for name, node in content.items()}):
        if key.rpartition(".")[2] in HIDDEN or value == {}:
            continue
        if (first := key.partition(".")[0]) != part:
            if part is not None and "." in key:
                yield ""
            part = first
        rule = rule_of(key, rules)
        comment = comments.get(key, "").rstrip(".")
        words = "" if rule is None or (comment and rule.words in SAID) or rule.words in comment else rule.words
        shown = "" if value == "???" else as_typed(value)
        yield from _wrapped(f"{key}={shown}", "; ".join(filter(None, (comment, words))))


def known_comments(command: str, conf: Path) -> dict[str, str]:
    """Comments behind keys in the files of `conf/`, by key; those of the chosen options count before others."""
    choices = HydraConfig.get().runtime.choices if HydraConfig.initialized() else {}
    found: dict[str, str] = {}
    for group in sorted(path for path in conf.iterdir() if path.is_dir() and path.name != "hydra"):
        chosen = group / f"{choices.get(group.name)}.yaml"
        for file in sorted(group.glob("*.yaml"), key=lambda path: path != chosen):
            for key, comment in comments_in(file):
                found.setdefault(f"{group.name}.{key}", comment)
    for name in (command, "train"):
        if (conf / f"{name}.yaml").exists() and (name == command or command == "benchmark"):
            for key, comment in comments_in(conf / f"{name}.yaml"):
                found.setdefault(key, comment)
    return found


def comments_in(file: Path) -> Iterator[tuple[str, str]]:
    """Keys of a YAML file and the comments behind them."""
    path: list[tuple[int, str]] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        found = LINE.fullmatch(line)
        if found is None:
            continue
        indent = len(found["indent"])
        path = [(depth, key) for depth, key in path if depth < indent] + [(indent, found["key"].strip())]
        if found["comment"]:
            yield ".".join(key for _, key in path), found["comment"]


def _wrapped(start: str, text: str) -> Iterator[str]:
    """A line with a column for `start`, wrapped to the terminal."""
    width = max(60, shutil.get_terminal_size((80, 24)).columns)
    indent = " " * KEY_WIDTH
    body = textwrap.wrap(text, width - KEY_WIDTH) or [""]
    if len(start) >= KEY_WIDTH:
        yield start
    else:
        body[0] = f"{start:<{KEY_WIDTH}}{body[0]}"
        yield body.pop(0).rstrip()
    yield from (f"{indent}{line}" for line in body if line)
