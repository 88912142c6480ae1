from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from spikewatch.service.output import video
from spikewatch.service.output.video import VideoWriter, real_time_fps


def pictures(count: int, width: int = 96, height: int = 64) -> list[np.ndarray]:
    return [np.full((height, width, 3), 20 + 10 * k, np.uint8) for k in range(count)]


def decoded(path: Path) -> tuple[list[np.ndarray], Fraction | None, str]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
        assert stream.codec_context.pix_fmt == "yuv420p"
        return frames, stream.average_rate, stream.codec_context.name


def write(path: Path, frames: list[np.ndarray], fps: float | Fraction = 16) -> None:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, fps, (width, height)) as writer:
        for frame in frames:
            writer.write(frame)


def test_every_picture_comes_back_at_its_rate(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    write(path, pictures(20))
    frames, rate, codec = decoded(path)
    assert len(frames) == 20
    assert rate == 16
    assert codec == "h264"
    assert [round(float(frame.mean())) for frame in frames] == pytest.approx(range(20, 220, 10), abs=3)
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_without_x264_it_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "CODECS", ("no_such_encoder", "mpeg4"))
    write(tmp_path / "out.mp4", pictures(5), real_time_fps(62_500))
    frames, _, codec = decoded(tmp_path / "out.mp4")
    assert (len(frames), codec) == (5, "mpeg4")


def test_odd_sizes_are_padded(tmp_path: Path) -> None:
    write(tmp_path / "out.mp4", pictures(3, 97, 63))
    assert decoded(tmp_path / "out.mp4")[0][0].shape == (64, 98, 3)


def interrupted(path: Path) -> None:
    with VideoWriter(path, 10, (96, 64)) as writer:
        writer.write(pictures(1)[0])
        raise KeyboardInterrupt


def test_an_interrupted_run_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt):
        interrupted(path)
    assert path.read_bytes() == b"older"
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="this video takes"),
        VideoWriter(tmp_path / "a.mp4", 10, (8, 8)) as w,
    ):
        w.write(np.zeros((8, 10, 3), np.uint8))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("slice_us", "fps"), [(62_500, 16), (50_000, 20), (33_333, 30), (1001, 999.001), (1, 1_000_000)]
)
def test_real_time(slice_us: int, fps: float) -> None:
    assert real_time_fps(slice_us) == pytest.approx(fps, rel=1e-3)
