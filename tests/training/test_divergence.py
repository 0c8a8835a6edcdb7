"""A loss that is no number ends the run."""

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from trainings import fit, make

from fer.errors import DivergenceError
from fer.training.progress import DivergenceWatch, divergence


class TestDivergence:
    @pytest.mark.parametrize("ema_decay", [None, 0.9])
    def test_a_loss_that_is_no_number_stops_the_run(self, tmp_path, ema_decay):
        explode = make(optimizer=lambda groups: torch.optim.SGD(groups, lr=1e30), ema_decay=ema_decay)
        with pytest.raises(DivergenceError, match=r"epoch 0, step 1: .*learning rate 1e\+30, .*optimizer\.lr") as error:
            fit(explode, tmp_path, max_epochs=3)
        assert "\n" not in str(error.value)

    def test_no_checkpoint_is_made_of_it(self, tmp_path):
        explode = make(optimizer=lambda groups: torch.optim.SGD(groups, lr=1e30))
        keep = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=1, save_top_k=-1)
        with pytest.raises(DivergenceError):
            fit(explode, tmp_path, keep, max_epochs=3)
        assert [path.name for path in tmp_path.glob("*.ckpt")] == ["step=1.ckpt"]

    def test_pictures_that_are_no_numbers_are_told_from_rates_that_are_too_high(self):
        network = nn.Linear(1, 1)
        faces = torch.full((1, 1), float("nan"))
        assert "look at the data" in str(divergence(3, 1, 0.1, "32-true", network, faces))
        assert "fp16" in str(divergence(3, 1, 0.1, "16-mixed", network))

    def test_the_watch_remembers_the_first_step(self):
        watch = DivergenceWatch()
        for step, loss in enumerate([1.0, float("inf"), 2.0, float("nan")]):
            watch.see(torch.tensor(loss), step)
        assert watch.step == 1
