"""Training labels from COCO annotations equal those of Prophesee's format."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from spikewatch.model.errors import DatasetError
from spikewatch.model.training.augment.options import Augmentation
from spikewatch.model.training.datasets.class_map import identity_map
from spikewatch.model.training.datasets.coco_recordings import AnnotatedRecording, read_coco_recordings
from spikewatch.model.training.datasets.input_boxes import IGNORE_REGION
from spikewatch.model.training.datasets.prophesee import PropheseeRecording
from spikewatch.model.training.datasets.prophesee_labels import read_labels
from spikewatch.model.training.datasets.protocol import PROTOCOLS
from spikewatch.model.training.datasets.training_labels import IGNORE_CLASS_ID
from spikewatch.model.training.loader.recording_loader import LoaderOptions, RecordingLoader
from spikewatch.model.training.slice_cache.cache import CacheOptions
from spikewatch.model.training.slice_cache.cache_file import cache_file_name
from tests.model.training.support.coco_layout import annotate
from tests.model.training.support.fakes import epoch_of
from tests.model.training.support.moving_boxes import SLICE_US, moving_boxes, small_spec

SPEC = small_spec()


def annotated(folder: Path, sources: list[PropheseeRecording], **changed: Any) -> list[AnnotatedRecording]:
    path = annotate(folder, "train", [(each.events, each.labels) for each in sources], **changed)
    return list(read_coco_recordings(path).recordings)


def options(folder: Path, stream_share: float = 0.5) -> LoaderOptions:
    return LoaderOptions(
        CacheOptions(folder),
        batch_size=4,
        slices=4,
        stream_share=stream_share,
        augmentation=Augmentation.none(),
    )


def test_coco_and_prophesee_labels_give_equal_batches(tmp_path: Path) -> None:
    sources = [moving_boxes(tmp_path, f"r{k}", seed=k) for k in range(3)]
    sent = pickle.loads(pickle.dumps(annotated(tmp_path, sources)))
    theirs = RecordingLoader(sources, SPEC, options(tmp_path / "theirs"))
    ours = RecordingLoader(sent, SPEC, options(tmp_path / "ours"))
    boxes = 0
    for a, b in zip(epoch_of(theirs, 0), epoch_of(ours, 0), strict=True):
        assert torch.equal(a.frames, b.frames)
        assert torch.equal(a.is_first, b.is_first)
        for x, y in zip(a.targets, b.targets, strict=True):
            for field in ("labelled", "batch_index", "class_id", "xyxy"):
                assert torch.equal(getattr(x, field), getattr(y, field)), field
            boxes += len(x.batch_index)
    assert boxes > 0


def test_crowds_are_ignore_regions_and_empty_images_are_labelled(tmp_path: Path) -> None:
    source = moving_boxes(tmp_path, "a", labels=3)
    every = json.loads(annotate(tmp_path, "train", [(source.events, source.labels)]).read_text())
    rows = [row for row in every["annotations"] if row["image_id"] != 2]
    rows[0]["iscrowd"] = 1
    (each,) = annotated(tmp_path, [source], annotations=rows)
    taught = each.training_labels(2)
    times_us = [2 * SLICE_US, 4 * SLICE_US, 6 * SLICE_US]
    assert taught.times_us.tolist() == times_us
    assert taught.boxes["t"].tolist() == [times_us[0], times_us[0], times_us[2], times_us[2]]
    assert taught.boxes["class_id"].tolist() == [IGNORE_CLASS_ID, 1, 0, 1]
    training = RecordingLoader([each], SPEC, options(tmp_path / "cache", 1))
    (cut,) = training.prepared.recordings
    assert [cut.labels.at_label(k).class_id.tolist() for k in range(3)] == [[IGNORE_REGION, 1], [], [0, 1]]
    counts = [
        int(((targets.batch_index == lane) & (targets.class_id != IGNORE_REGION)).sum())
        for batch in epoch_of(training, 0)
        for targets in batch.targets
        for lane in torch.nonzero(targets.labelled).flatten().tolist()
    ]
    assert set(counts) == {0, 1, 2}, "labelled, also where nothing is there"


def test_listed_times_without_boxes_are_labelled(tmp_path: Path) -> None:
    source = moving_boxes(tmp_path, "a", labels=3)
    boxes = read_labels(source.labels, 2)
    times_us = [2 * SLICE_US, 4 * SLICE_US, 6 * SLICE_US]
    np.save(source.labels, boxes[boxes["t"] != times_us[1]])
    assert source.training_labels(2).times_us.tolist() == [times_us[0], times_us[2]]
    np.save(tmp_path / "a_times.npy", np.array([*times_us, 8 * SLICE_US]))
    assert source.training_labels(2).times_us.tolist() == [*times_us, 8 * SLICE_US]
    assert source.empty_times_us() == [times_us[1], 8 * SLICE_US]
    (cut,) = RecordingLoader([source], SPEC, options(tmp_path / "cache", 1)).prepared.recordings
    assert [len(cut.labels.at_label(k)) for k in range(4)] == [2, 0, 2, 0]


def test_ignore_regions_beside_labels_are_crowds_and_not_taught(tmp_path: Path) -> None:
    """A region at a label, one at an empty time of which only this is known, and one at no labelled time."""
    source = moving_boxes(tmp_path, "a", labels=2)
    boxes = read_labels(source.labels, 2)
    regions = boxes[[0, 0, 0]].copy()
    regions["t"] = [2 * SLICE_US, 6 * SLICE_US, 7 * SLICE_US]
    regions["x"], regions["w"], regions["class_id"] = 80, 30, 1
    np.save(tmp_path / "a_ignore.npy", regions)
    np.save(tmp_path / "a_times.npy", np.arange(2, 9, 2) * SLICE_US)
    labels = source.training_labels(2)
    assert labels.times_us.tolist() == [k * SLICE_US for k in (2, 4, 6, 8)]
    assert labels.boxes["t"].tolist() == [k * SLICE_US for k in (2, 2, 2, 4, 4, 6)]
    assert labels.boxes["class_id"].tolist() == [0, 1, IGNORE_CLASS_ID, 0, 1, IGNORE_CLASS_ID]
    assert source.empty_times_us() == [8 * SLICE_US]
    first, second = source.labelled_frames((96, 64), PROTOCOLS["none"], identity_map(("car", "pedestrian")))
    assert first.ground_truth.crowd.tolist() == [False, False, True]
    assert first.ground_truth.xywh[2].tolist()[::2] == [80, 16], "clipped to the sensor"
    assert second.ground_truth.crowd.tolist() == [False, False]


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (np.array([0.5]), "list of integers"),
        (np.array([1 << 61]), "times from"),
        (np.zeros((1, 1), int), "list"),
    ],
)
def test_damaged_times_are_rejected(tmp_path: Path, times: NDArray[Any], words: str) -> None:
    source = moving_boxes(tmp_path, "a", labels=1)
    np.save(tmp_path / "a_times.npy", times)
    with pytest.raises(DatasetError, match=rf"a_times\.npy: .*{words}"):
        source.training_labels(2)


def test_other_sensor_size_gives_another_cache_file(tmp_path: Path) -> None:
    source = moving_boxes(tmp_path, "a", labels=1)
    image = {"id": 1, "file_name": "../a_td.dat", "t_us": 1}
    names = []
    for size in ({}, {"width": 96, "height": 64}, {"width": 96, "height": 80}):
        (each,) = annotated(tmp_path, [source], images=[image | size], annotations=[])
        names.append(cache_file_name(each, [1], SPEC))
    assert len(set(names)) == 3
    assert names[0] == cache_file_name(source, [1], SPEC), "cut once for both layouts"


def test_recordings_without_usable_labels_are_rejected(tmp_path: Path) -> None:
    source = moving_boxes(tmp_path, "a", labels=2)
    (each,) = annotated(tmp_path, [source])
    with pytest.raises(DatasetError, match=r"a_td\.dat: class 1, but only 0 to 0 have names"):
        each.training_labels(1)
    (blank,) = annotated(tmp_path, [source], annotations=[])
    assert not len(blank.training_labels(2).boxes)
    with pytest.raises(DatasetError, match="1 recordings, but none with a box"):
        RecordingLoader([blank], SPEC, options(tmp_path / "cache"))
    np.testing.assert_array_equal(blank.training_labels(2).times_us, [2 * SLICE_US, 4 * SLICE_US])
