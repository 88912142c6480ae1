"""`spikewatch bench`: measure speed on this machine."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spikewatch.service.cli.options.checks import check_outputs, parse_input_size
from spikewatch.service.cli.options.shared import Hop, Runtime, Weights
from spikewatch.service.cli.progress import progress_bar

if TYPE_CHECKING:
    from spikewatch.service.bench.report import BenchReport

SUFFIXES = (".md", ".json", ".png")
BUNDLED_RECORDING = Path(__file__).parents[2] / "assets" / "street_td.dat"
RUNTIMES = "eager,fp32,int8x2,int8,compiled"

app = typer.Typer(name="bench", help="Measure speed here; all rows of a table take turns in one run.")

OutputPaths = Annotated[
    list[Path] | None,
    typer.Option(
        "--out", "-o", help=f"Also write the table: {', '.join(SUFFIXES)}. May be given repeatedly."
    ),
]
Threads = Annotated[int, typer.Option(min=0, help="Compute threads; 0: as many as there are.")]


@app.command()
def ingest(
    events: Annotated[int, typer.Option(min=1000, help="Synthetic events of each row.")] = 8_000_000,
    turns: Annotated[int, typer.Option(min=1, help="How often each row is measured.")] = 7,
    out: OutputPaths = None,
) -> None:
    """Decoding and slicing in million events a second of one core, beside plain numpy and the limit."""
    paths = out or []
    check_outputs(paths, SUFFIXES)
    from spikewatch.service.bench.ingest import measure_ingest

    with progress_bar("measuring") as update:
        report = measure_ingest(events, turns, update)
    _print_and_write(report, paths)


@app.command()
def model(
    scales: Annotated[
        str, typer.Option(help="Untrained networks, and `default`, with commas.")
    ] = "default,n,s",
    runtimes: Annotated[str, typer.Option(help="With commas; `spike`: on binary spikes.")] = RUNTIMES,
    batches: Annotated[str, typer.Option(help="Sessions in one step, with commas.")] = "1,8",
    size: Annotated[str, typer.Option(metavar="HxW", help="Pixels that untrained networks see.")] = "256x320",
    turns: Annotated[int, typer.Option(min=1, help="Turns of five steps for each row.")] = 6,
    threads: Threads = 0,
    engines: Annotated[bool, typer.Option("--engines", help="Also ONNX Runtime and OpenVINO.")] = False,
    out: OutputPaths = None,
) -> None:
    """One slice with the state carried, by runtime, scale and batch size."""
    paths = out or []
    check_outputs(paths, SUFFIXES)
    import torch

    from spikewatch.service.bench.model import ModelBenchOptions, measure_model

    if threads:
        torch.set_num_threads(threads)
    wish = ModelBenchOptions(
        _split_list(scales),
        _split_list(runtimes),
        _parse_numbers(batches),
        parse_input_size(size),
        turns,
        engines,
    )
    with progress_bar("measuring") as update:
        report = measure_model(wish, update)
    _print_and_write(report, paths)


@app.command()
def service(
    recording: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RECORDING]", help="What each camera plays, over and over; default: bundled."
        ),
    ] = None,
    cameras: Annotated[
        str, typer.Option(help="How many at once, with commas; it ends where the service falls behind.")
    ] = "1,2,3,4,6,8,12,16",
    seconds: Annotated[float, typer.Option(min=1.0, help="Of each number of cameras.")] = 10.0,
    transport: Annotated[
        Literal["websocket", "rest"], typer.Option(help="How events are sent.")
    ] = "websocket",
    hop: Hop = None,
    weights: Weights = None,
    runtime: Runtime = None,
    url: Annotated[str | None, typer.Option(help="Of a running service; default: start one.")] = None,
    out: OutputPaths = None,
) -> None:
    """How many cameras in real time a service holds with the p99 of latency within a slice."""
    paths = out or []
    check_outputs(paths, SUFFIXES)
    if url is not None and (weights is not None or runtime is not None):
        raise typer.BadParameter(
            f"--url {url}: --weights and --runtime are for a service that is started here"
        )
    from spikewatch.service.bench.load import LoadBenchOptions, measure_service

    given = {"--weights": weights, "--runtime": runtime}
    serve = [word for name, value in given.items() if value is not None for word in (name, value)]
    numbers = _parse_numbers(cameras)
    wish = LoadBenchOptions(
        recording or BUNDLED_RECORDING, numbers, seconds, transport, hop, tuple(serve), url
    )
    with progress_bar("playing") as update:
        report = measure_service(wish, update)
    _print_and_write(report, paths)


def _split_list(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _parse_numbers(text: str) -> tuple[int, ...]:
    words = _split_list(text)
    if not words or not all(word.isdecimal() and int(word) for word in words):
        raise typer.BadParameter(f"{text!r}: expected numbers from 1, with commas")
    return tuple(map(int, words))


def _print_and_write(report: "BenchReport", paths: list[Path]) -> None:
    typer.echo(report.to_markdown())
    for path in paths:
        report.write(path)
        typer.echo(f"wrote {path}")
