"""What a run was started with, as it was typed: choices of config groups, and single values."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

NOT_CHOSEN = ("hydra", "resume")  # keys that say how a run is started, not what it is


@dataclass(frozen=True)
class Choices:
    """The command line of a run.

    Args:
        groups: option of each config group, `{"model": "resnet18", …}`, those that were not typed too.
        overrides: what was typed, as `model=resnet18` and `optimizer.lr=3e-3`, without Hydra's own keys.
    """

    groups: Mapping[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()

    @property
    def typed(self) -> list[str]:
        """Keys and groups that were typed, in order."""
        return list(dict.fromkeys(_key(override) for override in self.overrides))

    @classmethod
    def of_command(cls, groups: Mapping[str, Any], overrides: Iterable[str]) -> "Choices":
        """Of Hydra's choices and the overrides of a command line."""
        chosen = {
            name: str(option)
            for name, option in groups.items()
            if option is not None and not name.startswith("hydra") and not name.startswith("_")
        }
        return cls(chosen, tuple(each for each in overrides if not each.lstrip("+~").startswith(NOT_CHOSEN)))

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> "Choices":
        """Of the file in a run folder.

        Raises:
            ValueError: not of the form that runs write.
        """
        groups, overrides = content["groups"], content["overrides"]
        if not isinstance(groups, dict) or not isinstance(overrides, list):
            raise ValueError("it has no groups and overrides")
        return cls({str(name): str(option) for name, option in groups.items()}, tuple(map(str, overrides)))

    def to_json(self) -> dict[str, Any]:
        return {"groups": dict(self.groups), "overrides": list(self.overrides)}

    def resumed_with(self, later: "Choices") -> "Choices":
        """These, with values that were typed when the run was resumed in place of those before."""
        changed = {_key(override) for override in later.overrides}
        kept = [override for override in self.overrides if _key(override) not in changed]
        return Choices(self.groups, (*kept, *later.overrides))

    def without(self, *keys: str) -> "Choices":
        """These, without values of some keys."""
        return Choices(self.groups, tuple(each for each in self.overrides if _key(each) not in keys))


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]
