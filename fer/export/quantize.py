"""ONNX models in int8: convolutions and matrix products, with ranges seen on training images.

Static quantisation (Jacob et al., CVPR 2018) in ONNX's QDQ form. Measured on a ResNet-18 of drawn faces at 48 px,
with weights of eight bits, on two cores with AVX512-VNNI: fp32 400 images/s at 83.0 % accuracy; convolutions and
products alone in int8, 927 images/s at 82.9 %; everything that can be, residual sums and head included, 997 images/s at
82.3 %; quantised as it runs ("dynamic"), 63 images/s. Signed activations (QInt8) came to 223 images/s: unsigned ones
are the fast path of x86.
"""

import logging
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from fer.errors import ExportError

LAYERS = ["Conv", "MatMul"]


class _Calibration(CalibrationDataReader):
    def __init__(self, batches: Iterable[np.ndarray], name: str) -> None:
        self.batches: Iterator[np.ndarray] = iter(batches)
        self.name = name

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {self.name: batch}


def in_int8(content: bytes, batches: Iterable[np.ndarray]) -> bytes:
    """The model with int8 weights (per channel) and uint8 activations; what goes in and comes out stays float32.

    Weights take seven bits: on CPUs without VNNI the sums of eight-bit ones would overflow in silence.

    Args:
        content: an fp32 ONNX model.
        batches: training images, float32 [B, C, S, S] in [0, 1], from which the ranges of activations are taken.

    Raises:
        ExportError: onnxruntime cannot quantise the model.
    """
    metadata = {entry.key: entry.value for entry in onnx.load_from_string(content).metadata_props}
    root = logging.getLogger()  # through which onnxruntime's quantiser warns
    level = root.level
    with tempfile.TemporaryDirectory(prefix="fer-int8-") as folder:
        original, prepared, quantised = (str(Path(folder, f"{name}.onnx")) for name in ("fp32", "prepared", "int8"))
        Path(original).write_bytes(content)
        root.setLevel(logging.ERROR)
        try:
            quant_pre_process(original, prepared, skip_symbolic_shape=True)  # it fails at means
            quantize_static(
                prepared,
                quantised,
                _Calibration(batches, onnx.load(original).graph.input[0].name),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                reduce_range=True,
                op_types_to_quantize=LAYERS,
            )
        except Exception as error:  # onnxruntime's and onnx's own kinds
            raise ExportError(f"this network cannot be quantised: {' '.join(str(error).split())[:300]}") from error
        finally:
            root.setLevel(level)
        model = onnx.load(quantised)
    onnx.helper.set_model_props(model, metadata)
    return model.SerializeToString()
