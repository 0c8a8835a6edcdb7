"""Mistakes on the command line: each is answered before anything heavy, in one line that says what to do."""

import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig

from fer.cli.app import command
from fer.config.check import check_config
from fer.errors import FERError
from fer.sweeps.sweeper import register_sweepers
from tests.composing import composed

ROOT = Path(__file__).resolve().parents[2]

# command, words of the command line, what the line says
MISTAKES = [
    # options in the way of other tools
    ("train", ["--epochs", "3"], "did you mean trainer.max_epochs=3?"),
    ("train", ["--epochs=3"], "did you mean trainer.max_epochs=3?"),
    ("train", ["--lr", "0.1"], "did you mean optimizer.lr=0.1?"),
    ("train", ["--batch-size", "32"], "did you mean data.batch_size=32?"),
    ("train", ["--seed", "1"], "did you mean seed=1?"),
    ("train", ["--model=resnet50"], "did you mean model=resnet50?"),
    ("train", ["--data.batch_size", "32"], "did you mean data.batch_size=32?"),
    ("train", ["--frobnicate"], "see --help"),
    ("train", ["-epochs", "3"], "did you mean trainer.max_epochs=3?"),
    ("predict", ["--input", "photo.jpg"], "did you mean input=photo.jpg?"),
    ("evaluate", ["--checkpoint", "outputs/a"], "did you mean checkpoint=outputs/a?"),
    ("demo", ["--port", "80"], "did you mean port=80?"),
    ("export", ["--format", "onnx"], "did you mean format=onnx?"),
    ("train", ["--cfg", "jobs"], "job"),
    ("train", ["--config-name", "nowhere"], "nowhere"),
    ("train", ["--config-dir", "nowhere"], "nowhere"),
    ("train", ["--config-name"], "--config-name NAME"),
    # words that are no key=value
    ("train", ["resnet50"], "did you mean model=resnet50?"),
    ("train", ["seed"], "such as seed=VALUE"),
    ("train", ["seed", "=", "3"], "without spaces"),
    ("train", ["seed=", "3"], "without spaces"),
    ("train", ["seed:3"], "write seed=3"),
    ("predict", ["photo.jpg"], "did you mean input=photo.jpg?"),
    ("predict", ["input=my", "photo.jpg"], 'quotes: "input=my photo.jpg"'),
    ("compare", ["outputs/sweeps"], "did you mean runs=outputs/sweeps?"),
    ("export", ["outputs/run"], "did you mean checkpoint=outputs/run?"),
    # keys
    ("train", ["trainer.max_epoch=3"], "did you mean trainer.max_epochs=3?"),
    ("train", ["lr=0.1"], "did you mean optimizer.lr=0.1?"),
    ("train", ["date=demo"], "did you mean data=demo?"),
    ("train", ["data.imagesize=48"], "did you mean data.image_size=48?"),
    ("train", ["zzz=1"], "there are seed, "),
    ("train", ["optimizer.lr.foo=3"], "no optimizer.lr.foo"),
    ("train", ["optimizer.amsgrad=true"], "takes it: +optimizer.amsgrad=true"),
    ("train", ["hydra.sweper.retries=1"], "hydra.sweeper.retries=1"),
    ("train", ["~optimizer.foo"], "no optimizer.foo"),
    ("predict", ["inptu=a.jpg", "checkpoint=."], "did you mean input=a.jpg?"),
    ("compare", ["data=demo", "runs=."], "there are runs, output, measure, architectures"),
    ("prepare", ["source=fer.zip"], "did you mean data.source=fer.zip?"),
    # added keys
    ("train", ["+foo=3"], "nothing reads foo"),
    ("train", ["+max_epochs=3"], "did you mean trainer.max_epochs=3?"),
    ("train", ["++foo=3"], "nothing reads foo"),
    ("train", ["+seed=3"], "needs no +: seed=3"),
    ("train", ["+optimizer.amsgrd=true"], "did you mean optimizer.amsgrad?"),
    ("train", ["+data.bach_size=3"], "did you mean data.batch_size?"),
    ("predict", ["+foo=3", "checkpoint=.", "input=."], "nothing reads foo"),
    # choices of groups
    ("train", ["model=resnet5"], "did you mean resnet50? choose resnet18, resnet34, resnet50"),
    ("train", ["data=ckpluss"], "did you mean ckplus?"),
    ("train", ["data=/downloads/fer2013.zip"], "data.source= the path"),
    ("train", ["experiment=dem"], "did you mean demo?"),
    ("train", ["hydra/launcher=jobli"], "did you mean joblib?"),
    ("train", ["model="], "choose resnet18"),
    ("train", ["model={a:1}"], "model"),
    ("train", ["model=resnet18,resnet34"], "add -m"),
    ("train", ["-m", "seed=0,1", "model=resnet5"], "did you mean resnet50?"),
    # values
    ("train", ["callbacks.best=null"], "no callbacks.best: it keeps the model"),
    ("train", ["~callbacks.best"], "no callbacks.best: it keeps the model"),
    ("train", ["callbacks=null"], "a group has no null; choose default, early_stopping"),
    ("train", ["mix=null"], "a group has no null; choose both, cutmix, mixup, none"),
    ("train", ["+trainer.check_val_every_n_epoch=9", "trainer.max_epochs=8"], "no epoch would be validated"),
    ("train", ["+trainer.fast_dev_run=true"], "trainer=debug is as short"),
    ("train", ["seed=-1"], "seed=-1: give a whole number from 0 to 4294967295"),
    ("train", ["optimizer.lr=0,1"], "optimizer.lr=0.1"),
    ("train", ["optimizer.lr=fast"], "optimizer.lr=fast: give a number over 0"),
    ("train", ["data.classes=[happy,sadd]"], "did you mean sad?"),
    ("train", ["data.subject=([A-Z]+"], "a regular expression"),
    ("train", ["optimizer.lr=${foo}"], "foo"),
    ("train", ["optimizer.lr=(3"], "\"optimizer.lr='(3'\""),
    ("train", ["data.batch_size=[a"], "\"data.batch_size='[a'\""),
    ("train", ["-m", "seed=-1,-2"], "from 0 to"),
    ("train", ["-m", "seed=0,1", "hydra.sweeper.retries=-1"], "hydra.sweeper.retries=-1"),
    ("train", ["-m", "optimizer.lr=interval(1e-4,1e-2)"], "sweep=optuna"),
    ("train", ["sweep=paper", "seeds=0"], "nothing to run"),
    ("evaluate", [], "give checkpoint="),
    ("compare", [], "runs=FOLDER"),
    ("export", ["checkpoint=nowhere"], "checkpoint=nowhere does not exist"),
    ("prepare", ["data=fer2013", "data.source=gone.zip"], "data.source=gone.zip does not exist"),
    ("prepare", ["data=fer2014"], "did you mean fer2013?"),
]

