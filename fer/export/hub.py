"""`format=hub`: a folder that `timm` and `huggingface_hub` load and that can be pushed to a model hub."""

import json
import tempfile
from pathlib import Path
from typing import Any

import timm
from torch import nn

from fer.errors import ConfigError, ExportError
from fer.export.formats import CalibratedNetwork, Run, run_network
from fer.files import replacing
from fer.models.classifier import ExpressionClassifier
from fer.models.weight_files import exported_facts

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
OF_TIMM = "fer.models.network.timm_network"


def as_hub(classifier: ExpressionClassifier, temperature: float, facts: dict[str, str]) -> bytes:
    """Weights by timm's names, the temperature in those of the head; `config` in the metadata rebuilds the network.

    Raises:
        ConfigError: a network that timm alone cannot rebuild.
    """
    from safetensors.torch import save

    spec = classifier.network_spec
    if spec.get("_target_", OF_TIMM) != OF_TIMM or spec.get("stem", "default") != "default":
        what = f"model.stem={spec['stem']}" if spec.get("stem", "default") != "default" else str(spec.get("_target_"))
        raise ConfigError(f"format=hub: timm rebuilds its own networks alone, not {what}; take format=safetensors")
    state = {key: value.detach().clone().contiguous() for key, value in classifier.network.state_dict().items()}
    head = _head(classifier.network)
    for name in ("weight", "bias"):
        if f"{head}.{name}" in state:
            state[f"{head}.{name}"] /= temperature
    kept = {
        "network": json.dumps({key: value for key, value in spec.items() if key != "weights"}),
        "temperature": "1.0",
    }
    return save(state, {**facts, **kept, "format": "pt", "config": json.dumps(hub_config(classifier), indent=2)})


def hub_config(classifier: ExpressionClassifier) -> dict[str, Any]:
    """`config.json` as timm reads it."""
    architecture, _, tag = str(classifier.network_spec["backbone"]).partition(".")
    given: dict[str, Any] = dict(getattr(classifier.network, "pretrained_cfg", {}) or {})
    size, channels = classifier.image_size, len(classifier.mean)
    return {
        "architecture": architecture,
        "num_classes": len(classifier.classes),
        "num_features": int(getattr(classifier.network, "num_features", 0)),
        "label_names": classifier.classes,
        "model_args": {"in_chans": channels},
        "pretrained_cfg": {
            "tag": tag or None,
            "custom_load": False,
            "input_size": [channels, size, size],
            "fixed_input_size": False,
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": classifier.mean.flatten().tolist(),
            "std": classifier.std.flatten().tolist(),
            "num_classes": len(classifier.classes),
            "pool_size": given.get("pool_size"),
            "first_conv": given.get("first_conv"),
            "classifier": given.get("classifier"),
        },
    }


def run_hub(content: bytes) -> Run:
    """The folder as timm loads it, with normalisation and softmax.

    Raises:
        ExportError: timm does not take it.
    """
    config = exported_facts(content)["config"]
    with tempfile.TemporaryDirectory(prefix="fer-hub-") as folder:
        Path(folder, CONFIG).write_text(config, encoding="utf-8")
        Path(folder, WEIGHTS).write_bytes(content)
        try:
            network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        except Exception as error:  # timm raises many kinds
            raise ExportError(f"timm does not load this network: {' '.join(str(error).split())[:300]}") from error
    cfg = json.loads(config)
    classifier = ExpressionClassifier(
        network,
        network_spec={},
        classes=cfg["label_names"],
        image_size=cfg["pretrained_cfg"]["input_size"][1],
        mean=cfg["pretrained_cfg"]["mean"],
        std=cfg["pretrained_cfg"]["std"],
    )
    return run_network(CalibratedNetwork(classifier, 1.0))


def write_hub(folder: Path, content: bytes, card: str) -> None:
    """The folder, its model card last.

    Args:
        folder: to write into.
        content: of `as_hub`.
        card: the model card.
    """
    config = exported_facts(content)["config"]
    for name, text in ((CONFIG, config.encode()), (WEIGHTS, content), (CARD, card.encode())):
        with replacing(folder / name, "wb") as file:
            file.write(text)


def _head(network: nn.Module) -> str:
    """Name of the last linear layer."""
    classifier = network.get_classifier() if hasattr(network, "get_classifier") else None  # type: ignore[operator]
    name = next((name for name, module in network.named_modules() if module is classifier), None)
    if name is None or not isinstance(classifier, nn.Linear):
        raise ExportError("format=hub: the last layer of this network is not linear; take format=safetensors")
    return name
