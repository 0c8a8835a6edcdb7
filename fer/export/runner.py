"""Emotions in pictures, with onnxruntime, numpy and OpenCV alone: python run.py PICTURE... (a JSON line for each)"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

from fer.faces.framing import Faces, Framing
from fer.faces.resample import as_input

HERE = Path(__file__).parent
FACTS = json.loads((HERE / "bundle.json").read_text(encoding="utf-8"))
NETWORK = onnxruntime.InferenceSession(HERE / "model.onnx")  # faces from 0 to 1 -> calibrated probabilities, novelty
NAMES = [*FACTS["classes"], *(output.name for output in NETWORK.get_outputs()[1:])]


def read(path: str) -> np.ndarray:
    """A picture file: uint8 [H, W, 3] (RGB), upright, transparency over white."""
    content = np.fromfile(path, np.uint8)
    upright, stored = (cv2.imdecode(content, how) for how in (cv2.IMREAD_COLOR, cv2.IMREAD_UNCHANGED))
    if upright is None or stored is None:
        raise SystemExit(f"{path} is no picture that OpenCV reads")
    alpha = stored[..., 3:] / (255 if stored.dtype == np.uint8 else 65535) if stored.shape[2:] == (4,) else 1.0
    return np.rint(upright[..., ::-1] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def predict(picture: np.ndarray, faces: Faces = "auto") -> list[dict]:
    """The box (null: the whole picture), probabilities and novelty of each face, the largest first."""
    side, channels = FACTS["image_size"], FACTS["channels"]
    framed = Framing.from_dict(FACTS["framing"]).frame(picture, side, channels, faces)
    rows = np.column_stack(NETWORK.run(None, {"images": as_input(framed.faces, side)})).tolist() if framed.boxes else []
    boxes = [box and {"left": box.left, "top": box.top, "side": box.side} for box in framed.boxes]
    return [{"box": box, **dict(zip(NAMES, row, strict=True))} for box, row in zip(boxes, rows, strict=True)]


for name in sys.argv[1:] if __name__ == "__main__" else ():
    print(json.dumps({"picture": name, "warning": FACTS["warning"], "faces": predict(read(name))}))