# command, words that Hydra takes, what is said of their values
VALUES = [
    ("train", ["seed=4294967296"], "from 0 to 4294967295"),
    ("train", ["seed=null"], "seed=null: give a whole number"),
    ("train", ["seed=1.5"], "seed=1.5: give a whole number"),
    ("train", ["seed=true"], "seed=true: give a whole number"),
    ("train", ["optimizer.lr=-1"], "optimizer.lr=-1: give a number over 0"),
    ("train", ["optimizer.lr="], "optimizer.lr=''"),
    ("train", ["optimizer.lr=nan"], "give a number"),
    ("train", ["optimizer.betas=[0.9]"], "two numbers"),
    ("train", ["data.batch_size=0"], "data.batch_size=0: give a whole number of 1 or more"),
    ("train", ["data.image_size=-48"], "data.image_size=-48"),
    ("train", ["data.classes=happy"], "two or more of angry"),
    ("train", ["data.fold=2"], "data.folds"),
    ("train", ["data=ckplus", "data.fold=10"], "the folds are 0 to 9"),
    ("train", ["data.residency=gpu"], "one of auto, device, mapped"),
    ("train", ["trainer.max_epochs=3x"], "trainer.max_epochs=3x: give a whole number of 1 or more"),
    ("train", ["trainer.max_epochs=0"], "1 or more"),
    ("train", ["trainer.precision=bf17"], "did you mean bf16?"),
    ("train", ["trainer.limit_train_batches=1.5"], "a fraction"),
    ("train", ["trainer.benchmark=yes"], "true or false"),
    ("train", ["model.drop_rate=1"], "from 0 to below 1"),
    ("train", ["model.weights=imgenet.pth"], "does not exist"),
    ("train", ["module.ema_decay=1"], "module.ema_decay=1"),
    ("train", ["freeze=head_first", "freeze.epochs=0"], "freeze.epochs=0"),
    ("train", ["freeze=partial", "freeze.trainable=[[1,2]]"], "pairs of start and stages"),
    ("train", ["augment.scale=[1.2,0.9]"], "the smaller first"),
    ("train", ["augment.flip=2"], "from 0 to 1"),
    ("train", ["loss.label_smoothing=1"], "to below 1"),
    ("train", ["folds=5"], "all"),
    ("train", ["lr_find=maybe"], "true or false, or only"),
    ("train", ["callbacks.best.monitor=val_acc"], "did you mean val/accuracy?"),
    ("train", ["callbacks=early_stopping", "callbacks.early_stopping.monitor=val_loss"], "did you mean val/loss?"),
    ("train", ["callbacks.best.monitor=val/loss"], "give mode=min"),
    ("evaluate", ["checkpoint=nowhere"], "checkpoint=nowhere does not exist"),
    ("evaluate", ["checkpoint=.", "split=tests"], "did you mean test?"),
    ("evaluate", ["checkpoint=.", "tta=flop"], "did you mean flip?"),
    ("evaluate", ["checkpoint=.", "device=gpu"], "one of auto, cpu, cuda"),
    ("predict", ["checkpoint=nowhere", "input=."], "checkpoint=nowhere does not exist"),
    ("predict", ["checkpoint=.", "input=.", "faces=al"], "did you mean all?"),
    ("predict", ["checkpoint=.", "input=.", "batch_size=0"], "batch_size=0"),
    ("predict", ["checkpoint=.", "input=.", "video.frames_per_second=0"], "over 0"),
    ("compare", ["runs=nowhere"], "runs=nowhere"),
    ("compare", ["runs=.", "measure=maybe"], "true or false"),
    ("export", ["checkpoint=.", "format=onx"], "did you mean onnx?"),
    ("export", ["checkpoint=.", "format=safetensors", "precision=int8"], "has fp32, fp16"),
    ("export", ["checkpoint=.", "images=0"], "images=0"),
    ("demo", ["checkpoint=.", "port=99999"], "from 0 to 65535"),
    ("demo", ["checkpoint=.", "port=http"], "port=http"),
    ("benchmark", ["rounds=0"], "rounds=0"),
]


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Calls a command whose task is empty, and returns its error line."""
    register_sweepers()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)

    def call(name: str, words: list[str]) -> str:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
        try:
            with pytest.raises(SystemExit) as left:
                command(name)(lambda cfg: None)()
                raise AssertionError("nothing was refused")
        finally:
            GlobalHydra.instance().clear()
            HydraConfig.instance().cfg = None
        printed = capsys.readouterr().err.strip()
        if isinstance(left.value.code, str):
            printed = f"{printed}\n{left.value.code}".strip()
        else:
            assert left.value.code == 1, printed
        return printed

    return call


@pytest.mark.parametrize(("name", "words", "says"), MISTAKES, ids=[f"{n} {' '.join(w)}" for n, w, _ in MISTAKES])
def test_a_mistake_is_answered_in_one_line(name: str, words: list[str], says: str, answer: Callable[..., str]) -> None:
    line = answer(name, words)
    assert len(line.splitlines()) == 1
    assert line.startswith("error: ")
    assert says in line
    assert len(line) < 400


@pytest.mark.parametrize(("name", "words", "says"), VALUES, ids=[f"{n} {' '.join(w)}" for n, w, _ in VALUES])
def test_a_value_that_cannot_be_is_refused_in_one_line(name: str, words: list[str], says: str) -> None:
    """By the check that each command makes of its config before its task."""
    with pytest.raises(FERError, match=re.escape(says)) as refused:
        check_config(composed(name, *words), name, words)
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 400


def test_there_are_many_mistakes_and_each_once() -> None:
    every = [*MISTAKES, *VALUES]
    assert len({(name, *words) for name, words, _ in every}) == len(every) >= 80


@pytest.mark.parametrize("words", [["seed=-1"], ["optimizer.learning_rate=3"], ["callbacks.best.monitor=val_acc"]])
def test_the_answer_comes_before_torch_is_imported(words: list[str], tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "scripts" / "train.py"), *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert not imported & {"torch", "pytorch_lightning", "timm", "cv2", "matplotlib"}
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 2.5  # 1 s where nothing else runs
    assert list(tmp_path.iterdir()) == []
