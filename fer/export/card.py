"""The model card beside every export: what it is, how to run it, how good it is, what it must not be taken for."""

from typing import Any

from fer.data.datasets import dataset

USAGE = {
    "onnx": """```python
import json, numpy as np, onnxruntime

session = onnxruntime.InferenceSession("{file}")
faces = np.random.rand(1, {channels}, {size}, {size}).astype(np.float32)  # {colours}, from 0 to 1
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
print(dict(zip(classes, session.run(None, {{"images": faces}})[0][0])))  # calibrated probabilities
```""",
    "exported_program": """```python
import torch

network = torch.export.load("{file}").module()
faces = torch.rand(1, {channels}, {size}, {size})  # {colours}, from 0 to 1
print(network(faces))  # calibrated probabilities, in the order of the labels
```""",
    "safetensors": """```python
from fer import EmotionClassifier  # the weights alone fit timm, by its names

print(EmotionClassifier.load("{file}").predict("party.jpg"))
```""",
    "hub": """```python
import timm, torch

network = timm.create_model("local-dir:FOLDER", pretrained=True).eval()  # or "hf-hub:USER/NAME"
mean, std = (torch.tensor(network.pretrained_cfg[key]).view(-1, 1, 1) for key in ("mean", "std"))
faces = torch.rand(1, {channels}, {size}, {size})  # {colours}, from 0 to 1
probabilities = network((faces - mean) / std).softmax(dim=1)  # calibrated: the temperature is in the last layer
```""",
    "bundle": """```sh
pip install -r requirements.txt
python run.py party.jpg # a JSON line: the box of each face, the probability of each label, novelty
```

`faces/` finds and cuts faces as in training, with YuNet (MIT, `faces/yunet/LICENSE`).""",
    "page": """Put this folder on any web host. Browsers run the model (`model.onnx`) themselves, with onnxruntime-web;
pictures stay in them. `LICENSES.txt` has the terms of what came from elsewhere.""",
}
HUB = """---
library_name: timm
pipeline_tag: image-classification
license: other
tags:
- image-classification
- facial-expression-recognition
- timm
---

"""


def model_card(results: dict[str, Any]) -> str:
    """Markdown, for model hubs with their header.

    Args:
        results: of the export: its facts and those of its check.
    """
    facts, form, channels = dataset(results["trained_on"]), results["format"], results["channels"]
    usage = USAGE[form].format(
        file=results["file"],
        size=results["image_size"],
        channels=channels,
        colours="grey" if channels == 1 else "RGB",
    )
    caveats = "\n".join(f"- {caveat}" for caveat in (*facts.caveats, results["limits"]))
    warning = f"**{facts.warning}**\n\n" if facts.warning else ""
    return f"""{HUB if form == "hub" else ""}# {results["backbone"].partition(".")[0]} for facial expressions

{warning}Labels: {", ".join(results["classes"])}. Trained on {facts.title} ({facts.licence}). {_accuracy(results)}

{usage}

{_novelty(results)}Input: {results["preprocessing"].partition("; normalisation")[0]}.

## Limits

{caveats}
"""


def _novelty(results: dict[str, Any]) -> str:
    if "max_novelty_difference" not in results:
        return ""
    return (
        "The second output, `novelty`, says how unlike the training data a face is, from 0. Only 1 % of validation "
        "images reach 1: from there on, do not rely on the probabilities.\n\n"
    )


def _accuracy(results: dict[str, Any]) -> str:
    calibrated = "calibrated" if results["calibrated"] else "as trained, often too high"
    if results["accuracy_exported"] is None:
        return f"Its accuracy was not measured when it was exported. Its probabilities are {calibrated}."
    accuracy = f"Accuracy {results['accuracy_exported']:.1%} on {results['images']:,} {results['checked_on']}"
    return f"{accuracy}, in {results['precision']}. Its probabilities are {calibrated}."
