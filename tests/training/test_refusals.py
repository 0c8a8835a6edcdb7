"""What cannot work is said in one line, and loses nothing."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from fer.errors import ConfigError, RunError, WeightsError
from fer.runs.resume import resumed_config
from fer.training.train import train


def test_a_finished_folder_is_not_overwritten(finished: tuple[Path, dict], tiny_config: Callable) -> None:
    folder, _ = finished
    before = (folder / "metrics.json").read_bytes()
    with pytest.raises(RunError, match="finished"):
        train(tiny_config(), folder)
    assert (folder / "metrics.json").read_bytes() == before


def test_resuming_says_what_it_cannot_do(finished: tuple[Path, dict], tiny_config: Callable, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no .*last\.ckpt"):
        train(tiny_config(f"resume={tmp_path}"), tmp_path)
    folder, _ = finished
    for name in ("config.yaml", "checkpoints"):
        (tmp_path / name).symlink_to(folder / name)
    with pytest.raises(RunError, match="keeps its optimizer"):
        train(tiny_config(f"resume={tmp_path}", "optimizer=sgd"), tmp_path, ["optimizer=sgd"])


@pytest.mark.parametrize(
    ("overrides", "error", "says"),
    [
        (["data.root=/nowhere", "data.source=null"], "DataError", "prepare.py"),
        (["trainer.max_epochs=many"], "ConfigError", "trainer.max_epochs=many"),
        (["trainer.max_epochs=0"], "ConfigError", "trainer.max_epochs=0"),
        (["trainer.devices=9999"], "ConfigError", "trainer.devices=9999: on the CPU each is a process"),
        (["trainer.precision=bf17"], "ConfigError", "bf17"),
        (["trainer.precision=bf16-true"], "ConfigError", "choose auto, 32-true"),
        (["data.batch_size=1"], "ConfigError", "images of 32 px this network's BatchNorm needs data.batch_size=2"),
        (["data.batch_size=1", "lr_find=only"], "ConfigError", "needs data.batch_size=2 or more"),
        (
            ["model.backbone=vit_tiny_patch16_224"],
            "ConfigError",
            "images of 32 px.*those of 224 px alone: give data.image",
        ),
        (["data.batch_size=0"], "ConfigError", "batch_size=0"),
        (["data.classes=[happy,contempt]"], "DataError", "contempt"),
        (["data.folds=10"], "DataError", "no subject"),
        (["model.backbone=resnet81"], "ConfigError", "resnet81"),
        (["model.weights=nowhere.safetensors"], "WeightsError", "nowhere"),
        (["optimizer.lr=fast"], "ConfigError", "optimizer.lr=fast"),
        (["optimizer._target_=torch.optim.Adamw"], "ConfigError", "Adamw"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(
    overrides: list[str], error: str, says: str, tiny_config: Callable, tmp_path: Path
) -> None:
    from fer import errors

    with pytest.raises(getattr(errors, error), match=says) as raised:
        train(tiny_config(*overrides), tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert len(str(raised.value)) < 500


def test_gpu_that_is_not_there(tiny_config: Callable, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(
        ConfigError, match=r"no CUDA GPU .*trainer\.accelerator=auto or trainer\.accelerator=cpu, with which"
    ):
        train(tiny_config("trainer=gpu"), tmp_path / "run")


@pytest.mark.parametrize("override", ["trainer=cpu", "trainer.accelerator=cpu"])
def test_a_run_that_a_gpu_began_resumes_on_a_cpu(override: str, tiny_config: Callable, tmp_path: Path) -> None:
    saved = tiny_config("trainer=gpu", "trainer.max_epochs=7")
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(saved, resolve=True))
    wanted = resumed_config(tiny_config(f"resume={tmp_path}", override), tmp_path, [override])
    assert wanted.trainer.accelerator == "cpu"
    assert wanted.trainer.max_epochs == 7


def test_imagenet_weights_without_cache_or_network(
    tiny_config: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(WeightsError, match=r"three ways out.*model\.weights=PATH.*model\.weights=none"):
        train(tiny_config("model.weights=imagenet"), tmp_path / "run")
