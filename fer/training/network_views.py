"""What TensorBoard shows of the network itself: its graph, its weights and gradients."""

import copy
import logging
import math
import warnings
from collections.abc import Sequence

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from fer.models.stages import Stage
from fer.training.callbacks import tensorboard
from fer.training.module import ExpressionModule

log = logging.getLogger(__name__)

SAMPLE = 20_000  # values of a stage in a histogram, evenly spaced: all of them would take seconds


class NetworkGraph(Callback):
    """The graph of the network, once for each run."""

    def on_train_start(self, trainer: Trainer, module: ExpressionModule) -> None:  # type: ignore[override]
        writer = tensorboard(trainer)
        if writer is None or trainer.global_step or trainer.train_dataloader is None:
            return
        try:
            images = trainer.train_dataloader.batch(trainer.current_epoch, 0).images[:1]
            network = copy.deepcopy(module.network).cpu().eval()  # tracing must leave the one that trains as it is
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                example = torch.zeros(images.shape, dtype=torch.float32)
                writer.add_graph(torch.jit.trace(network, example, check_trace=False), example)  # a check: 3 s more
        except Exception as error:  # of whatever kind: a network of one's own may do what cannot be traced
            log.debug("no graph of the network: %s", error, exc_info=True)


class WeightsAndGradients(Callback):
    """Gradient norms of each epoch's last step, `gradient_norm/<stage>`, and every few epochs histograms by stage.

    Norms are those ahead of clipping. A frozen stage has none.

    Args:
        every_n_epochs: how often histograms are written; also after the last epoch.
    """

    def __init__(self, every_n_epochs: int = 5) -> None:
        self.every_n_epochs = every_n_epochs

    def on_before_optimizer_step(
        self,
        trainer: Trainer,
        module: ExpressionModule,  # type: ignore[override]
        optimizer: Optimizer,
    ) -> None:
        if trainer.fit_loop.epoch_loop.batch_idx + 1 != trainer.num_training_batches or not trainer.is_global_zero:
            return
        of_stage = {stage.name: _parameters(module, stage) for stage in module.stages}
        gradients = {
            name: [parameter.grad.detach() for parameter in parameters if parameter.grad is not None]
            for name, parameters in of_stage.items()
        }
        gradients = {name: found for name, found in gradients.items() if found}
        if not gradients:
            return
        norms = torch.stack([torch.stack(torch._foreach_norm(found)).norm() for found in gradients.values()])
        values = [*norms.tolist(), float(norms.norm())]
        named = dict(zip((f"gradient_norm/{name}" for name in (*gradients, "all")), values, strict=True))
        for logger in trainer.loggers:
            logger.log_metrics(named, step=trainer.global_step)
        self._histograms(trainer, of_stage, gradients)

    def _histograms(
        self, trainer: Trainer, weights: dict[str, list[torch.nn.Parameter]], gradients: dict[str, list[Tensor]]
    ) -> None:
        writer, epoch = tensorboard(trainer), trainer.current_epoch + 1
        if writer is None or not (epoch == trainer.max_epochs or epoch % self.every_n_epochs == 0):
            return
        for name, parameters in weights.items():
            writer.add_histogram(f"weights/{name}", _sample(parameters), trainer.global_step)
        for name, found in gradients.items():
            values = _sample(found)
            if bool(values.isfinite().all()):
                writer.add_histogram(f"weights_gradient/{name}", values, trainer.global_step)


def _parameters(module: LightningModule, stage: Stage) -> list[torch.nn.Parameter]:
    network = module.network
    assert isinstance(network, torch.nn.Module)
    return [network.get_parameter(name) for name in stage.parameters]


def _sample(tensors: Sequence[Tensor]) -> Tensor:
    """At most about `SAMPLE` of all values, evenly spaced, float32 on the CPU."""
    step = max(1, math.ceil(sum(tensor.numel() for tensor in tensors) / SAMPLE))
    flat = [tensor.detach().contiguous().view(-1)[::step] for tensor in tensors]
    return torch.cat(flat).float().cpu()
