"""A run that goes on from any step equals the uninterrupted one."""

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from trainings import fit, make

from fer.data.augment import Mix
from fer.models.lr_multipliers import Geometric
from fer.models.network import timm_network
from fer.training.freeze import FreezeSchedule
from fer.training.module import ExpressionModule
from fer.training.schedule import OneCycle

THAW = FreezeSchedule({0: 1, 1: 2, 2: 3})


def going_on(**options) -> ExpressionModule:
    """One that thaws stage by stage, with all that has a state or draws at random."""
    network = timm_network("test_resnet", num_classes=3, weights="none", drop_rate=0.3)
    return make(network, freeze=THAW, scheduler=OneCycle(), layerwise_lr=Geometric(), ema_decay=0.9, **options)


EVERYTHING = {"mix": Mix(mixup=0.4, cutmix=1.0), "max_epochs": 3}  # what a run goes through, with EMA and dropout


@pytest.fixture(scope="module", params=["32-true", "bf16-mixed"])
def straight(request, tmp_path_factory):
    """An uninterrupted run of 9 steps, and its checkpoints after each."""
    folder = tmp_path_factory.mktemp("straight")
    keep = ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1)
    classifier = going_on()
    trainer = fit(classifier, folder, keep, precision=request.param, **EVERYTHING)
    return classifier, trainer.callback_metrics, folder, request.param


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`")
@pytest.mark.parametrize("step", range(1, 9))
def test_a_run_that_goes_on_from_any_step_equals_the_uninterrupted_one(straight, tmp_path, step):
    """Within an epoch too: the images, what is frozen, the rate, the averages, the metrics. Lightning leaves out the
    hook of the epoch's start there, and gives loaders their position back only if nobody asked for
    `estimated_stepping_batches`."""
    classifier, metrics, folder, precision = straight
    resumed = going_on()
    checkpoint = folder / f"step={step}.ckpt"
    found = fit(resumed, tmp_path, checkpoint=checkpoint, precision=precision, **EVERYTHING).callback_metrics
    for key, value in resumed.state_dict().items():
        assert torch.equal(value, classifier.state_dict()[key]), key
    if step % 3:  # at an epoch's end a step's checkpoint comes before the validation, which Lightning takes for done
        results = [name for name in metrics if name.startswith(("train/", "val/"))]
        assert len(results) == 6
        assert {name: float(found[name]) for name in results} == {name: float(metrics[name]) for name in results}
