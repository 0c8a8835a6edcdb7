"""Runs stand in TensorBoard under the names of the comparison."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from torch.utils.tensorboard import SummaryWriter

from fer.comparison.dashboard import link_runs, named_runs
from fer.comparison.groups import group_runs
from fer.errors import RunError
from fer.runs.finished import find_runs
from fer.runs.folder import RunFolder

GROUPS = {"model": "resnet18", "data": "fer2013", "freeze": "none", "augment": "standard"}
PARTS = {"loss": {"label_smoothing": 0.1}, "module": {"ema_decay": None}}


@pytest.fixture
def runs(run_folder, tmp_path: Path) -> Path:
    """Two finished runs that differ in one choice, and one whose process is gone."""
    for name, augment, seed in (("a", "none", 0), ("b", "standard", 0), ("c", "standard", 1)):
        settings = {**PARTS, "augment": {"flip": float(augment == "standard")}}
        choices = {"groups": {**GROUPS, "augment": augment}, "overrides": [f"augment={augment}", f"seed={seed}"]}
        folder = run_folder(
            tmp_path / "runs" / name, seed=seed, settings=settings, choices=choices, finished=name != "c"
        )
        with SummaryWriter(str(folder / "tensorboard")) as writer:
            writer.add_scalar("val/accuracy", 0.5, 1)
    return tmp_path / "runs"


def test_names_are_those_of_the_comparison(runs: Path) -> None:
    names = list(named_runs([runs]))
    assert names == [
        "ResNet-18 (augment=none), fer2013, seed 0",
        "ResNet-18 (augment=standard), fer2013, seed 0",
        "ResNet-18 (augment=standard), fer2013, seed 1",
    ]
    rows = {group.model for group in group_runs(find_runs([runs])[0])[0]}
    assert rows == {name.partition(", ")[0] for name in names}


def test_links_lead_to_the_events_and_crashed_runs_are_marked(runs: Path, tmp_path: Path) -> None:
    logdir = tmp_path / "logdir"
    logdir.mkdir()
    assert link_runs([runs], logdir) == link_runs([runs], logdir) == 3
    found = sorted(entry.name for entry in logdir.iterdir() if entry.is_dir())
    assert found == list(named_runs([runs]))
    for name in found:
        shown = EventAccumulator(str(logdir / name)).Reload()
        assert [event.value for event in shown.Scalars("val/accuracy")] == [0.5]
        metadata = shown.summary_metadata.get("_hparams_/session_end_info")
        assert (metadata is not None) == name.endswith("seed 1")
        if metadata is not None:
            content = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)
            assert content.session_end_info.status == api_pb2.STATUS_FAILURE
    assert not list((runs / "c").rglob("*.failed"))  # looking leaves the run as it is


def test_a_run_is_marked_when_its_process_is_gone_and_unmarked_when_it_resumes(runs: Path, tmp_path: Path) -> None:
    logdir, killed = tmp_path / "logdir", RunFolder(runs / "c")
    logdir.mkdir()
    place = logdir / "ResNet-18 (augment=standard), fer2013, seed 1"
    with killed.only_writer():
        link_runs([runs], logdir)
        assert place.is_symlink()
    link_runs([runs], logdir)
    assert list(place.glob("*.failed"))
    with killed.only_writer():  # resumed, while the dashboard is open
        link_runs([runs], logdir)
        assert not place.exists()  # for one reading, so that TensorBoard forgets how it ended
        link_runs([runs], logdir)
        assert place.is_symlink()


def test_the_table_has_the_columns_of_all_runs(runs: Path, run_folder, tmp_path: Path) -> None:
    choices = {"groups": GROUPS, "overrides": ["optimizer.weight_decay=0.2"]}
    folder = run_folder(runs / "d", settings={**PARTS, "optimizer.weight_decay": 0.2}, choices=choices)
    SummaryWriter(str(folder / "tensorboard")).close()
    logdir = tmp_path / "logdir"
    logdir.mkdir()
    link_runs([runs], logdir)
    content = EventAccumulator(str(logdir)).Reload().summary_metadata["_hparams_/experiment"].plugin_data.content
    columns = plugin_data_pb2.HParamsPluginData.FromString(content).experiment.hparam_infos
    assert {"augment", "freeze", "lr", "weight_decay", "backbone"} <= {info.name for info in columns}
    assert {info.name for info in columns if info.differs} == {"augment", "seed", "weight_decay"}


def test_a_folder_without_events_is_one_line(run_folder, tmp_path: Path) -> None:
    run_folder(tmp_path / "a")
    with pytest.raises(RunError, match=r"no run in .* has events"):
        link_runs([tmp_path], tmp_path)
