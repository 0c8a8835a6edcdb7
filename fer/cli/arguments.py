"""The words of a command line before Hydra sees them: names of files get their quotes, slips their answer."""

import os
import re
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from pathlib import Path

from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from fer.config.explain import meant_key, quoted_text, unparsed
from fer.config.keys import OF_COMMAND, rule_of, rules_of
from fer.errors import ConfigError

PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./+-]*")  # what Hydra takes for text as it stands
WORDS = ("true", "false", "nan", "inf")  # which are no text
# What a word without a key was probably meant for
MAIN = {"predict": "input", "evaluate": "checkpoint", "export": "checkpoint", "demo": "checkpoint", "compare": "runs"}
MAIN |= {"dashboard": "runs", "train": "resume", "prepare": "data.source"}


def understood(arguments: Sequence[str], command: str, conf: Path) -> list[str]:
    """The arguments as Hydra takes them.

    Args:
        arguments: as they were typed.
        command: `train`, `evaluate`, …: the name of its config.
        conf: folder of the configs.

    Raises:
        ConfigError: a word that is no `key=value`, an option that there is not, a value that needs quotes.
    """
    parser, rules = get_args_parser(), rules_of(command)
    options = {name: action for action in parser._actions for name in action.option_strings}
    words: list[str] = []
    waiting = None  # an option whose value comes next
    for position, word in enumerate(arguments):
        if waiting is not None:
            _check_choice(waiting, options[waiting].choices, word)
            words.append(word)
            waiting = None
        elif word.startswith("-") and len(word) > 1:
            name, equals, _ = word.partition("=")
            if name not in options and not _is_short(word, parser):
                raise ConfigError(_no_option(word, arguments[position + 1 : position + 2], command, conf))
            action = options.get(name)
            waiting = name if action is not None and action.nargs is None and not equals else None
            words.append(word)
        else:
            rule = rule_of(word.lstrip("+").partition("=")[0], rules)
            if arguments[position + 1 : position + 2] == ["="]:
                raise ConfigError(f"{word} =: write key=value without spaces, such as {word}=VALUE")
            before = words[-1] if words else ""
            words.append(_override(word, rule is not None and rule.text, before, command, conf))
    if waiting is not None:
        raise ConfigError(f"{waiting}: say which, as {waiting} NAME")
    return words


def _check_choice(option: str, choices: Iterable[str] | None, word: str) -> None:
    if choices is not None and word not in choices:
        raise ConfigError(f"{option} {word}: choose {', '.join(choices)}")


def _is_short(word: str, parser: ArgumentParser) -> bool:
    """Whether argparse takes a word for an option, such as the start of a long one."""
    return word.startswith("--") and len(parser._get_option_tuples(word)) == 1


def _override(word: str, is_text: bool, before: str, command: str, conf: Path) -> str:
    key, equals, value = word.partition("=")
    if word.startswith("~"):
        return word
    if not equals or not key.strip("+"):
        raise ConfigError(_no_pair(word, before, command, conf))
    if value.lower() == "null" and (choices := sorted(path.stem for path in conf.glob(f"{key.strip('+')}/*.yaml"))):
        raise ConfigError(f"{word}: a group has no null; choose {', '.join(choices)}")
    if is_text and value:
        return f"{key}={path_value(value)}"
    if not _parses(word):
        raise ConfigError(unparsed(word))
    return word


def path_value(value: str) -> str:
    """A path as Hydra's grammar takes it: quoted where it holds characters of the grammar; `~/` is the home folder."""
    home = os.path.expanduser(value)
    if home != value and not os.path.lexists(value):
        value = home
    if _is_number(value):  # the name of a folder, or a camera
        return quoted_text(value)
    if value.lower() == "null" or (PLAIN.fullmatch(value) and value.lower() not in WORDS) or _is_quoted(value):
        return value
    if os.path.lexists(value):
        return quoted_text(re.sub(r"(\\*)\$\{", r"\1\1\\${", value))  # no interpolation
    if value.startswith("[") and value.endswith("]") and not _parses(f"key={value}"):
        return f"[{','.join(path_value(each.strip()) for each in value[1:-1].split(','))}]"
    return value if _parses(f"key={value}") else quoted_text(value)


def _is_number(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _is_quoted(value: str) -> bool:
    return len(value) > 1 and value[0] in "'\"" and value[0] == value[-1]


def _parses(override: str) -> bool:
    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return True


def _no_option(word: str, following: Sequence[str], command: str, conf: Path) -> str:
    """`--epochs 3`: options of this kind are keys here."""
    name, equals, value = word.lstrip("-").partition("=")
    if not equals and following and not following[0].startswith("-") and "=" not in following[0]:
        value = following[0]
    meant = meant_key(name.replace("-", "_"), known_keys(command, conf)) or meant_key(name, known_keys(command, conf))
    if name in known_keys(command, conf):
        meant = name
    if meant:
        return f"{word}: values are given as key=value, without dashes; did you mean {meant}={value or 'VALUE'}?"
    return f"{word}: there is no such option; values are given as key=value, see --help"


def _no_pair(word: str, before: str, command: str, conf: Path) -> str:
    """A word without a key: part of a value with spaces, or a value alone."""
    main = MAIN.get(command)
    if word.startswith("=") or before.endswith("="):
        return f"{word}: write key=value without spaces, such as seed=1"
    if found := re.fullmatch(r"([a-z_.]+):(.+)", word):
        return f"{word}: write {found[1]}={found[2]}"
    groups = [path.parent.name for path in sorted(conf.glob(f"*/{word}.yaml")) if path.parent.name != "hydra"]
    if groups and re.fullmatch(r"\w+", word):
        return f"{word}: give key=value; did you mean {groups[0]}={word}?"
    if "=" in before and before.partition("=")[0] in known_keys(command, conf) and not os.path.exists(word):
        key, _, value = before.partition("=")
        whole = f"{value.strip(chr(39))} {word}"
        return f'{word}: give key=value; a value with spaces needs quotes: "{key}={whole}"'
    if main and (os.path.exists(word) or "/" in word or "." in word):
        return f"{word}: give key=value; did you mean {main}={word}?"
    meant = meant_key(word, known_keys(command, conf))
    return f"{word}: give key=value{f', such as {meant}=VALUE' if meant else '; see --help for the keys'}"


def known_keys(command: str, conf: Path) -> list[str]:
    """Keys of the table, and groups: enough to guess what was meant before Hydra has composed anything."""
    if command in ("train", "benchmark"):
        groups = [path.name for path in sorted(conf.iterdir()) if path.is_dir() and path.name != "hydra"]
        return [*(key for key in rules_of(command) if "*" not in key), *groups]
    own = list(OF_COMMAND.get(command, {}))
    return [*own, *(key for key in rules_of(command) if key.startswith("data.") and key not in own), "data"]
