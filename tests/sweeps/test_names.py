import pytest
from omegaconf import OmegaConf

from fer.sweeps.names import MAX_NAME, job_name, sweep_name

CHOICES = {"model": "resnet18", "data": "ckplus", "optimizer": "adamw"}


def test_a_job_is_named_by_model_data_and_seed() -> None:
    assert job_name(CHOICES, 0, {}) == "resnet18_ckplus_seed0"
    assert job_name(CHOICES, 2, {"model": "resnet18", "data": "ckplus", "seed": "2"}) == "resnet18_ckplus_seed2"


def test_and_by_whatever_else_varies() -> None:
    assert job_name(CHOICES, 2, {"optimizer.lr": "1e-3"}) == "resnet18_ckplus_seed2_lr-1e-3"
    varied = {"+callbacks.extra": "{a:b,c:1}", "freeze": "gradual"}
    assert job_name(CHOICES, 0, varied) == "resnet18_ckplus_seed0_extra-a-b-c-1_freeze-gradual"


def test_a_sweep_is_named_by_its_file() -> None:
    assert sweep_name("paper", ["sweep=paper", "seeds=5"]) == "paper"


def test_or_by_what_the_command_line_said_without_where_things_are() -> None:
    overrides = ["model=resnet18,resnet34", "data=demo", "data.source=/far/away.zip", "trainer.max_epochs=2"]
    assert sweep_name(None, overrides) == "resnet18-resnet34_demo_max_epochs-2"
    assert sweep_name(None, []) == "sweep"


@pytest.mark.parametrize("name", [lambda o: sweep_name(None, o), lambda o: job_name(CHOICES, 0, {"x": "".join(o)})])
def test_long_names_stay_short_and_different(name) -> None:
    first, second = (name([f"optimizer.lr={','.join(f'{n}e-3' for n in range(count))}"]) for count in (100, 101))
    assert first != second
    assert max(len(first), len(second)) <= MAX_NAME
    assert first == name([f"optimizer.lr={','.join(f'{n}e-3' for n in range(100))}"])


def test_an_interpolation_in_what_was_said_is_no_matter_of_the_name() -> None:
    config = OmegaConf.create({"said": ["data.image_size=32,64", "optimizer.lr=${nowhere}"]})
    assert sweep_name(None, config.said) == "image_size-32-64_lr-nowhere"
