"""Where the numbers of a run go: `history.csv` always, and the loggers of the config."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning.loggers import Logger, TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only

from fer.errors import ConfigError
from fer.evaluation.evaluation import Evaluation
from fer.instantiate import build
from fer.models.classifier import ExpressionClassifier
from fer.reporting.tensorboard import declare_run, hparams_tags, hyperparameters, log_results, mark_failed
from fer.runs.choices import Choices
from fer.runs.folder import RunFolder
from fer.runs.tables import History

EXTRAS = ("wandb", "mlflow")  # of pyproject.toml, which bring the packages of these loggers
DEFAULT = {"tensorboard": {"_target_": "fer.reporting.tensorboard.RunLogger"}}  # of configs older than `logger`
OF_AN_EPOCH = ("train/", "val/", "throughput/")


class HistoryLogger(Logger):
    """Numbers of whole epochs, in `history.csv` of a run folder."""

    def __init__(self, run: RunFolder) -> None:
        super().__init__()
        self.history = History(run.history_file)

    @property
    def name(self) -> str:
        return "history"

    @property
    def version(self) -> str:
        return ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """They are in `config.yaml`."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        numbers = {name: float(value) for name, value in metrics.items() if name != "epoch"}
        if "epoch" in metrics and any(name.startswith(OF_AN_EPOCH) for name in numbers):
            self.history.add(int(metrics["epoch"]), numbers)


def build_loggers(cfg: DictConfig, run: RunFolder) -> list[Logger]:
    """The loggers of the config, which write into the run folder unless it says otherwise, and that of `history.csv`.

    Raises:
        ConfigError: a logger that cannot be built; where its package is missing, with the extra that has it.
    """
    nodes = cfg.get("logger", OmegaConf.create(DEFAULT)) or {}
    loggers: list[Logger] = []
    for name, node in nodes.items():
        if node is None:
            continue
        place = {} if "save_dir" in node else {"save_dir": str(run.path)}
        try:
            loggers.append(build(node, f"logger.{name}", **place))
        except ConfigError as error:
            if isinstance(error.__cause__, ImportError) and name in EXTRAS:
                raise ConfigError(
                    f"logger={name}: a package is not installed; pip install -e '.[{name}]', or take another logger"
                ) from error
            raise
    return [*loggers, HistoryLogger(run)]


def start_logging(loggers: Sequence[Logger], cfg: DictConfig, choices: Choices | None = None) -> None:
    """Ahead of training: what the run is, for each logger in its way."""
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            declare_run(logger.experiment, cfg, choices)
        else:
            logger.log_hyperparams(hyperparameters(cfg, choices))


@contextmanager
def failure_marked(loggers: Sequence[Logger]) -> Iterator[None]:
    """Tell loggers of a run that crashes; one that is stopped will be resumed."""
    try:
        yield
    except Exception:
        for logger in loggers:
            if isinstance(logger, TensorBoardLogger):
                mark_failed(Path(logger.log_dir))
            else:
                logger.finalize("failed")
        raise


def finish_logging(
    loggers: Sequence[Logger],
    run: RunFolder,
    evaluation: Evaluation,
    classifier: ExpressionClassifier,
    step: int,
) -> None:
    """After the test: its numbers for each logger; figures and projector for TensorBoard.

    Args:
        loggers: of the run.
        run: whose figures are written.
        evaluation: of the test, with all metrics of the run.
        classifier: that was tested.
        step: the last of the training.
    """
    metrics = evaluation.metrics
    for logger in loggers:
        if isinstance(logger, TensorBoardLogger):
            log_results(logger.experiment, run.path, metrics, evaluation.predictions, classifier, step)
        else:
            logger.log_metrics({tag: metrics[name] for tag, name in hparams_tags().items()}, step)
            logger.finalize("success")
