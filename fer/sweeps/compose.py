"""The configs of many jobs, composed as Hydra does, but each choice of config groups only once.

Hydra reads and merges some thirty YAML files for each job; most jobs of a sweep differ in values alone.
"""

import copy
from collections.abc import Callable

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

Compose = Callable[[list[str]], DictConfig]


class Composer:
    """Composes a config from overrides; of its `hydra` node only the choices of groups are kept.

    Args:
        load: from overrides to a config, by Hydra itself. What it refuses, this refuses with the same error.
        loader: Hydra's, which knows the config groups.
        searches_further: whether groups may come from elsewhere (`hydra.searchpath`), so that all is left to `load`.
    """

    def __init__(self, load: Compose, loader: ConfigLoader, searches_further: bool = False) -> None:
        self.load, self.loader, self.searches_further = load, loader, searches_further
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def __call__(self, overrides: list[str]) -> DictConfig:
        if self.searches_further:
            return self.load(overrides)
        try:
            parsed = OverridesParser.create(config_loader=self.loader).parse_overrides(list(overrides))
            groups: list[Override] = []
            values: list[Override] = []
            for override in parsed:
                (groups if self._chooses_group(override) else values).append(override)
            if any(override.is_sweep_override() or override.is_hydra_override() for override in parsed):
                return self.load(overrides)
            config = copy.deepcopy(self._of_groups([str(override.input_line) for override in groups]))
            ConfigLoaderImpl._apply_overrides_to_config(values, config)
            return config
        except Exception:  # Hydra says what is wrong, and with which override
            return self.load(overrides)

    def _chooses_group(self, override: Override) -> bool:
        """Whether Hydra takes an override for the choice of a config group, and not for a value."""
        is_group = any(source.is_group(override.key_or_group) for source in self.loader.get_sources())
        return is_group and not isinstance(override.value(), dict)

    def _of_groups(self, overrides: list[str]) -> DictConfig:
        key = tuple(overrides)
        if key not in self._composed:
            config = self.load(overrides)
            with open_dict(config):
                config.hydra = OmegaConf.create({"runtime": {"choices": config.hydra.runtime.choices}})
            self._composed[key] = config
        return self._composed[key]
