"""Kills workers of a cluster here while cameras play, and compares all results with an offline run.

    python -m benchmarks.cluster [--cameras 6] [--workers 2] [--kills 5] [--drain] [--out FILE.json]

Needs the extra `cluster` (Ray). Cameras are `spikewatch.AsyncClient`, in real time. A kill is SIGKILL of the
worker with the most sessions; the next one follows once all workers are back. The gap of a session is the
longest time between two results in the 10 s after a kill. Exit status 1 if a result is lost, doubled or
different.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import spikewatch
from spikewatch.service.bench.cameras import TimedChunk, loop_recording
from spikewatch.service.bench.report import machine_summary
from spikewatch.service.cli.main import main as run_spikewatch
from spikewatch.service.cluster.ray_token import use_token

RECORDING = Path(__file__).parents[1] / "service" / "assets" / "street_td.dat"
CHUNK_US = 20_000
SLICE_US = 100_000
GAP_WINDOW_S = 10.0
BACK_TIMEOUT_S = 120.0
FIRST_PORT = 18200
OPTIONS: dict[str, Any] = {"slice_us": SLICE_US, "hop": 1, "slices": 1, "confidence": 0.05}


@dataclass
class Camera:
    """Results of one camera, and when each came."""

    id: str = ""
    results: list[dict[str, Any]] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)

    def gap_after(self, start_s: float) -> float:
        """Return the longest time between two results in GAP_WINDOW_S from `start_s` on."""
        near = [t for t in self.times_s if start_s - 1 < t < start_s + GAP_WINDOW_S]
        return max((b - a for a, b in pairwise(near) if b > start_s), default=GAP_WINDOW_S)


@dataclass
class Report:
    """Measurements of a run.

    Attributes:
        gaps_s: of the sessions of the killed worker, after each kill.
        other_gaps_s: of all other sessions.
        back_s: from each kill until the worker had registered again.
        drain_s: time to drain a worker, None without `--drain`; `drain_gaps_s` are those of its sessions.
    """

    machine: str
    load: tuple[float, float, float]
    results: int = 0
    lost: int = 0
    different: int = 0
    gaps_s: list[float] = field(default_factory=list)
    other_gaps_s: list[float] = field(default_factory=list)
    back_s: list[float] = field(default_factory=list)
    drain_s: float | None = None
    drain_gaps_s: list[float] = field(default_factory=list)


async def play(urls: list[str], sensor: tuple[int, int], chunks: list[TimedChunk], camera: Camera) -> None:
    """Stream in real time; overdue chunks are sent at once."""
    start_s = time.monotonic()

    async def due() -> AsyncIterator[bytes]:
        for due_us, data in chunks:
            await asyncio.sleep(max(0.0, start_s + due_us / 1e6 - time.monotonic()))
            yield data

    width, height = sensor
    async with (
        spikewatch.AsyncClient(urls, reconnect_s=60) as client,
        client.session(format="dat", width=width, height=height, **OPTIONS) as session,
    ):
        camera.id = session.id
        async for result in session.stream(due()):
            camera.results.append(dict(result))
            camera.times_s.append(time.monotonic())


def expected_results(data: bytes, sensor: tuple[int, int], weights: Path) -> list[dict[str, Any]]:
    """Return the results of an offline run."""
    width, height = sensor
    run = spikewatch.detect(data, weights=weights, width=width, height=height, format="dat", **OPTIONS)
    return [result.to_dict() for result in run]


def without_clock(result: dict[str, Any]) -> dict[str, Any]:
    """Return a result as JSON gives it, without what a clock makes."""
    read: dict[str, Any] = json.loads(json.dumps(result))
    return {k: v for k, v in read.items() if k not in ("latency_ms", "type")}


async def wait_until_back(local: Any, workers: int, dead_pid: int) -> None:
    """Wait until all workers are there, and the dead process is not among them."""
    async with asyncio.timeout(BACK_TIMEOUT_S):
        while True:
            found = (await asyncio.to_thread(local.read_status))["workers"]
            if len(found) == workers and dead_pid not in [worker["pid"] for worker in found]:
                return
            await asyncio.sleep(0.2)


async def kill_once(local: Any, cameras: list[Camera], workers: int, report: Report) -> None:
    """Kill the worker with the most sessions, and note the gaps."""
    status = await asyncio.to_thread(local.read_status)
    victim = max(status["workers"], key=lambda worker: int(worker["sessions"]))
    say(f"killing {victim['name']} with {victim['sessions']} sessions")
    killed_s = time.monotonic()
    os.kill(victim["pid"], signal.SIGKILL)
    back = asyncio.create_task(wait_until_back(local, workers, victim["pid"]))
    await asyncio.sleep(GAP_WINDOW_S + 1)
    note_gaps(status, victim["name"], cameras, killed_s, report.gaps_s, report.other_gaps_s)
    await back
    say(f"gaps so far: {report.gaps_s} s, others {report.other_gaps_s} s")
    report.back_s.append(round(time.monotonic() - killed_s, 2))


def say(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)


async def drain_once(local: Any, cameras: list[Camera], report: Report) -> None:
    """Drain the worker with the most sessions, and note the gaps."""
    status = await asyncio.to_thread(local.read_status)
    victim = max(status["workers"], key=lambda worker: int(worker["sessions"]))
    start_s = time.monotonic()
    await asyncio.to_thread(local.drain, victim["name"], BACK_TIMEOUT_S)
    report.drain_s = round(time.monotonic() - start_s, 3)
    await asyncio.sleep(GAP_WINDOW_S + 1)
    note_gaps(status, victim["name"], cameras, start_s, report.drain_gaps_s, [])
    await asyncio.to_thread(local.undo_drain, victim["name"])


def note_gaps(
    status: dict[str, Any],
    worker: str,
    cameras: list[Camera],
    start_s: float,
    own: list[float],
    other: list[float],
) -> None:
    """Add the gaps of the sessions of a worker, and of all others."""
    for camera in cameras:
        gap_s = round(camera.gap_after(start_s), 3)
        (own if status["places"].get(camera.id) == worker else other).append(gap_s)


async def measure(local: Any, given: argparse.Namespace, weights: Path) -> Report:
    """Play all cameras, kill and drain meanwhile, then compare."""
    seconds = given.warm_s + given.kills * given.every_s + (GAP_WINDOW_S + 5 if given.drain else 0) + 5
    chunks, sensor = loop_recording(RECORDING, seconds, CHUNK_US)
    report = Report(machine_summary(), os.getloadavg())
    urls = [f"http://127.0.0.1:{FIRST_PORT + n}" for n in range(given.workers)]
    cameras = [Camera() for _ in range(given.cameras)]
    say(f"{given.cameras} cameras play for {seconds:.0f} s")
    async with asyncio.TaskGroup() as group:
        for number, camera in enumerate(cameras):
            turned = urls[number % len(urls) :] + urls[: number % len(urls)]
            group.create_task(play(turned, sensor, chunks, camera))
            await asyncio.sleep(SLICE_US / 1e6 / given.cameras)
        await asyncio.sleep(given.warm_s)
        for _ in range(given.kills):
            next_s = time.monotonic() + given.every_s
            await kill_once(local, cameras, given.workers, report)
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
        if given.drain:
            await drain_once(local, cameras, report)
    say("comparing")
    expected = [without_clock(r) for r in expected_results(b"".join(d for _, d in chunks), sensor, weights)]
    for camera in cameras:
        found = [without_clock(result) for result in camera.results]
        report.results += len(found)
        report.lost += max(0, len(expected) - len(found))
        report.different += sum(a != b for a, b in zip(found, expected, strict=False))
        report.different += max(0, len(found) - len(expected))
    return report


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cameras", type=int, default=6)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--every-s", type=float, default=40.0, help="from kill to kill")
    parser.add_argument("--warm-s", type=float, default=6.0, help="before the first kill")
    parser.add_argument("--size", default="128x160", help="input of the untrained network")
    parser.add_argument("--drain", action="store_true", help="drain a worker at the end too")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> int:
    """Run and print the report; return the exit status."""
    given = parse()
    with tempfile.TemporaryDirectory(prefix="spikewatch-cluster-") as name:
        folder, weights = Path(name) / "cluster", Path(name) / "network.safetensors"
        try:
            run_spikewatch(["init", str(weights), "--size", given.size])
        except SystemExit as done:
            if done.code:
                raise
        use_token(folder)
        from spikewatch.service.cluster import local

        settings = {"host": "127.0.0.1", "port": FIRST_PORT, "weights": str(weights), "threads": 1}
        settings |= {"snapshot_every_s": 2.0, "idle_timeout_s": 120.0}
        with local.run_cluster(folder, given.workers, settings, lease_s=3.0):
            report = asyncio.run(measure(local, given, weights))
    text = json.dumps(asdict(report), indent=2)
    print(text)
    for title, gaps in (
        ("killed", report.gaps_s),
        ("other", report.other_gaps_s),
        ("drained", report.drain_gaps_s),
    ):
        if gaps:
            print(f"{title}: median {statistics.median(gaps):.2f} s, worst {max(gaps):.2f} s of {len(gaps)}")
    if given.out is not None:
        given.out.write_text(text + "\n")
    return int(bool(report.lost or report.different or not report.results))


if __name__ == "__main__":
    raise SystemExit(main())
