"""Put frames of a video side by side: `python -m scripts.video_sheet VIDEO OUT.png --seconds 0.5,1.5,2.5`."""

import argparse
from pathlib import Path

import av
from PIL import Image


def frames_at(video: Path, seconds: list[float]) -> list[Image.Image]:
    """The frames shown at those times, in ascending order."""
    with av.open(str(video)) as container:
        rate = container.streams.video[0].average_rate or 1
        wanted = {int(each * rate) for each in seconds}
        return [
            Image.fromarray(frame.to_ndarray(format="rgb24"))
            for index, frame in enumerate(container.decode(video=0))
            if index in wanted
        ]


def contact_sheet(frames: list[Image.Image], columns: int, width: int) -> Image.Image:
    """Row by row, `width` pixels wide in all."""
    w = width // columns
    h = round(w * frames[0].height / frames[0].width)
    whole = Image.new("RGB", (w * columns, h * -(-len(frames) // columns)))
    for i, frame in enumerate(frames):
        whole.paste(frame.resize((w, h), Image.Resampling.LANCZOS), (i % columns * w, i // columns * h))
    return whole


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("video", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seconds", required=True, help="comma-separated")
    parser.add_argument("--columns", type=int, default=2)
    parser.add_argument("--width", type=int, default=1200, help="pixels")
    given = parser.parse_args()
    frames = frames_at(given.video, [float(each) for each in given.seconds.split(",")])
    if not frames:
        parser.error(f"{given.video} has no frame at {given.seconds} s")
    contact_sheet(frames, given.columns, given.width).quantize(64).save(given.out, optimize=True)


if __name__ == "__main__":
    main()
