"""Sweepers as Hydra makes them; a script that ends as asked stands in for training, test_sweep.py has the real one."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext
from omegaconf import OmegaConf

from fer.cli.app import CONF, register_resolvers
from fer.runs.status import read_status
from fer.sweeps import job
from fer.sweeps.grid import combinations, make_job, parse
from fer.sweeps.optuna_search import OptunaSweeper
from fer.sweeps.sweeper import GridSweeper, register_sweepers

RUN = """
import os, sys
from pathlib import Path
given = dict(a.partition("=")[::2] for a in sys.argv[1:])
folder = Path(given["hydra.run.dir"].strip("'"))
attempt = len(list(folder.glob("attempt*")))
(folder / f"attempt{attempt}").touch()
seed = given["seed"]
if seed == "1":
    sys.exit("error: this seed fails")
if seed == "2" and attempt == 0:
    os.kill(os.getpid(), 9)
(folder / "metrics.json").write_text('{"val/accuracy": 0.%s, "test/accuracy": 0.4}' % seed)
"""


@pytest.fixture
def sweeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Make the sweeper that a command line asks for, as Hydra does."""
    (tmp_path / "run.py").write_text(RUN)
    monkeypatch.setattr(job, "TRAIN", tmp_path / "run.py")
    register_resolvers()
    register_sweepers()

    def make(*overrides: str) -> Sweeper:
        given = [*overrides, f"hydra.sweep.dir={tmp_path / 'sweep'}", "hydra.mode=MULTIRUN"]
        config = compose("train", given, return_hydra_config=True)
        context = HydraContext(config_loader=GlobalHydra.instance().config_loader(), callbacks=Callbacks())
        return Plugins.instance().instantiate_sweeper(hydra_context=context, task_function=print, config=config)

    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield make


@pytest.mark.parametrize(
    ("overrides", "name"),
    [
        ([], "GridSweeper"),
        (["sweep=paper"], "GridSweeper"),
        (["sweep=optuna"], "OptunaSweeper"),
        (["sweep=paper", "hydra/sweeper=optuna_search"], "OptunaSweeper"),
        (["sweep=optuna", "hydra/sweeper=grid"], "GridSweeper"),
        (["hydra/sweeper=basic"], "BasicSweeper"),
    ],
)
def test_the_command_line_chooses_before_the_sweep_file(sweeper: Callable, overrides: list[str], name: str) -> None:
    assert type(sweeper(*overrides)).__name__ == name


def test_options_of_a_sweeper_are_keys_of_the_config(sweeper: Callable) -> None:
    grid, search = sweeper("hydra.sweeper.retries=3"), sweeper("sweep=optuna", "hydra.sweeper.trials=5")
    assert isinstance(grid, GridSweeper)
    assert (grid.retries, grid.compare) == (3, True)
    assert isinstance(search, OptunaSweeper)
    assert search.trials == 5
    assert set(search.params) == {"optimizer.lr", "optimizer.weight_decay", "loss.label_smoothing"}


def test_a_sweep_returns_the_accuracy_of_each_job(sweeper: Callable, tmp_path: Path) -> None:
    assert sweeper("hydra.sweeper.compare=false").sweep(["seed=3,2"]) == [0.3, 0.2]
    killed = tmp_path / "sweep" / "resnet18_demo_seed2"
    assert read_status(killed).attempts == 2


