"""Training run: its files, resumption after a kill, and its errors."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from spikewatch.model.checkpoints.checkpoint import load_checkpoint, weights_digest
from spikewatch.model.errors import TrainingError
from spikewatch.model.network.build import build_network
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.network.state import init_state
from spikewatch.model.training.learner.learner import Trainer
from spikewatch.model.training.learner.run import TrainingRun
from spikewatch.model.training.learner.run_folder import RunFolder
from spikewatch.model.training.learner.unroll import StreamState
from tests.model.training.support.short_run import RECIPE, SPEC, FakeBatches, Watch

TIMES = {"seconds", "validation_seconds"}


def go(folder: Path, watch: Watch, batches: FakeBatches | None = None, resume: bool = False) -> Trainer:
    torch.manual_seed(0)
    learner = Trainer(build_network(SPEC.config), SPEC.slices, RECIPE)
    files = RunFolder(folder)
    state = files.create_or_resume({"recipe": repr(RECIPE)}, resume)
    TrainingRun(learner, batches or FakeBatches(), SPEC, RECIPE, files, None).fit(watch, state)
    return learner


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "progress.csv").open() as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_killed_run_resumes_with_equal_losses_and_weights(tmp_path: Path) -> None:
    whole = go(tmp_path / "whole", Watch())
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "killed", Watch(kill_in=2))
    watch = Watch()
    resumed = go(tmp_path / "killed", watch, resume=True)
    assert [report.epoch for report in watch.reports] == [2, 3]
    assert rows(tmp_path / "killed") == rows(tmp_path / "whole")
    assert weights_digest(resumed.ema.network) == weights_digest(whole.ema.network)
    assert weights_digest(resumed.network) == weights_digest(whole.network)


def test_half_precision_losses_are_close() -> None:
    reports = []
    for half in (None, torch.bfloat16):
        torch.manual_seed(0)
        learner = Trainer(build_network(SPEC.config), SPEC.slices, RECIPE, half)
        streams = StreamState(
            init_state(trace_shapes(learner.network, 64, 64).state_shapes, 3), (), torch.zeros(3).long()
        )
        report, after = learner.step(FakeBatches().batch(0, 0), streams, 1.0)
        assert report is not None
        reports.append(report)
        assert {h.dtype for h in after.state.values()} == {torch.float32}, "membranes stay whole"
    assert reports[1].total == pytest.approx(reports[0].total, rel=0.05)
    assert reports[1].total != reports[0].total


def test_run_writes_its_files(tmp_path: Path) -> None:
    learner = go(tmp_path, Watch())
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "run.json", "last.pt", "last.safetensors", "progress.csv", "curves.png", "pictures", "tensorboard",
    }  # fmt: skip
    assert len(list((tmp_path / "pictures").iterdir())) == RECIPE.epochs
    saved = load_checkpoint(tmp_path / "last.safetensors")
    assert saved.spec == SPEC
    assert weights_digest(saved.network) == weights_digest(learner.ema.network)
    losses = [float(row["loss"]) for row in rows(tmp_path)]
    assert losses[-1] < losses[0]


def test_nan_loss_stops_the_run_and_keeps_the_last_epoch(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the loss is nan"):
        go(tmp_path, Watch(), FakeBatches(poisoned=1))
    assert [row["epoch"] for row in rows(tmp_path)] == ["1"]
    state = RunFolder(tmp_path).load_state()
    assert state is not None
    assert state["epoch"] == 1
    assert all(torch.isfinite(t).all() for t in state["learner"]["network"].values())


def test_epoch_without_labels_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="epoch 2: no batch had a label"):
        go(tmp_path, Watch(), FakeBatches(unlabelled=1))
    assert (tmp_path / "last.safetensors").exists()


def test_existing_run_is_not_overwritten(tmp_path: Path) -> None:
    files = RunFolder(tmp_path)
    assert files.create_or_resume({"recipe": 3}, resume=False) is None
    assert files.create_or_resume({"recipe": 1}, resume=False) is None  # no epoch is saved yet
    files.save_state({"epoch": 1})
    with pytest.raises(TrainingError, match="holds a run already"):
        files.create_or_resume({"recipe": 1}, resume=False)
    with pytest.raises(TrainingError, match="recipe 1 then, 2 now"):
        files.create_or_resume({"recipe": 2}, resume=True)


def test_damaged_state_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes(b"PK\x03\x04 not whole")
    with pytest.raises(TrainingError, match=r"last\.pt: cannot be read"):
        RunFolder(tmp_path).load_state()


@pytest.mark.parametrize(
    ("epoch", "rate"), [(0, 0), (0.5, 0.5 * (1 - 0.99 / 6)), (1, 1 - 0.99 / 3), (3, 0.01)]
)
def test_learning_rate_warms_up_and_decays_linearly(epoch: float, rate: float) -> None:
    assert replace(RECIPE, learning_rate=1).learning_rate_at(epoch) == pytest.approx(rate)
