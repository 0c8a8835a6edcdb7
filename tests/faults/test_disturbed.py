"""Whatever stops a command, at whichever write: nothing half is left, and the same command then does what it should.

In the suite two commands meet few faults; behind `slow` each kind of call of seven commands fails, or is the place of
a SIGKILL, and each command is killed at random moments.
"""

import random
from pathlib import Path

import pytest
from commands import KILL, Case, Forge, complaints, complaints_of_two, undisturbed

MOST = 40  # calls of a command that fail, and as many that kill it
MOMENTS = {"prepare": 50, "train": 50, "predict": 50, "export": 50, "sweep": 12}  # at which a command is killed
COMMANDS = ("prepare", "train", "evaluate", "predict", "video", "export", "hub")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cases")


@pytest.fixture(scope="module")
def quick(forge, home: Path, fer2013_folder: Path):
    """Cases that need no training: the model that ships predicts."""
    pictures = fer2013_folder / "test" / "happy"
    commands = {
        "prepare": ("prepare", f"data.source={fer2013_folder}", "data=fer2013", "data.root=packs"),
        "predict": ("predict", f"input={pictures}", "output=predictions", "faces=whole"),
    }
    return lambda name: undisturbed(forge, home / f"quick_{name}", None, *commands[name])


@pytest.fixture(scope="module")
def cases(training_forge, home: Path, fer2013_folder: Path):
    """Makes the case of a command, once."""
    known: dict[str, Case] = {}
    pictures = fer2013_folder / "test" / "happy"
    data = ["data=fer2013", f"data.source={fer2013_folder}", "data.root=packs"]
    network = ["model.backbone=test_resnet", "model.weights=none", "data.image_size=32", "data.batch_size=32"]
    trainer = ["trainer=cpu", "trainer.precision=32-true", "trainer.threads=1", "callbacks.progress=null"]
    sweep = ["trainer.max_epochs=1", "seed=0,1", "hydra.sweep.dir=sweep", "hydra.sweeper.compare=false"]
    commands = {
        "prepare": (None, "prepare", *data),
        "train": ("prepare", "train", *data, *network, *trainer, "trainer.max_epochs=1", "hydra.run.dir=run"),
        "sweep": ("prepare", "train", "-m", *data, *network, *trainer, *sweep),
        "evaluate": ("train", "evaluate", "checkpoint=run", "split=val"),
        "predict": ("train", "predict", "checkpoint=run", f"input={pictures}", "output=predictions"),
        "video": ("train", "predict", "checkpoint=run", "input=clip.mp4", "output=video", "faces=whole"),
        "export": ("train", "export", "checkpoint=run"),
        "hub": ("train", "export", "checkpoint=run", "format=hub"),
    }

    def make(name: str) -> Case:
        if name not in known:
            first, script, *overrides = commands[name]
            if script in ("train", "evaluate"):
                overrides.append("figures=false")
            before = None if first is None else make(first).before.parent / "whole"
            if name == "video":
                write_clip(before / "clip.mp4")
            known[name] = undisturbed(training_forge, home / name, before, script, *overrides)
        return known[name]

    return make


def write_clip(path: Path) -> None:
    """Forty frames of noise."""
    import cv2
    import numpy as np

    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 20, (64, 48))
    for frame in np.random.default_rng(0).integers(0, 256, (40, 48, 64, 3), np.uint8):
        writer.write(frame)
    writer.release()


@pytest.mark.parametrize("name", ["prepare", "predict"])
def test_a_disk_that_fails_once_and_a_kill_at_a_write(name, quick, forge):
    case = quick(name)
    failing, killing = random.Random(name).sample(case.each_kind()[2:], 2)
    assert not complaints(forge, case, call=failing), case.calls[failing - 1]
    assert not complaints(forge, case, call=killing, errno=KILL), case.calls[killing - 1]


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("how", ["fails", "kills"])
def test_every_kind_of_call(how, name, cases, training_forge):
    case, wrong = cases(name), {}
    kinds = case.each_kind()
    tried = sorted(random.Random(f"{how} {name}").sample(kinds, min(len(kinds), MOST)))
    for number in tried:
        disturbed = {"call": number} if how == "fails" else {"call": number, "errno": KILL}
        if found := complaints(training_forge, case, **disturbed):
            wrong[case.calls[number - 1]] = found
    print(f"{name} {how}: {len(tried)} of {len(case.calls)} calls, {len(wrong)} faults")
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize("name", MOMENTS)
def test_random_moments(name, cases, training_forge):
    case, moments, wrong = cases(name), random.Random(name), {}
    for _ in range(MOMENTS[name]):
        after = moments.uniform(0.02, 1.0) * case.seconds
        if found := complaints(training_forge, case, kill_after=after):
            wrong[after] = found
    print(f"{name} killed at {MOMENTS[name]} moments of {case.seconds:.1f} s: {len(wrong)} faults")
    assert not wrong


@pytest.fixture(scope="module")
def two_forges(training_forge, library: Path):
    other = Forge(library, "cli", "data", "inference", "export", "training", "sweeps")
    yield training_forge, other
    other.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["prepare", "train", "evaluate", "predict", "export"])
def test_two_processes_in_one_folder(name, cases, two_forges):
    wrong = {delay: complaints_of_two(two_forges, cases(name), delay) for delay in (0, 0.3)}
    assert not any(wrong.values()), wrong
