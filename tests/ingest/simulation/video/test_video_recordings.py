"""Recordings made from video: boxes follow the events, files are determined by the seed, runs resume."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikewatch.ingest.errors import SimulationError
from spikewatch.ingest.simulation.dataset.recorder import Timing
from spikewatch.ingest.simulation.event_camera.event_camera import EventCamera
from spikewatch.ingest.simulation.event_camera.settings import CameraSettings
from spikewatch.ingest.simulation.video.clip import find_clips, read_clip
from spikewatch.ingest.simulation.video.generate import check_video_options, generate_from_videos
from spikewatch.ingest.simulation.video.job import VideoJob, VideoOptions, boxes_at, film_events, video_config
from spikewatch.model.training.datasets.prophesee import find_recordings
from spikewatch.model.training.datasets.training_labels import IGNORE_CLASS_ID
from tests.ingest.simulation.support.videos import HEIGHT, WIDTH, write_video

pytest.importorskip("cv2", reason="needs opencv-python-headless")

SHORT = Timing(0.4, 200.0, 20.0)


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "a.mkv")
    write_video(folder / "b.mkv", category=1)
    write_video(folder / "empty.mkv", frames=20, boxes=False)
    (folder / "without_boxes.mkv").write_bytes(b"")
    return folder


def options(videos: Path, **changes: object) -> VideoOptions:
    return replace(VideoOptions(3, videos, ("b",), SHORT, 120, 90), **changes)


def run(out: Path, chosen: VideoOptions, count: int, workers: int = 2) -> list[float]:
    progress: list[float] = []
    result = generate_from_videos(out, chosen, count, workers, progress.append)
    assert result.failed == ()
    return progress


def contents(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.*") if path.suffix != ".lock"
    }


@pytest.mark.parametrize("index", [0, 3, 6, 9])
def test_boxes_follow_the_events_within_two_pixels(videos: Path, index: int) -> None:
    """Motion, zoom and speed of four recordings; the ground is plain, so all events are the object's."""
    clip = read_clip(videos / "a.mkv")
    job = VideoJob(videos, index, clip.path, options(videos, width=240, height=180))
    config = video_config(job, clip, (WIDTH, HEIGHT))
    fast = CameraSettings(shot_hz=0.0, hot_share=0.0, leak_hz=0.0, bandwidth_hz=2000.0)
    camera = EventCamera(config.view.height, config.view.width, fast, config.rng)
    checked = 0
    for t_us, events, recent in film_events(clip, config, camera, SHORT):
        if recent is None or t_us < 100_000:
            continue
        boxes = boxes_at(clip, config.first + t_us * 1e-6 / config.frame_s)
        (box, *_), (visible, *_) = config.view.project(boxes.xyxy, t_us * 1e-6)
        if visible < 0.999 or len(events) < 50:
            continue
        found = [np.quantile(events[name], share) for share in (0.01, 0.99) for name in "xy"]
        assert np.abs(found - box).max() / config.view.scale <= 2, "pixels of the video"
        checked += 1
    assert checked >= 3


def test_data_set_has_ignore_regions_empty_times_and_held_out_clips(videos: Path, tmp_path: Path) -> None:
    progress = run(tmp_path, options(videos), 6)
    assert progress == sorted(progress)
    assert progress[-1] == 1
    train, val = find_recordings(tmp_path, "train"), find_recordings(tmp_path, "val")
    assert [each.events.name for each in train] == [
        f"{k:05d}_{n}_td.dat" for k, n in [(0, "a"), (2, "empty"), (3, "a"), (5, "empty")]
    ]
    assert [each.events.name for each in val] == ["00001_b_td.dat", "00004_b_td.dat"]
    report = json.loads((tmp_path / "simulation.json").read_text())
    assert [entry["name"] for entry in report["recordings"]][:2] == ["train/00000_a", "val/00001_b"]
    classes: set[int] = set()
    for recording in (*train, *val):
        labels = recording.training_labels(2)
        assert (np.diff(labels.times_us) == 50_000).all()
        with recording.open() as opened:
            assert opened.sensor_size() == (120, 90)
        if "empty" in recording.events.name:
            assert not len(labels.boxes)
            assert recording.empty_times_us() == labels.times_us.tolist()
        else:
            classes |= set(labels.boxes["class_id"].tolist())
    assert classes == {0, 1, IGNORE_CLASS_ID}


def test_recordings_depend_on_seed_and_index_only(videos: Path, tmp_path: Path) -> None:
    run(tmp_path / "one", options(videos), 2, workers=1)
    run(tmp_path / "two", options(videos), 2, workers=2)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert one == two
    assert len(one) >= 7
    before = (tmp_path / "two" / "train" / "00000_a_td.dat").stat().st_mtime_ns
    (tmp_path / "two" / "val" / "00001_b_bbox.npy").unlink()
    run(tmp_path / "two", options(videos), 2)
    assert contents(tmp_path / "two") == one, "resumed"
    assert (tmp_path / "two" / "train" / "00000_a_td.dat").stat().st_mtime_ns == before
    with pytest.raises(SimulationError, match="has recordings with seed 3, not 4"):
        run(tmp_path / "two", options(videos, seed=4), 2)
    run(tmp_path / "other", options(videos, seed=4), 1)
    assert contents(tmp_path / "other")["train/00000_a_td.dat"] != one["train/00000_a_td.dat"]


def test_invalid_options_and_damaged_clips_are_rejected(videos: Path, tmp_path: Path) -> None:
    assert [path.name for path in find_clips(videos)] == ["a.mkv", "b.mkv", "empty.mkv"]
    with pytest.raises(SimulationError, match="hold out 'c': no such video; there are a, b, empty"):
        check_video_options(options(videos, hold_out=("c",)))
    with pytest.raises(SimulationError, match="width 120 and height None"):
        check_video_options(options(videos, height=None))
    with pytest.raises(SimulationError, match="no video with boxes"):
        check_video_options(options(tmp_path))
    for text, words in (
        ("{}", "categories"),
        ('{"categories": [], "images": [], "annotations": []}', "0 images"),
    ):
        (tmp_path / "x.mkv").write_bytes(b"no video")
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(SimulationError, match=words):
            read_clip(tmp_path / "x.mkv")
    (tmp_path / "x.json").write_bytes((videos / "a.json").read_bytes())
    with pytest.raises(SimulationError, match="not a readable video"):
        read_clip(tmp_path / "x.mkv").read_frames(0, 1)
