"""How unlike its training data a face is."""

import pytest
import timm
import torch
from torch import nn

from fer.models.novelty import Novelty, features_of, stage_names, watched_stages


def test_what_is_far_from_training_is_over_the_border() -> None:
    draw = torch.Generator().manual_seed(0)
    training, validation = (torch.rand(count, 32, generator=draw) + torch.arange(32) / 8 for count in (300, 200))
    novelty = Novelty.fit(training, validation)
    assert novelty is not None
    assert (novelty.score(validation) >= 1).float().mean() == pytest.approx(0.01, abs=0.006)
    assert novelty.score(training.flip(1)[:50]).min() > 2
    assert torch.allclose(novelty.score(3 * validation), novelty.score(validation), atol=1e-4)
    assert Novelty.fit(training, validation[:0]) is None


def test_the_text_holds_all_of_it() -> None:
    novelty = Novelty.fit(torch.rand(20, 8), torch.rand(20, 8))
    assert novelty is not None
    again = Novelty.from_text(novelty.to_text())
    assert torch.equal(again.examples, novelty.examples)
    assert again.border == novelty.border
    for damaged in ("", "20 8 1.0", novelty.to_text()[:-8], novelty.to_text().replace("20 8", "20 9", 1), "2 2 x AAAA"):
        with pytest.raises(ValueError, match=r".*"):
            Novelty.from_text(damaged)


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_stages_of_any_network_are_watched(name: str) -> None:
    network = timm.create_model(name, num_classes=7, in_chans=1).eval()
    images = torch.rand(3, 1, 160 if name == "test_vit" else 64, 160 if name == "test_vit" else 64)
    with torch.inference_mode(), watched_stages(network) as seen:
        network(images)
        features = features_of(seen)
        assert features is not None
        network(images[:1])
        alone = features_of(seen)
    assert features.shape[0] == 3
    assert torch.allclose(alone, features[:1], atol=1e-4)
    assert torch.isfinite(features).all()
    network(images)
    assert seen == []  # the hooks are gone
    assert stage_names(nn.Sequential(nn.Flatten(), nn.Linear(4, 2))) == ["0", "1"]
    with watched_stages(flat := nn.Sequential(nn.Flatten(), nn.Linear(4, 2))) as seen:
        flat(torch.rand(2, 1, 2, 2))
        assert features_of(seen).numel() == 0