def test_jobs_side_by_side_are_the_jobs_of_one_after_the_other(
    sweeper: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second ends only once the first has begun, and the other way round: they run at the same time."""
    meet = """
import os, sys, time
from pathlib import Path
given = dict(a.partition("=")[::2] for a in sys.argv[1:])
folder = Path(given["hydra.run.dir"].strip("'"))
(folder / "begun").write_text(os.environ.get("FER_CORES", "all") + " ".join(sys.argv[1:]))
until = time.monotonic() + 60
while len(list(folder.parent.glob("*/begun"))) < 2 and time.monotonic() < until:
    time.sleep(0.02)
(folder / "metrics.json").write_text('{"val/accuracy": 0.%s}' % (len(list(folder.parent.glob("*/begun")))))
"""
    (tmp_path / "run.py").write_text(meet)
    monkeypatch.setattr("fer.sweeps.side_by_side.may_have_gpu", lambda: False)
    monkeypatch.setattr("fer.sweeps.side_by_side.cores_to_use", lambda: 2)
    assert sweeper("hydra.sweeper.compare=false").sweep(["seed=0,1", "folds=all", "hydra.sweeper.retries=0"]) == [
        0.2,
        0.2,
    ]
    out = capsys.readouterr().out
    assert "[1/2]" in out
    assert "[2/2]" in out
    for seed in (0, 1):
        begun = (tmp_path / "sweep" / f"resnet18_demo_seed{seed}" / "begun").read_text()
        assert begun.startswith("1")  # core each
        assert {f"seed={seed}", "folds=all", "hydra.mode=RUN"} <= set(begun[1:].split())
        assert "retries" not in begun


def test_a_failed_job_makes_exit_status_1_after_all_others_have_run(
    sweeper: Callable, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        sweeper("hydra.sweeper.compare=false").sweep(["seed=0,1,2"])
    assert raised.value.code == 1
    states = {seed: read_status(tmp_path / "sweep" / f"resnet18_demo_seed{seed}").state for seed in (0, 1, 2)}
    assert states == {0: "finished", 1: "failed", 2: "finished"}
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "resnet18_demo_seed1: this seed fails" in errors[0]


@pytest.mark.parametrize("argument", ["seed=range(0,0)", "optimizer.rate=1,2", "seed=1,,2", "seed=interval(0,1)"])
def test_a_sweep_that_cannot_start_is_one_line(sweeper: Callable, argument: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as raised:
        sweeper().sweep([argument])
    assert str(raised.value.code).startswith("error: ")
    assert "\n" not in str(raised.value.code)
    assert not (tmp_path / "sweep").exists()


def test_a_launcher_that_is_not_installed_is_one_line(sweeper: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in Plugins.instance().class_name_to_class if "joblib" in name]:
        monkeypatch.delitem(Plugins.instance().class_name_to_class, name)
    with pytest.raises(SystemExit, match=r"hydra/launcher=joblib is not available .*pip install -e '\.\[joblib\]'"):
        sweeper("hydra/launcher=joblib").sweep(["seed=0,1"])


@pytest.mark.parametrize(
    "given",
    [
        *([f"sweep={path.stem}"] for path in sorted((CONF / "sweep").glob("*.yaml"))),
        ["sweep=paper", "model=resnet18", "~callbacks.best", "+trainer.profiler=simple", "data.classes=[happy,sad]"],
        ["sweep=paper", "model=resnet18", "optimizer={lr: 0.3}", "callbacks=[default,early_stopping]", "logger=csv"],
        ["sweep=paper", "model=resnet18", "trainer.nonsense=1"],
        ["sweep=paper", "model=resnet18", "freeze=nonsense,none"],
    ],
    ids=" ".join,
)
def test_jobs_have_the_configs_that_hydra_composes(sweeper: Callable, given: list[str]) -> None:
    made = sweeper(given[0])
    arguments = [*(f"{key}={value}" for key, value in made.params.items()), *given[1:], given[0]]
    overrides = parse(arguments, made.hydra_context.config_loader)
    if "optuna" in given[0]:  # whose intervals have no list of values
        one_each = ("optimizer.lr=0.1,0.2", "optimizer.weight_decay=0.1", "loss.label_smoothing=0,1")
        overrides = parse([*arguments, *one_each])
    every = combinations(overrides)
    reads, load = [], made.compose.load
    made.compose.load = lambda words: reads.append(words) or load(words)
    for varied in every if len(every) < 12 else every[:: len(every) // 4]:
        ours = make_job(varied, overrides, Path("x"), {}, made.compose)
        theirs = make_job(varied, overrides, Path("x"), {}, load)
        assert (ours.name, ours.overrides, ours.error) == (theirs.name, theirs.overrides, theirs.error)
        assert (ours.config is None) == (theirs.config is None)
        if ours.config is not None and theirs.config is not None:
            assert OmegaConf.to_yaml(ours.config) == OmegaConf.to_yaml(theirs.config)  # keys in their order, too
            assert OmegaConf.is_struct(ours.config) == OmegaConf.is_struct(theirs.config)
    chosen = ("model", "data", "freeze", "rates")
    groups = {tuple(value for key, value in varied.items() if key in chosen) for varied in every}
    if "nonsense" not in " ".join(given):
        assert len(reads) <= len(groups)  # where values alone differ, nothing is composed again
