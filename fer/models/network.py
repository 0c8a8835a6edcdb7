"""timm networks for faces: one grey channel, a head for our classes, weights from wherever they are."""

import difflib
import inspect
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf
from timm.models import clean_state_dict, load_state_dict
from torch import Tensor, nn

from fer.errors import ConfigError, WeightsError
from fer.instantiate import accepted, build
from fer.models.shipped import located
from fer.models.weight_files import is_of_ours, why_unreadable
from fer.models.weights import WEIGHT_FILES, check_weights, hub_file, load_own_weights, read_checkpoint
from fer.runs.folder import RunFolder

log = logging.getLogger(__name__)

OWN_BUILDER = "fer.models.network.timm_network"
AUTO = "auto"
STEMS = (AUTO, "default", "small", "small_pooled")


def build_network(model: DictConfig, classes: Sequence[str], channels: int, pretrained: bool = True) -> nn.Module:
    """The network that a config names, for the classes and channels of the data.

    Args:
        model: with `_target_`: ours, or any other that takes `num_classes` and `in_chans`.
        classes: names of the outputs.
        channels: of the images.
        pretrained: False where a checkpoint is loaded afterwards: then with `weights=none`.

    Raises:
        FERError: see `build` and `timm_network`.
    """
    live: dict[str, Any] = {"num_classes": len(classes), "in_chans": channels}
    if _names(model, "classes"):
        live["classes"] = classes
    if model.get("weights") == "none" and not _takes_weights(model):
        # Experiments set it for any network; your own need not have such an argument.
        model = OmegaConf.create({key: value for key, value in model.items() if key != "weights"})
    if not pretrained and (isinstance(model.get("weights"), str) or _names(model, "weights")):
        live["weights"] = "none"
    return build(model, "model", **live)


def with_stem_of_weights(model: DictConfig) -> DictConfig:
    """The config with `stem` as the weights have it, if these are of this project and it says `auto`.

    Raises:
        CheckpointError: weights that cannot be read.
        WeightsError: shipped weights that are missing or damaged.
    """
    if model.get("stem") != AUTO:
        return model
    path = located(str(model.weights))
    own = path.exists() and is_of_ours(path)
    stem = read_checkpoint(path)["fer"]["network"].get("stem", "default") if own else "default"
    return OmegaConf.merge(model, {"stem": stem})  # type: ignore[return-value]


def _takes_weights(model: DictConfig) -> bool:
    try:
        return bool(accepted(get_method(model["_target_"]), {"weights": None}))
    except (ImportError, ValueError):  # `build` says why
        return True


def _names(model: DictConfig, parameter: str) -> bool:
    """Whether the target has a parameter of that name, and the config does not give it."""
    try:
        return parameter not in model and parameter in inspect.signature(get_method(model["_target_"])).parameters
    except (ImportError, ValueError, TypeError):  # `build` says why
        return False


def timm_network(
    backbone: str,
    *,
    num_classes: int,
    in_chans: int = 1,
    weights: str | Path = "imagenet",
    stem: str = AUTO,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    classes: Sequence[str] | None = None,
) -> nn.Module:
    """Build a timm network whose last layer is replaced for `num_classes` classes.

    Args:
        backbone: any model name of timm, with or without the tag of its weights.
        num_classes: outputs of the new head.
        in_chans: input channels; for one, timm sums the filters of a pretrained RGB stem.
        weights: `imagenet` (timm's from the Hugging Face hub, or its local cache), `none`, `fer2013` (of faces, which
            come with this package), a path to a file in timm's format (.safetensors, .pth), or to a run folder,
            checkpoint or exported model (.safetensors) of this project.
        stem: `default`; or for inputs of about 48 pixels `small`: a ResNet's first convolution becomes 3x3 with
            stride 1 and its pooling goes (He et al. 2016, section 4.2), so that stages see 16 times the pixels; or
            `small_pooled`, which keeps the pooling: 4 times. `auto` is `default`, for `with_stem_of_weights` has
            replaced it where weights of ours have another.
        drop_rate: dropout before the head.
        drop_path_rate: stochastic depth.
        classes: names of the outputs; the head of a checkpoint is taken over only where it has the same.

    Raises:
        ConfigError: an unknown backbone, or a stem it cannot have.
        WeightsError: weights that cannot be had or do not fit.
    """
    if stem not in STEMS:
        raise ConfigError(f"model.stem={stem}: choose {', '.join(STEMS)}")
    if not _is_known(backbone):
        close = difflib.get_close_matches(backbone, timm.list_models() + timm.list_pretrained(), n=3)
        raise ConfigError(
            f"model.backbone={backbone}: timm has no such model" + (f"; near: {', '.join(close)}" if close else "")
        )
    options = {"num_classes": num_classes, "in_chans": in_chans, "drop_rate": drop_rate}
    if drop_path_rate:
        options["drop_path_rate"] = drop_path_rate
    source = _weights_source(backbone, str(weights))
    own = source is not None and is_of_ours(source)
    network = _create(backbone, None if own else source, options)
    if stem not in (AUTO, "default"):
        _make_stem_small(network, backbone, stem, pretrained=source is not None and not own)
    if source is not None and own:
        load_own_weights(network, source, backbone, classes)
    return network


