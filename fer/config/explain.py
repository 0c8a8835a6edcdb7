"""Hydra's errors in one line, with what was probably meant."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from fer.config.keys import SYNONYMS
from fer.config.rules import nearest
from fer.config.signatures import parameters_of

KEY = re.compile(r"(?:Could not override|Could not delete from config\.) '([^']+)'")


def explain(error: Exception, overrides: Sequence[str], loader: ConfigLoader, config_name: str) -> str:
    """Why Hydra cannot compose a config, in one line.

    Args:
        error: that Hydra or OmegaConf raised.
        overrides: of the command line.
        loader: that was to compose it.
        config_name: of the command, such as `train`.
    """
    text = one_line(str(error).partition("Config search path")[0])
    if isinstance(error, OverrideParseException):
        return unparsed(error.override)
    if isinstance(error, MissingConfigException):
        return _missing(error, overrides, loader) or text
    found = KEY.search(text)
    if found:
        return _unknown_key(found[1], overrides, loader, config_name)
    if "Ambiguous value" in text or "requires --multirun" in text:
        return _ambiguous(next((o for o in overrides if f"'{o}'" in text), ""), text)
    if given_twice := re.search(r"Multiple values for (\S+?)\.", text):
        return f"{given_twice[1]} is given twice"
    if present := re.search(r"An item is already at '([^']+)'", text):
        override = next((o for o in overrides if o.lstrip("+").startswith(f"{present[1]}=")), f"+{present[1]}")
        return f"{override}: the config has {present[1]}, so it needs no +: {override.lstrip('+')}"
    cause = error.__cause__
    return text if cause is None or str(cause) in str(error) else f"{text}: {one_line(str(cause).splitlines()[0])}"


def one_line(text: str) -> str:
    return " ".join(text.split())


def unparsed(override: str) -> str:
    """How to give a value that holds characters of Hydra's grammar."""
    key, equals, value = override.partition("=")
    if not equals:
        return f"{override}: give key=value"
    return f'{override}: {key} has characters that need quotes; give "{key}={quoted_text(value)}"'


def quoted_text(text: str) -> str:
    """Any text as a quoted value of Hydra's grammar, in which a backslash counts before a quote only."""
    return "'" + re.sub(r"(\\*)(['])", lambda m: m[1] * 2 + "\\" + m[2], text) + _ending(text) + "'"


def _ending(text: str) -> str:
    """Backslashes at the end of a text stand before the closing quote, so there are twice as many."""
    return "\\" * (len(text) - len(text.rstrip("\\")))


def meant_key(key: str, keys: Iterable[str]) -> str | None:
    """The key that was probably meant, of those that there are."""
    keys = list(keys)
    name = key.rpartition(".")[2]
    for word in dict.fromkeys((key, name)):
        for synonym in SYNONYMS.get(word.lower().replace("-", "_"), ()):
            if synonym in keys and synonym != key:
                return synonym
    same = [each for each in keys if each.rpartition(".")[2] == name and not each.startswith("hydra")]
    if len(same) == 1 or (same and name == key):
        return same[0]
    found = nearest(key, [each for each in keys if "." in each or "." not in key], cutoff=0.75)
    if found is None:
        last = nearest(name, [each.rpartition(".")[2] for each in keys], cutoff=0.75)
        found = next((each for each in keys if last and each.rpartition(".")[2] == last), None)
    return found


def _missing(error: MissingConfigException, overrides: Sequence[str], loader: ConfigLoader) -> str | None:
    """A choice of a group that there is not."""
    missing = str(error.missing_cfg_file)
    pairs = [override.lstrip("+").partition("=")[::2] for override in overrides]
    group, name = next((pair for pair in pairs if "/".join(pair) == missing), missing.rpartition("/")[::2])
    if not group:
        return None
    if group == "data" and "/" in name:
        return f"data={name}: data= is the name of a data set, data.source= the path to what you downloaded"
    options = error.options or [o for o in loader.get_group_options(group) if not o.startswith("_")]
    given = next((o for o in overrides if o.lstrip("+").partition("=")[0] == group), f"{group}={name}")
    if "Could not find" not in str(error) or not options:
        return None
    options = [option for option in options if not option.startswith("_")]
    meant = nearest(name, options)
    return f"{given}: {f'did you mean {meant}? ' if meant else ''}choose {', '.join(options)}"


def _unknown_key(key: str, overrides: Sequence[str], loader: ConfigLoader, config_name: str) -> str:
    """A key that the config does not have: what was meant, or that it has to be added."""
    given = next((o for o in overrides if o.lstrip("+~").partition("=")[0].partition("@")[0] == key), key)
    value = given.partition("=")[2]
    config = _with_groups(overrides, loader, config_name)
    keys = keys_of(config) if config is not None else []
    groups = list(config.hydra.runtime.choices) if config is not None else []
    node, _, name = key.rpartition(".")
    target = OmegaConf.select(config, f"{node}._target_", default=None) if config is not None and node else None
    takes = parameters_of(str(target)) if target else ()
    if takes and name in takes and not given.startswith("~"):
        return f"{given}: the config does not set {key}, but {target} takes it: +{given}"
    meant = meant_key(key, [*groups, *keys])
    if meant is None and takes:
        close = nearest(name, takes)
        meant = f"+{node}.{close}" if close else None
    if meant:
        return f"{given}: there is no {key}; did you mean {meant}{f'={value}' if value else ''}?"
    tops = dict.fromkeys(each.partition(".")[0] for each in keys if not each.startswith("hydra"))
    has = [each for each in keys if each.startswith(f"{node}.")] if node in tops or node in groups else list(tops)
    return f"{given}: there is no {key}; there are {', '.join(has)}"


def _with_groups(overrides: Sequence[str], loader: ConfigLoader, config_name: str) -> DictConfig | None:
    """The config with the groups of a command line, and none of its values."""
    chosen = []
    for override in overrides:
        try:
            parsed = OverridesParser.create().parse_override(override)
        except HydraException:
            continue
        options = loader.get_group_options(parsed.key_or_group) if "." not in parsed.key_or_group else []
        if not parsed.is_delete() and isinstance(parsed.value(), str) and parsed.value() in options:
            chosen.append(override)
    for groups in (chosen, []):
        try:
            return loader.load_configuration(config_name, groups, run_mode=RunMode.RUN)
        except HydraException:
            continue
    return None


def keys_of(config: DictConfig) -> list[str]:
    """All keys of a config, nodes too, without `_target_` and the like."""

    def walk(node: Any, prefix: str) -> Iterator[str]:
        for key, value in node.items():
            if not str(key).startswith("_"):
                yield f"{prefix}{key}"
                if isinstance(value, dict):
                    yield from walk(value, f"{prefix}{key}.")

    return list(walk(OmegaConf.to_container(config, resolve=False), ""))


def _ambiguous(override: str, text: str) -> str:
    key, _, value = override.partition("=")
    if not value or "(" in value:
        return f"{override}: several values make a sweep; add -m" if override else text
    if re.fullmatch(r"-?\d+,\d+", value):
        return f"{override}: write decimals with a point, {key}={value.replace(',', '.')}; values of a sweep need -m"
    quoted = f"\"{key}='{value}'\""
    quoted = f"\"{key}='{value}'\""
    return f"{override}: to sweep over these add -m; for a list give {key}=[{value}]; a comma in a name: {quoted}"
