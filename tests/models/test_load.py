"""Loading checkpoints: what was saved comes back, and nothing in a file is run."""

import os

import pytest
import torch
from torch import nn
from trainings import CLASSES, OURS, SPEC, fit, make

from fer.errors import CheckpointError
from fer.models.load import load_classifier


def rewritten(path, target, **facts):
    """A copy of a checkpoint with other facts in it."""
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["fer"] |= facts
    torch.save(checkpoint, target)
    return target


def refused(path, **options) -> str:
    with pytest.raises(CheckpointError) as error:
        load_classifier(path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("whole", [True, False], ids=["run folder", "file"])
def test_a_loaded_classifier_gives_the_same_logits(written, whole):
    classifier, path = written
    loaded = load_classifier(path.parents[1] if whole else path)
    faces = torch.rand(4, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(faces), classifier(faces))
    assert (loaded.classes, loaded.image_size) == (CLASSES, 32)
    assert not any(module.training for module in loaded.modules())


def test_loading_needs_none_of_the_weights_it_started_from(written, tmp_path):
    """A run that began from pretrained weights is loaded where these are gone and nobody is online."""
    path = rewritten(written[1], tmp_path / "best.ckpt", network={**SPEC, "weights": str(tmp_path / "gone.pth")})
    assert load_classifier(path).classes == CLASSES


def test_a_checkpoint_that_names_the_builder_as_it_was_called_before_loads(written, tmp_path):
    path = rewritten(written[1], tmp_path / "old.ckpt", network={**SPEC, "_target_": "fer.model.network.timm_network"})
    assert load_classifier(path).network_spec["_target_"] == "fer.models.network.timm_network"


class TestHostileCheckpoints:
    @pytest.mark.parametrize(
        "target", ["os.system", "os.mkdir", "builtins.exec", "fer.models.network._create", None, 7]
    )
    def test_another_target_is_never_called(self, written, tmp_path, monkeypatch, target):
        monkeypatch.chdir(tmp_path)
        spec = {"_target_": target, "command": "touch executed", "path": "executed", "_args_": ["executed"]}
        path = rewritten(written[1], tmp_path / "evil.ckpt", network=spec)
        assert "pass it in" in refused(path)
        assert os.listdir(tmp_path) == ["evil.ckpt"]

    @pytest.mark.parametrize("key", ["backbone", "stem", "drop_rate", "num_classes"])
    def test_a_nested_target_is_never_called(self, written, tmp_path, monkeypatch, key):
        monkeypatch.chdir(tmp_path)
        hostile = {"_target_": "os.mkdir", "path": "executed", "_args_": ["executed"]}
        path = rewritten(written[1], tmp_path / "evil.ckpt", network={**SPEC, key: hostile})
        assert key in refused(path)
        assert os.listdir(tmp_path) == ["evil.ckpt"]

    @pytest.mark.parametrize(
        "spec",
        [
            {**SPEC, "backbone": "hf-hub:somebody/model"},
            {**SPEC, "backbone": "local-dir:/tmp"},
            {**SPEC, "backbone": "no_such_model"},
            {**SPEC, "backbone": 3},
            {**SPEC, "num_classes": "three"},
            {**SPEC, "num_classes": 8},
            {**SPEC, "unheard_of": 1},
            {"_target_": OURS},
        ],
    )
    def test_a_network_that_cannot_be_built_or_does_not_fit(self, written, tmp_path, spec):
        assert "bad.ckpt" in refused(rewritten(written[1], tmp_path / "bad.ckpt", network=spec))

    def test_pickled_code_does_not_run(self, written, tmp_path):
        class Bomb:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "executed"),)

        path = rewritten(written[1], tmp_path / "evil.ckpt", image_size=Bomb())
        assert "never loaded" in refused(path)
        assert not (tmp_path / "executed").exists()

    @pytest.mark.parametrize("share", [0, 0.3, 0.99])
    def test_a_truncated_file(self, written, tmp_path, share):
        content = written[1].read_bytes()
        (tmp_path / "short.ckpt").write_bytes(content[: int(share * len(content))])
        assert "damaged" in refused(tmp_path / "short.ckpt")

    @pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], torch.zeros(3)])
    def test_a_foreign_file(self, tmp_path, content):
        torch.save(content, tmp_path / "foreign.ckpt")
        assert "no checkpoint of this project" in refused(tmp_path / "foreign.ckpt")

    def test_a_missing_file(self, tmp_path):
        assert "no checkpoint at" in refused(tmp_path / "missing.ckpt")


class OwnNetwork(nn.Module):
    def __init__(self, width: int = 4):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(width, 3)

    def forward(self, images):
        return self.head(self.body(images))


def test_ones_own_network_is_built_by_oneself_and_passed_in(tmp_path):
    spec = {"_target_": "somewhere.OwnNetwork", "width": 4, "options": {"nested": [1, 2]}}
    classifier = make(OwnNetwork(), spec)
    path = tmp_path / "own.ckpt"
    fit(classifier, tmp_path).save_checkpoint(path)
    assert "somewhere.OwnNetwork" in refused(path)
    loaded = load_classifier(path, network=OwnNetwork())
    faces = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(faces), classifier.eval()(faces))
    assert "does not fit" in refused(path, network=OwnNetwork(width=5))
