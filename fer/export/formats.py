"""The network that is deployed, its formats as bytes, and how each is run from those bytes."""

import copy
import importlib
import io
import json
import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fer.config.keys import EXPORTS
from fer.errors import ConfigError, ExportError
from fer.models.classifier import ExpressionClassifier
from fer.models.load import classifier_of
from fer.models.novelty import NEAREST, Novelty, features_of, watched_stages
from fer.models.onnx_model import NOVELTY, onnx_session
from fer.models.weights import exported_checkpoint

Run = Callable[[np.ndarray], np.ndarray]  # float32 [B, C, S, S] in [0, 1] -> probabilities, float32 [B, K]

INPUT, OUTPUT, FEATURES = "images", "probabilities", "features"
OPSET = 18
# `Novelty.score` as ONNX: its examples stay int8 in the file, and no quantiser touches it.
SCORE = """<ir_version: {ir}, opset_import: ["" : {opset}]>
score (float[batch, {columns}] features_in) => (float[batch] {novelty}) {{
  score_rows = Constant <value_ints = [1]> ()
  score_columns = Constant <value_ints = [0]> ()
  score_nearest = Constant <value_ints = [{nearest}]> ()
  score_one = Constant <value_float = 1.0> ()
  score_none = Constant <value_float = 0.0> ()
  score_least = Constant <value_float = 1e-12> ()
  score_border = Constant <value_float = {border}> ()
  score_kept = Cast <to = 1> (score_examples)
  score_kept_norms = ReduceL2 (score_kept, score_columns)
  score_norms = ReduceL2 (features_in, score_rows)
  score_products = MatMul (features_in, score_kept)
  score_both = Mul (score_norms, score_kept_norms)
  score_safe = Max (score_both, score_least)
  score_likeness = Div (score_products, score_safe)
  score_most, score_which = TopK (score_likeness, score_nearest)
  score_last = ReduceMin <keepdims = 0> (score_most, score_rows)
  score_distance = Sub (score_one, score_last)
  score_from_none = Max (score_distance, score_none)
  {novelty} = Div (score_from_none, score_border)
}}"""
FACTS = "fer.json"  # the file within an exported program that holds the metadata
SUFFIXES = {"onnx": ".onnx", "exported_program": ".pt2", "safetensors": ".safetensors", "hub": "", "bundle": ""}
FOLDERS = ("hub", "bundle")  # formats that are one
PROGRAMS = ("onnx", "bundle")  # that onnxruntime runs, and that give the novelty of a face, too


