"""A finished run evaluated again, on its own data and on others."""

import html
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from evaluations import evaluated, evaluation
from omegaconf import OmegaConf

from fer.cli.evaluate import evaluate, evaluation_folder
from fer.errors import CheckpointError, ConfigError, DataError, RunError
from fer.evaluation.split_predictions import softmax
from fer.evaluation.trained_model import load_trained
from fer.reporting.figure_table import FIGURES
from fer.runs.folder import RunFolder


def other_weights(checkpoint: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(1)
    head = checkpoint["state_dict"]["network.fc.weight"]
    head += 0.3 * head.std() * torch.randn(head.shape, generator=generator)


def reorder(checkpoint: dict[str, Any]) -> None:
    """The same model with its classes in reverse."""
    checkpoint["fer"]["classes"].reverse()
    for name in ("network.fc.weight", "network.fc.bias"):
        checkpoint["state_dict"][name] = checkpoint["state_dict"][name].flip(0)


def test_a_finished_run_has_its_own_numbers_again(run, numbers):
    cfg, given = evaluation(f"checkpoint={run}")
    _, before = evaluated(f"checkpoint={run}")
    again = evaluate(cfg, overrides=given)
    folder = run / "evaluations" / "fer2013_test"
    ledger = {"test/readings", "test/configurations_read"}  # which counts this time too
    assert {name: again[name] for name in numbers if name.startswith("test/") and name not in ledger} == {
        name: value for name, value in numbers.items() if name.startswith("test/") and name not in ledger
    }
    assert again["test/readings"] == before["test/readings"] + 1
    assert json.loads((folder / "metrics.json").read_text()) == again
    assert not (folder / "subjects.csv").exists()  # nobody knows who is on these images
    assert (folder / "predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()
    assert (folder / "figures" / "confusion_matrix.png").exists()
    of_run, of_evaluation = (json.loads((f / "calibration.json").read_text()) for f in (run, folder))
    assert of_evaluation["temperature"] == of_run["temperature"]
    facts = {"checkpoint": str(run), "data": "fer2013", "split": "test", "tta": "none", "trained_on": "fer2013"}
    assert facts.items() <= again.items()


def test_validation_has_its_own_numbers_again(run, numbers):
    _, again = evaluated(f"checkpoint={run}", "split=val")
    assert {name: again[name] for name in numbers if name.startswith("val/")} == {
        name: value for name, value in numbers.items() if name.startswith("val/")
    }


def test_classes_are_matched_by_name_and_unknown_ones_left_out(run, data_root, caplog):
    """The look-alike of CK+ has contempt, which the model does not know, and no neutral, which it does."""
    with caplog.at_level(logging.INFO):
        outcome, metrics = evaluated(f"checkpoint={run}", "data=ckplus_all", f"data.root={data_root}", "split=all")
    assert metrics["all/images_of_unknown_classes"] == 12
    assert metrics["all/images"] == len(outcome) == 84 - 12
    assert metrics["classes"] == outcome.classes == ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
    folder_of = {"angry": "anger", "sad": "sadness"}
    for name, label in zip(outcome.names, outcome.labels, strict=True):
        emotion = outcome.classes[label]
        assert f"/{folder_of.get(emotion, emotion)}/" in name
    assert (metrics["all/support_neutral"], metrics["all/recall_neutral"]) == (0, None)
    assert "12 of 84 images are contempt" in caplog.text
    assert "no image is neutral" in caplog.text
    assert metrics["temperature_fitted_on"] == "validation images of fer2013, in the run"
    assert metrics["all/images_trained_on"] == 0


def test_faces_cut_otherwise_than_in_training_are_told(run, changed, data_root, caplog):
    def align(checkpoint: dict[str, Any]) -> None:
        checkpoint["fer"]["framing"]["align"] = True

    asked = ["data=ckplus_all", f"data.root={data_root}", "split=all"]
    evaluated(f"checkpoint={run}", *asked)
    assert "was packed with" not in caplog.text
    evaluated(f"checkpoint={changed('aligned', align)}", *asked)
    assert "was packed with data.faces=detector or none data.align=false, but the model was trained with" in caplog.text


def test_a_folded_set_is_asked_by_fold_or_whole(run, data_root, caplog):
    where = [f"checkpoint={run}", "data=ckplus", "data.folds=7", f"data.root={data_root}"]
    with caplog.at_level(logging.INFO):
        outcome, metrics = evaluated(*where, "data.fold=2")
    assert len(set(outcome.subjects)) == 2
    assert metrics["fold"] == 2
    assert "split=all evaluates every image" in caplog.text
    whole, _ = evaluated(*where, "split=all")
    assert len(set(whole.subjects)) == 14


def test_images_of_training_are_told(run, numbers, caplog):
    outcome, metrics = evaluated(f"checkpoint={run}", "split=all")
    assert len(outcome) == 294
    assert metrics["all/images_trained_on"] == 210 + 42
    assert metrics["all/accuracy_deduplicated"] == pytest.approx(numbers["test/accuracy_deduplicated"])
    assert "252 of 294 images were trained or selected on" in caplog.text


def test_models_vote_with_the_mean_of_their_calibrated_probabilities(run, changed):
    other = changed("other", other_weights)
    (other / "calibration.json").write_text('{"temperature": 2.5}')
    one, two = (evaluated(f"checkpoint={path}")[0] for path in (run, other))
    vote, metrics = evaluated(f"checkpoint=[{run},{other}]")
    mean = (one.calibrated + softmax(two.logits, 2.5)) / 2
    assert vote.probabilities == pytest.approx(mean, abs=1e-6)
    assert metrics["checkpoint"] == [str(run), str(other)]
    assert metrics["temperature_fitted_on"] == "validation images, evaluated the same way"
    assert metrics["test/nll_calibrated"] <= metrics["test/nll"] + 0.1


def test_voters_may_have_their_classes_in_any_order(run, changed):
    reversed_classes = changed("reversed", reorder)
    alone, _ = evaluated(f"checkpoint={run}")
    vote, _ = evaluated(f"checkpoint=[{run},{reversed_classes}]")
    assert vote.probabilities == pytest.approx(alone.calibrated, abs=1e-5)
    turned, metrics = evaluated(f"checkpoint={reversed_classes}")
    assert turned.classes == alone.classes[::-1]
    assert metrics["test/accuracy"] == alone.correct.mean()


def test_voters_that_tell_other_classes_apart_are_refused(run, changed):
    def rename(checkpoint: dict[str, Any]) -> None:
        checkpoint["fer"]["classes"][0] = "contempt"

    with pytest.raises(ConfigError, match="an ensemble needs models with the same classes"):
        evaluated(f"checkpoint=[{run},{changed('renamed', rename)}]")


def test_views_vote_and_have_their_own_temperature(run):
    one, _ = evaluated(f"checkpoint={run}")
    outcome, metrics = evaluated(f"checkpoint={run}", "tta=flip")
    again, _ = evaluated(f"checkpoint={run}", "tta=flip")
    assert np.array_equal(outcome.logits, again.logits)
    assert not np.allclose(outcome.probabilities, one.probabilities)
    assert metrics["temperature_fitted_on"] == "validation images, evaluated the same way"


def test_a_checkpoint_alone_needs_data_and_goes_to_a_folder_of_its_own(run, tmp_path, monkeypatch):
    alone = tmp_path / "model.ckpt"
    shutil.copy(run / "checkpoints" / "best.ckpt", alone)
    with pytest.raises(ConfigError, match="give data=NAME"):
        evaluated(f"checkpoint={alone}")
    data = OmegaConf.load(run / "config.yaml").data
    outcome, metrics = evaluated(f"checkpoint={alone}", "data=fer2013", f"data.root={data.root}", "precision=32-true")
    assert np.array_equal(outcome.logits, evaluated(f"checkpoint={run}")[0].logits)
    assert metrics["image_size"] == 32
    assert metrics["test/accuracy_deduplicated"] is None  # nobody knows what it was trained on
    assert (metrics["temperature"], metrics["temperature_fitted_on"]) == (1.0, None)  # nor what it was validated on
    monkeypatch.chdir(tmp_path)
    folder = evaluation_folder(load_trained(alone).folder, "fer2013_test")
    assert folder.parent == Path("outputs/evaluations")
    assert evaluation_folder(load_trained(alone).folder, "fer2013_test") != folder
    assert evaluation_folder(load_trained(run).folder, "my faces_test") == run / "evaluations" / "my-faces_test"


def test_other_questions_do_not_take_the_place_of_the_plain_one(run, tmp_path):
    mine = shutil.copytree(run, tmp_path / "mine")
    for question in ([], ["tta=flip"], ["data.image_size=40", "data.batch_size=8"], ["split=val"]):
        cfg, given = evaluation(f"checkpoint={mine}", "figures=false", *question)
        evaluate(cfg, overrides=given)
    cfg, given = evaluation(f"checkpoint={mine / 'checkpoints' / 'last.ckpt'}", "figures=false")
    evaluate(cfg, overrides=given)
    cfg, given = evaluation(f"checkpoint={mine}", "data.classes=[happy,sad]", "precision=bf16-mixed")
    some = evaluate(cfg, overrides=given)
    names = {path.name for path in (mine / "evaluations").iterdir()}
    others = ("test", "test_flip", "test_40px", "val", "test_last", "test_classes-happy-sad_precision-bf16-mixed")
    assert names == {f"fer2013_{what}" for what in others}
    assert some["test/images"] == 14
    report = (mine / "evaluations" / f"fer2013_{others[-1]}" / "report.html").read_text()
    assert "'data.classes=[happy,sad]' precision=bf16-mixed" in html.unescape(report)


def test_nothing_of_an_earlier_answer_stays(run, tmp_path):
    cfg, given = evaluation(f"checkpoint={run}", "figures=false")
    evaluate(cfg, tmp_path / "answer", given)
    (tmp_path / "answer" / "figures" / "cells").mkdir(parents=True)
    (tmp_path / "answer" / "subjects.csv").touch()
    for name in ("mine", "cells/happy-as-sad", *(row.name for row in FIGURES)):
        (tmp_path / "answer" / "figures" / f"{name}.png").touch()
    cfg, given = evaluation(f"checkpoint={run}", "figures=false", "split=val")
    evaluate(cfg, tmp_path / "answer", given)
    assert [path.name for path in (tmp_path / "answer" / "figures").iterdir()] == ["mine.png"]
    assert not (tmp_path / "answer" / "subjects.csv").exists()
    before = (run / "metrics.json").read_bytes()
    with pytest.raises(RunError, match="holds a run"):
        evaluate(cfg, run, given)
    assert (run / "metrics.json").read_bytes() == before


def test_another_size_counts_where_it_is_given(run):
    outcome, metrics = evaluated(f"checkpoint={run}", "data.image_size=40")
    assert metrics["image_size"] == 40
    assert not np.allclose(outcome.logits, evaluated(f"checkpoint={run}")[0].logits)


def test_one_image_is_enough(run, picture, write_folder, tmp_path):
    source = write_folder(tmp_path / "one", {"test/happy/a.png": picture(1, (48, 48, 3))})
    data = ["data=folder", f"data.source={source}", f"data.root={tmp_path / 'packs'}"]
    outcome, metrics = evaluated(f"checkpoint={run}", *data)
    assert (len(outcome), metrics["test/support_happy"], metrics["test/support_sad"]) == (1, 1, 0)
    assert metrics["test/accuracy_ci95"] in ([pytest.approx(0.025), 1.0], [0.0, pytest.approx(0.975)])
    assert "NaN" not in json.dumps(metrics)
    with pytest.raises(DataError, match=r"no val images .* split=all"):
        evaluated(f"checkpoint={run}", *data, "split=val")


def test_classes_that_the_model_does_not_know_at_all(run, picture, write_folder, tmp_path):
    source = write_folder(tmp_path / "one", {f"contempt/{n}.png": picture(n) for n in range(3)})
    with pytest.raises(DataError, match="all that the model knows"):
        evaluated(
            f"checkpoint={run}",
            "data=folder",
            f"data.source={source}",
            f"data.root={tmp_path / 'packs'}",
            "split=all",
        )


def test_a_run_of_folds_is_no_model(run, tmp_path):
    (tmp_path / "folds").mkdir()
    (tmp_path / "folds" / "fold0").symlink_to(run)
    with pytest.raises(CheckpointError, match="give one of them"):
        evaluated(f"checkpoint={tmp_path / 'folds'}")


def test_evaluations_have_one_writer(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fer.cli.evaluate.WRITER_PATIENCE", 0.2)
    cfg, given = evaluation(f"checkpoint={run}", "split=val", "figures=false")
    folder = run / "evaluations" / "fer2013_val"
    with RunFolder(folder).only_writer(), pytest.raises(RunError, match="is being written by another evaluation"):
        evaluate(cfg, overrides=given)
    assert not RunFolder(folder).is_finished()
    evaluate(cfg, overrides=given)
    assert RunFolder(folder).is_finished()


def test_evaluations_of_one_second_get_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len({evaluation_folder(None, "any") for _ in range(5)}) == 5
