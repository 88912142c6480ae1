"""How many cameras a service holds: more and more of them in real time, until it falls behind."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from spikewatch.service.bench.cameras import PLAYERS, CameraReport, TimedChunk, loop_recording
from spikewatch.service.bench.measure import Quantiles
from spikewatch.service.bench.report import BenchReport, Chart
from spikewatch.service.errors import BadRequest

CHUNK_US = 10_000
START_TIMEOUT_S = 60.0
COLUMNS = (
    "cameras",
    "windows/s",
    "latency p50, ms",
    "p99, ms",
    "dropped",
    "mean batch",
    "memory, MB",
    "held",
)


@dataclass(frozen=True, slots=True)
class LoadBenchOptions:
    """Options of the measurement.

    Attributes:
        recording: that every camera plays, each a little later than the one before.
        cameras: how many at once, one after the other, until the service falls behind.
        seconds: of each.
        transport: `websocket` or `rest`.
        hop: slices from result to result; None: the model's.
        serve_arguments: options for a service of our own.
        url: of a service that runs already, if any.
    """

    recording: Path
    cameras: tuple[int, ...]
    seconds: float
    transport: str
    hop: int | None
    serve_arguments: tuple[str, ...]
    url: str | None


@dataclass(frozen=True, slots=True)
class LoadResult:
    """One number of cameras."""

    cameras: int
    slice_ms: float
    windows_per_s: float
    latency_ms: list[float]
    dropped: int
    errors: list[str]
    mean_batch_size: float
    memory_bytes: float

    @property
    def p99_ms(self) -> float:
        """Latency that one window in a hundred exceeds."""
        ordered = sorted(self.latency_ms)
        return ordered[int(0.99 * (len(ordered) - 1))] if ordered else float("inf")

    @property
    def latency(self) -> Quantiles:
        """Median, least and p99, in milliseconds."""
        found = self.latency_ms or [float("inf")]
        return Quantiles(Quantiles.from_values(found).median, min(found), self.p99_ms)

    @property
    def sustained(self) -> bool:
        """Every window came, and all but one in a hundred within a slice."""
        return not self.errors and not self.dropped and self.p99_ms < self.slice_ms


@contextmanager
def running_service(serve_arguments: Sequence[str]) -> Iterator[str]:
    """A service in a process of its own, on a free port; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "spikewatch", "serve", "--port", str(port), *serve_arguments]
    # the log goes nowhere: nobody reads it, and a full pipe would stop the service
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_ready(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{url}/v2/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise BadRequest(f"no service answered at {url}")


def measure_service(options: LoadBenchOptions, on_progress: Callable[[float], None]) -> BenchReport:
    """Raise the number of cameras until the service falls behind, or the last was held."""
    pieces, sensor = loop_recording(options.recording, options.seconds, CHUNK_US)
    if options.url is not None:
        return _make_report(
            options, list(_increase_load(options, options.url.rstrip("/"), pieces, sensor, on_progress))
        )
    most = max(options.cameras)
    with running_service(("--max-sessions", str(most), *options.serve_arguments)) as url:
        return _make_report(options, list(_increase_load(options, url, pieces, sensor, on_progress)))


def _increase_load(
    options: LoadBenchOptions,
    url: str,
    chunks: list[TimedChunk],
    sensor_size: tuple[int, int],
    on_progress: Callable[[float], None],
) -> Iterator[LoadResult]:
    for index, cameras in enumerate(options.cameras):
        try:
            held = asyncio.run(_measure_load(options, url, cameras, chunks, sensor_size))
        except httpx.HTTPError as error:
            raise BadRequest(f"{url}: {error}") from error
        on_progress((index + 1) / len(options.cameras))
        yield held
        if not held.sustained:
            return


async def _measure_load(
    options: LoadBenchOptions, url: str, cameras: int, chunks: list[TimedChunk], sensor_size: tuple[int, int]
) -> LoadResult:
    """So many cameras at once, their slices spread evenly over a slice's length."""
    wanted = {"format": "dat", "width": sensor_size[0], "height": sensor_size[1], "policy": "drop_oldest"}
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        answers = [
            await client.post("/v1/sessions", json=wanted | {"hop": options.hop}) for _ in range(cameras)
        ]
        for answer in answers:
            if answer.status_code != 201:
                raise BadRequest(f"{url} answers {answer.status_code}: {answer.text[:300]}")
        sessions = [answer.json() for answer in answers]
        slice_s = sessions[0]["slice_us"] / 1e6
        before, start_s = await _scrape_metrics(client), time.monotonic() + 0.5
        play = PLAYERS[options.transport]
        heard = await asyncio.gather(
            *(play(url, each, chunks, start_s + i * slice_s / cameras) for i, each in enumerate(sessions))
        )
        after = await _scrape_metrics(client)
    return _make_result(cameras, slice_s, heard, before, after, options.seconds)


def _make_result(
    cameras: int,
    slice_s: float,
    reports: Sequence[CameraReport],
    before: dict[str, float],
    after: dict[str, float],
    seconds: float,
) -> LoadResult:
    grown = {name: after[name] - before[name] for name in after}
    return LoadResult(
        cameras=cameras,
        slice_ms=slice_s * 1e3,
        windows_per_s=sum(len(each.latency_ms) for each in reports) / seconds,
        latency_ms=[ms for each in reports for ms in each.latency_ms],
        dropped=sum(each.dropped for each in reports),
        errors=[each.error for each in reports if each.error],
        mean_batch_size=grown["spikewatch_batch_size_sum"] / max(grown["spikewatch_batch_size_count"], 1),
        memory_bytes=after["process_resident_memory_bytes"],
    )


async def _scrape_metrics(client: httpx.AsyncClient) -> dict[str, float]:
    """The sum of all series of a name."""
    text, sums = (await client.get("/metrics")).text, defaultdict[str, float](float)
    for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", text, re.MULTILINE):
        sums[name] += float(value)
    return sums


def _make_report(options: LoadBenchOptions, results: Sequence[LoadResult]) -> BenchReport:
    cells = [
        (
            str(row.cameras),
            f"{row.windows_per_s:.1f}",
            f"{row.latency.median:.1f}",
            f"{row.p99_ms:.1f}",
            str(row.dropped),
            f"{row.mean_batch_size:.2f}",
            f"{row.memory_bytes / 1e6:.0f}",
            "yes" if row.sustained else "; ".join(row.errors[:1]) or "no",
        )
        for row in results
    ]
    title = (
        f"Cameras in real time over {options.transport}, {options.seconds:g} s each, "
        f"{options.recording.name}; slices of {results[0].slice_ms:g} ms. "
        "Held: no window dropped, p99 of latency within a slice. "
        "The cameras run on the same machine."
    )
    chart = Chart(
        "ms from the last byte of a window to its result: median, 99 % below the whisker",
        [(f"{row.cameras} cameras, {row.windows_per_s:.0f} windows/s", row.latency) for row in results],
        (results[0].slice_ms, "a slice"),
    )
    figures = {"transport": options.transport, "rows": [_result_figures(row) for row in results]}
    return BenchReport(title, COLUMNS, cells, figures, chart)


def _result_figures(result: LoadResult) -> dict[str, Any]:
    return {
        "cameras": result.cameras,
        "windows_per_s": result.windows_per_s,
        "latency_ms": result.latency_ms,
        "p99_ms": result.p99_ms,
        "dropped": result.dropped,
        "errors": result.errors,
        "mean_batch": result.mean_batch_size,
        "memory_bytes": result.memory_bytes,
        "held": result.sustained,
    }
