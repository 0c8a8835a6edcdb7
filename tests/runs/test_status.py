from pathlib import Path

import pytest

from fer.runs.status import MAX_CAUSE_LENGTH, Status, cause_of, read_status

HYDRA_TRACEBACK = """epoch 3: train loss 1.9
Error executing job with overrides: ['data=demo']
Traceback (most recent call last):
  File "train.py", line 3, in main
    train(cfg)
ValueError: the first

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "run.py", line 9, in train
    raise RuntimeError("boom")
torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB.
  a second line of it

Set the environment variable HYDRA_FULL_ERROR=1 for a complete stack trace.
"""


@pytest.mark.parametrize(
    ("output", "cause"),
    [
        (HYDRA_TRACEBACK, "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB."),
        ("epoch 1\nerror: optimizer.lr=fast: give a number\n", "optimizer.lr=fast: give a number"),
        ("Traceback (most recent call last):\n  File x\nKeyboardInterrupt\n", "KeyboardInterrupt"),
        ("Could not find 'model/x'\n\nAvailable options:\n\tresnet18\n", "resnet18"),
        ("\n \n", None),
    ],
)
def test_the_cause_is_what_was_said_last(output: str, cause: str | None) -> None:
    assert cause_of(output) == cause


def test_a_cause_is_one_line_of_bounded_length() -> None:
    cause = cause_of("error: " + "x" * 5000)
    assert cause is not None
    assert len(cause) == MAX_CAUSE_LENGTH


def test_a_status_is_read_as_it_was_written(tmp_path: Path) -> None:
    status = Status("failed", exit_status=1, cause="boom", seconds=3.5, attempts=2)
    status.write(tmp_path)
    assert read_status(tmp_path) == status


@pytest.mark.parametrize("content", ["", "{", "[]", '{"seconds": 1}', "null"])
def test_what_cannot_be_read_is_no_status(content: str, tmp_path: Path) -> None:
    assert read_status(tmp_path) is None
    (tmp_path / "status.json").write_text(content)
    assert read_status(tmp_path) is None