def _is_known(backbone: str) -> bool:
    if not timm.is_model(backbone):
        return False
    try:
        timm.get_pretrained_cfg(backbone)
    except RuntimeError:  # a tag that this model does not have
        return False
    return True


def _weights_source(backbone: str, weights: str) -> Path | None:
    """The file that holds the weights; None for random ones."""
    if weights == "none":
        return None
    if weights == "imagenet":
        return hub_file(backbone)
    path = located(weights)
    if not path.exists():
        raise WeightsError(f"model.weights={weights}: no such file; or give imagenet, fer2013 or none")
    if path.is_dir() and not RunFolder(path).is_run():  # as the hub has them
        return next((path / name for name in WEIGHT_FILES if (path / name).is_file()), path)
    return path


def _create(backbone: str, file: Path | None, options: dict) -> nn.Module:
    if file is None:
        return timm.create_model(backbone, pretrained=False, **options)
    try:
        state = _unwrapped(load_state_dict(str(file), weights_only=True), backbone)
    except Exception as error:  # whatever torch, zipfile, safetensors or the restricted unpickler say of a file
        raise WeightsError(f"model.weights={file} {why_unreadable(file, error)}") from error
    check_weights(state, file)
    try:
        # Built for the file's own classes, for with others timm passes over missing and unknown keys in silence.
        own = {"num_classes": _classes_in(state, backbone), "label_offset": 0}
        overlay = {"state_dict": state, "source": "timm", **own}
        network: Any = timm.create_model(
            backbone, pretrained=True, pretrained_cfg_overlay=overlay, **{**options, "num_classes": own["num_classes"]}
        )
        network.pretrained_cfg.pop("state_dict", None)
        network.reset_classifier(options["num_classes"])
        return network
    except Exception as error:  # timm, safetensors and torch raise many kinds for a file that does not fit
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(f"{file} does not fit model.backbone={backbone}: {reason}") from error


def _unwrapped(state: dict[str, Any], backbone: str) -> dict[str, Any]:
    """The weights of a backbone within what others save: a dict in a dict, and names that all begin alike."""
    inner = [value for value in state.values() if isinstance(value, dict)]
    inner = [value for value in inner if any(isinstance(tensor, Tensor) for tensor in value.values())]
    if len(inner) == 1 and not any(isinstance(value, Tensor) for value in state.values()):
        state = clean_state_dict(inner[0])
    first = getattr(timm.get_pretrained_cfg(backbone), "first_conv", None)
    whole = f"{first}.weight"
    found = [key.removesuffix(whole) for key in state if key.endswith(f".{whole}")]
    if isinstance(first, str) and whole not in state and len(found) == 1:
        state = {key.removeprefix(found[0]): value for key, value in state.items() if key.startswith(found[0])}
    return state


def _classes_in(state: dict[str, torch.Tensor], backbone: str) -> int:
    """How many classes a file in timm's format tells apart; 0 where it has no head."""
    config = timm.get_pretrained_cfg(backbone)
    if config is None or not config.classifier:
        return 1000
    name = config.classifier if isinstance(config.classifier, str) else config.classifier[0]
    if f"{name}.weight" in state:
        return state[f"{name}.weight"].shape[0]
    headless = not any(key.split(".")[0] == name.split(".")[0] for key in state)
    return 0 if headless else config.num_classes  # another head is an older layout, which timm will rename


def _make_stem_small(network: nn.Module, backbone: str, stem: str, pretrained: bool) -> None:
    old = getattr(network, "conv1", None)
    if not isinstance(old, nn.Conv2d) or not hasattr(network, "maxpool"):
        raise ConfigError(f"model.stem={stem} serves timm's plain ResNets, which {backbone} is not")
    new = nn.Conv2d(old.in_channels, old.out_channels, kernel_size=3, stride=1, padding=1, bias=False)
    if pretrained:
        centre = (old.kernel_size[0] - 3) // 2
        with torch.no_grad():
            new.weight.copy_(old.weight[:, :, centre : centre + 3, centre : centre + 3])
        log.warning(f"model.stem={stem} keeps only the 3x3 centres of the pretrained first filters")
    else:
        nn.init.kaiming_normal_(new.weight, mode="fan_out", nonlinearity="relu")
    network.conv1 = new
    if stem == "small":
        network.maxpool = nn.Identity()
