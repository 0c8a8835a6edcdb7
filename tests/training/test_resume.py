"""However a run ends early, it goes on to the very weights and numbers of one that was never interrupted."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from fer.cli.app import run_folder
from fer.data.build_pack import build_pack
from fer.errors import DataError, DivergenceError, RunError
from fer.runs.resume import NOT_SET, differences, may_change
from fer.training.train import train
from tests.composing import composed
from tests.forked import run_script

# 210 training images, 6 steps an epoch, 18 in all; the freeze changes after the first epoch.
EVERYTHING = (
    "freeze=head_first",
    "freeze.epochs=1",
    "mix=both",
    "module.ema_decay=0.9",
    "model.drop_rate=0.2",
    "rates=geometric",
    "data.train_image_size=[[0,24],[2,32]]",
)
CHECKPOINT_EVERY_STEP = "callbacks.last.every_minutes=0"


@pytest.fixture(scope="module")
def everything(finished: tuple[Path, dict]) -> tuple[str, ...]:
    """Overrides of a run with all that has a state, from the weights of another."""
    return (*EVERYTHING, f"model.weights={finished[0]}")


@pytest.fixture(scope="module")
def whole(everything: tuple[str, ...], tiny_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    train(composed("train", *tiny_overrides, *everything), folder)
    return folder


def same_run(folder: Path, whole: Path) -> None:
    """Weights, averages, optimizer and metrics are equal to the bit."""
    for name in ("last", "best"):
        found, expected = (
            torch.load(where / "checkpoints" / f"{name}.ckpt", weights_only=True) for where in (folder, whole)
        )
        assert found["epoch"] == expected["epoch"]
        for key, value in expected["state_dict"].items():
            assert torch.equal(found["state_dict"][key], value), key
        if name == "last":
            states = [checkpoint["optimizer_states"][0]["state"] for checkpoint in (found, expected)]
            for parameter, moments in states[1].items():
                assert all(torch.equal(states[0][parameter][n], value) for n, value in moments.items())
    numbers = [json.loads((where / "metrics.json").read_text()) for where in (folder, whole)]
    measured = {"train_seconds", "train_images_per_second", "peak_memory_bytes"}
    measured |= {"test/readings", "test/configurations_read"}  # the ledger goes on
    assert {n: v for n, v in numbers[0].items() if n not in measured} == {
        n: v for n, v in numbers[1].items() if n not in measured
    }
    assert (folder / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()


def interrupt(kind: str, **options: object) -> str:
    settings = ",".join(f"{key}:{value}" for key, value in options.items())
    return f"+callbacks.interrupt={{_target_:interruptions.{kind},{settings}}}"


def test_a_run_does_not_resume_on_other_data(tiny_config: Callable, drawn_folder: Path, tmp_path: Path) -> None:
    """The pack was made anew from a download that had changed: under one name, other images would have been mixed."""
    source = Path(shutil.copytree(drawn_folder, tmp_path / "source"))
    settings = [f"data.source={source}", f"data.root={tmp_path / 'packs'}", "trainer.max_epochs=2"]
    with pytest.raises(RuntimeError, match="crashed"):
        train(tiny_config(*settings, interrupt("RaiseAt", step=9)), tmp_path / "run")
    next(source.glob("train/happy/*.png")).unlink()
    resumed = tiny_config(*settings, "data.source=null")
    before = (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes()
    build_pack(tmp_path / "packs", "fer2013", str(source))
    with pytest.raises(DataError, match="holds other images or labels than this run has been trained on so far"):
        train(resumed, tmp_path / "run")
    assert (tmp_path / "run" / "checkpoints" / "last.ckpt").read_bytes() == before
    build_pack(tmp_path / "packs", "fer2013", str(drawn_folder))
    assert train(resumed, tmp_path / "run") is not None


@pytest.mark.parametrize(
    ("name", "status", "step"), [("SIGTERM", 143, 1), ("SIGTERM", 143, 6), ("SIGTERM", 143, 17), ("SIGINT", 130, 8)]
)
def test_a_stop_saves_at_once_and_exits_with_the_signals_status(
    name: str, status: int, step: int, everything: tuple[str, ...], whole: Path, tiny_config: Callable, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(SystemExit) as stopped:
        train(tiny_config(*everything, interrupt("SignalAt", step=step, signal_name=name)), folder)
    assert stopped.value.code == status
    assert not (folder / "metrics.json").exists()
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == step + 1  # the step at hand was finished
    spent = saved["callbacks"]["LastCheckpoint"]["train_seconds"]
    assert spent > 0
    again = [f"resume={folder}", "~callbacks.interrupt"]
    metrics = train(tiny_config(again[0]), folder, again)
    assert metrics is not None
    assert metrics["train_seconds"] >= spent
    assert (metrics["train_images_per_second"] or 2) > 1  # of what was trained after, if anything was
    same_run(folder, whole)


def test_gradients_gathered_over_batches_are_kept(tiny_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    """A step takes four batches of the six of an epoch, then two: stopped after the fifth, then crashed."""
    gather = (*EVERYTHING, "trainer.accumulate_grad_batches=4")
    train(tiny_config(*gather), tmp_path / "whole")
    folder = tmp_path / "run"
    with pytest.raises(SystemExit):
        train(tiny_config(*gather, interrupt("SignalAt", step=1, signal_name="SIGTERM")), folder)
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["fer"]["gradients"]
    with pytest.raises(RuntimeError, match="crashed"):
        train(tiny_config(*gather, CHECKPOINT_EVERY_STEP, interrupt("RaiseAt", step=3)), folder)
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert "gradients" not in saved["fer"]  # no checkpoint between the batches of a step but where it is stopped
    assert saved["global_step"] == 3
    train(tiny_config(*gather), folder)
    same_run(folder, tmp_path / "whole")


@pytest.mark.parametrize("crash", [{"step": 3}, {"step": 9}, {"step": 6, "validating": "true"}])
def test_after_a_crash_the_same_command_goes_on_from_the_last_checkpoint(
    crash: dict, everything: tuple[str, ...], whole: Path, tiny_config: Callable, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(RuntimeError, match="crashed"):
        train(tiny_config(*everything, CHECKPOINT_EVERY_STEP, interrupt("RaiseAt", **crash)), folder)
    train(tiny_config(*everything, CHECKPOINT_EVERY_STEP), folder)
    same_run(folder, whole)


def test_without_a_checkpoint_within_the_epoch_it_goes_on_from_the_epochs_start(
    everything: tuple[str, ...], whole: Path, tiny_config: Callable, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(RuntimeError, match="crashed"):
        train(tiny_config(*everything, interrupt("RaiseAt", step=15)), folder)
    assert not (folder / "metrics.json").exists()
    train(tiny_config(f"resume={folder}"), folder, [f"resume={folder}", "~callbacks.interrupt"])
    same_run(folder, whole)


def test_a_killed_process_goes_on_from_its_last_checkpoint(
    everything: tuple[str, ...], whole: Path, tiny_overrides: list[str], tiny_config: Callable, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    kill = interrupt("SignalAt", step=9, signal_name="SIGKILL")
    overrides = [*tiny_overrides, *everything, CHECKPOINT_EVERY_STEP, f"hydra.run.dir={folder}", kill]
    killed = run_script("train", *overrides, folder=tmp_path)
    assert killed.returncode == -9
    assert torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 9
    train(tiny_config(*everything, CHECKPOINT_EVERY_STEP), folder)
    same_run(folder, whole)


class TestChangedConfig:
    @pytest.fixture(scope="class")
    def crashed(self, tiny_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("crashed") / "run"
        with pytest.raises(RuntimeError, match="crashed"):
            train(composed("train", *tiny_overrides, interrupt("RaiseAt", step=7)), folder)
        return folder

    @pytest.fixture
    def stopped(self, crashed: Path, tmp_path: Path) -> Path:
        return shutil.copytree(crashed, tmp_path / "run")

    def test_what_cannot_be_resumed_is_refused_by_name(
        self, stopped: Path, tiny_config: Callable[..., DictConfig]
    ) -> None:
        before = (stopped / "config.yaml").read_bytes()
        with pytest.raises(
            RunError, match=r"seed=3 \(was 0\).*optimizer\.lr=0\.5 \(was 0\.003\)|optimizer.*seed"
        ) as error:
            train(tiny_config("seed=3", "optimizer.lr=0.5"), stopped)
        assert "\n" not in str(error.value)
        assert "resume=" in str(error.value)
        assert (stopped / "config.yaml").read_bytes() == before

    def test_what_differs_is_listed_and_goes_on(
        self, stopped: Path, tiny_config: Callable[..., DictConfig], caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level("INFO"):
            again = [f"resume={stopped}", "trainer.max_epochs=2", "~callbacks.interrupt"]
            metrics = train(tiny_config(*again[:2]), stopped, again)
        assert metrics is not None
        assert "trainer.max_epochs=2 (was 3)" in caplog.text
        assert OmegaConf.load(stopped / "config.yaml").trainer.max_epochs == 2

    def test_what_holds_no_state_of_training_is_refused(
        self, stopped: Path, tiny_config: Callable[..., DictConfig], tmp_path: Path
    ) -> None:
        last = stopped / "checkpoints" / "last.ckpt"
        content = torch.load(last, weights_only=True)
        content.pop("optimizer_states")
        torch.save(content, stopped / "checkpoints" / "best.ckpt")
        shutil.copy(last, tmp_path / "somewhere.ckpt")
        before = (stopped / "config.yaml").read_bytes()
        for given, told in (
            (stopped / "checkpoints" / "best.ckpt", "best.ckpt holds weights alone"),
            (tmp_path / "somewhere.ckpt", "lies in no run folder; .*model.weights=PATH"),
            (tmp_path / "typo", "there is no .*typo"),
        ):
            cfg = tiny_config(f"resume={given}")
            folder = Path(run_folder(cfg.resume, str(tmp_path / "fresh")))
            with pytest.raises(RunError, match=told):
                train(cfg, folder, [f"resume={given}"])
        assert (stopped / "config.yaml").read_bytes() == before
        assert not (tmp_path / "typo").exists()

    def test_differences_are_of_values(self) -> None:
        saved, wanted = OmegaConf.create({"a": {"b": 1, "c": 2}}), OmegaConf.create({"a": {"b": 1, "c": 3}, "d": 4})
        assert differences(saved, wanted) == {"a.c": (2, 3), "d": (NOT_SET, 4)}

    @pytest.mark.parametrize(
        ("key", "free"),
        [("trainer.max_epochs", True), ("callbacks.last.every_minutes", True), ("data.batch_size", False)],
    )
    def test_only_what_leaves_the_state_valid_may_change(self, key: str, free: bool) -> None:
        assert may_change(key) == free


def test_a_diverging_run_names_the_step_and_keeps_its_good_checkpoint(
    tiny_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    with pytest.raises(DivergenceError, match=r"epoch \d, step \d+: .*lower optimizer\.lr"):
        train(tiny_config("optimizer=sgd", "optimizer.lr=1e9", "scheduler=onecycle", "scheduler.start=1e-14"), folder)
    assert not (folder / "metrics.json").exists()
    for checkpoint in folder.glob("checkpoints/*.ckpt"):
        state = torch.load(checkpoint, weights_only=True)["state_dict"]
        assert all(torch.isfinite(value).all() for value in state.values() if value.is_floating_point())