class CalibratedNetwork(nn.Module):
    """Probabilities, float32 [B, K], of faces, float32 [B, C, S, S] in [0, 1], of the network's size or to be resized.

    Args:
        classifier: normalisation and network are taken from it; it stays as it is.
        temperature: divisor of the logits, fitted on validation.
        half: compute the network in fp16; what goes in and comes out stays float32.
        watched: give what `Novelty.score` takes, float32 [B, D], as a second output.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, classifier: ExpressionClassifier, temperature: float, half: bool = False, watched: bool = False
    ) -> None:
        super().__init__()
        self.watched = watched
        network = copy.deepcopy(classifier.evaluated_network)
        self.network = network.half() if half else network.float()
        self.register_buffer("mean", classifier.mean.detach().clone())
        self.register_buffer("std", classifier.std.detach().clone())
        self.temperature, self.half_precision, self.image_size = temperature, half, classifier.image_size
        self.requires_grad_(False).eval()

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        faces = (self._resized(images) - self.mean) / self.std
        if self.half_precision:
            faces = faces.to(torch.float16)
        if not self.watched:
            return self._probabilities(faces)
        with watched_stages(self.network) as seen:
            return self._probabilities(faces), features_of(seen)

    def _probabilities(self, faces: Tensor) -> Tensor:
        return (self.network(faces).float() / self.temperature).softmax(dim=1)

    def _resized(self, images: Tensor) -> Tensor:
        """As `fer.data.augment.resample` does it, in operations that every format has."""
        shrink = images.shape[-1] // self.image_size
        images = F.avg_pool2d(images, shrink) if shrink >= 2 else images
        if images.shape[-1] == self.image_size:
            return images
        return F.interpolate(images, (self.image_size, self.image_size), mode="bilinear", align_corners=False)


def check_choice(form: str, precision: str) -> None:
    """Raises ConfigError for a format or precision that does not exist, or whose packages are not installed."""
    if form not in SUFFIXES:
        raise ConfigError(f"format={form}: choose {', '.join(SUFFIXES)}")
    if precision not in EXPORTS[form]:
        raise ConfigError(f"precision={precision}: format={form} has {', '.join(EXPORTS[form])}")
    if form not in PROGRAMS:
        return
    for name in ("onnx", "onnxruntime", "onnxscript"):
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise ConfigError(f"format={form} needs {name}: pip install -e '.[export]'") from error


def as_onnx(network: CalibratedNetwork, example: Tensor, metadata: dict[str, str]) -> bytes:
    """An ONNX model for batches of any size, without any path or name of this machine in it.

    Args:
        network: what is exported.
        example: float32 [2, C, S, S].
        metadata: goes into `metadata_props`.

    Raises:
        ExportError: PyTorch's exporter cannot translate the network.
    """
    import onnx

    for name in ("onnx_ir", "onnxscript"):  # they log every pass
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        program: Any = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT, FEATURES] if network.watched else [OUTPUT],
            dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}},
        )
        model = program.model_proto
        _forget_traces(model.graph)
        for function in model.functions:
            _forget_traces(function)
        onnx.helper.set_model_props(model, metadata)
        onnx.checker.check_model(model)
        return model.SerializeToString()
    except Exception as error:  # the exporter, its passes, the checker and protobuf raise many kinds
        raise ExportError(f"this network cannot be written as ONNX: {_reason(error)}") from error


def with_score(content: bytes, novelty: Novelty) -> bytes:
    """An ONNX model of `as_onnx` with the output `novelty`, float32 [B], in place of the features of its images."""
    import onnx

    model = onnx.load_from_string(content)
    examples = np.ascontiguousarray(novelty.examples.cpu().numpy().T)
    given = {"ir": model.ir_version, "opset": OPSET, "columns": len(examples), "novelty": NOVELTY}
    score = onnx.parser.parse_model(
        SCORE.format(**given, nearest=min(NEAREST, examples.shape[1]), border=f"{novelty.border:.9e}")
    )
    score.graph.initializer.append(onnx.numpy_helper.from_array(examples, "score_examples"))
    whole = onnx.compose.merge_models(model, score, [(FEATURES, "features_in")])
    onnx.checker.check_model(whole)
    return whole.SerializeToString()


def run_onnx(content: bytes, output: str = OUTPUT) -> Run:
    """The model in onnxruntime, on the CPU, with as many threads as PyTorch has."""
    try:
        session = onnx_session(content, torch.get_num_threads())
    except Exception as error:  # onnxruntime's own kinds
        raise ExportError(f"onnxruntime does not take the model: {_reason(error)}") from error
    return lambda images: session.run([output], {INPUT: images})[0]


def as_exported_program(network: CalibratedNetwork, example: Tensor, metadata: dict[str, str]) -> bytes:
    """A program of `torch.export` for batches of any size; the metadata is its extra file `fer.json`.

    Raises:
        ExportError: the network cannot be traced.
    """
    try:
        program = torch.export.export(
            network, (example,), dynamic_shapes={INPUT: {0: torch.export.Dim("batch")}}, strict=False
        )
    except Exception as error:  # torch.export raises many kinds
        raise ExportError(f"this network cannot be traced by torch.export: {_reason(error)}") from error
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={FACTS: json.dumps(metadata, ensure_ascii=False)})
    return content.getvalue()


def run_exported_program(content: bytes) -> Run:
    """The program in PyTorch; only for bytes that we have just written."""
    return run_network(torch.export.load(io.BytesIO(content)).module())


def as_safetensors(network: CalibratedNetwork, classifier: ExpressionClassifier, metadata: dict[str, str]) -> bytes:
    """The network's weights by timm's names; `network` among the metadata holds what rebuilds it."""
    from safetensors.torch import save

    state = {key: value.detach().clone().contiguous() for key, value in network.network.state_dict().items()}
    spec = {key: value for key, value in classifier.network_spec.items() if key != "weights"}
    return save(state, {**metadata, "network": json.dumps(spec)})


def load_safetensors(content: bytes, network: nn.Module | None = None) -> CalibratedNetwork:
    """The model of `as_safetensors`, computed in fp32.

    Args:
        content: of the file.
        network: to load the weights into, where it is not one of timm's; the metadata may not name code to run.

    Raises:
        CheckpointError: the bytes are foreign or damaged.
    """
    checkpoint = exported_checkpoint(content, "this")
    classifier = classifier_of(checkpoint, "the file", network)
    return CalibratedNetwork(classifier, float(checkpoint["exported"]["temperature"]))


def run_network(network: nn.Module) -> Run:
    """A network in PyTorch on the CPU."""

    @torch.inference_mode()
    def run(images: np.ndarray) -> Any:
        outputs = network(torch.from_numpy(images))
        return tuple(output.numpy() for output in outputs) if isinstance(outputs, tuple) else outputs.numpy()

    return run


def _forget_traces(graph: Any) -> None:
    """Drop the exporter's notes on which line of which file each node comes from."""
    for node in graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in graph.value_info:
        del value.metadata_props[:]


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
