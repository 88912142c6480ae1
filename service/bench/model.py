"""One slice with the state carried: every runtime, scale and batch size, and other engines beside them.

The first row of a scale and batch size is `eager`, the arithmetic of the paper's code as its users run it:
unfolded, layer by layer. That code keeps no state and runs its T slices anew for each result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch.utils.flop_counter import FlopCounterMode

from spikewatch.model.checkpoints.checkpoint import load_detector, untrained_detector
from spikewatch.model.detector import Detector
from spikewatch.model.network.shapes import trace
from spikewatch.model.network.step import Step
from spikewatch.model.runtime.binary_spikes import to_spike_driven
from spikewatch.model.runtime.factorise import factored
from spikewatch.model.runtime.packed_convolutions import ByteConv, FloatConv, Geometry
from spikewatch.service.bench.measure import Spread, take_turns
from spikewatch.service.bench.other_engines import other_engines
from spikewatch.service.bench.report import Chart, Report

PEAK_CHANNELS, PEAK_HEIGHT, PEAK_WIDTH = 256, 32, 40
ACTIVE = 0.06
"""Share of input values with events, as in Gen1's slices of 50 ms."""

COLUMNS = ("network", "runtime", "batch", "ms a step", "slices/s", "GMAC/s", "of peak", "against eager")


@dataclass(frozen=True, slots=True)
class Wish:
    """What is measured; `size` is the height and width that untrained networks see."""

    scales: tuple[str, ...]
    runtimes: tuple[str, ...]
    batches: tuple[int, ...]
    size: tuple[int, int]
    turns: int
    engines: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One runtime of one network on one batch size."""

    scale: str
    runtime: str
    batch: int
    gmac: float

    @property
    def name(self) -> str:
        """Unlike that of any other row."""
        return f"{self.scale} {self.runtime} {self.batch}"


def event_like(detector: Detector, batch: int) -> torch.Tensor:
    """Input as sparse as events, [B,P,h,w]."""
    frames = detector.blank_frames(batch)
    frames[torch.rand(frames.shape, generator=torch.Generator().manual_seed(0)) < ACTIVE] = 0.25
    return frames


def factored_gmac(detector: Detector) -> float:
    """Multiply-accumulates of one slice in the cheap form, in 10^9: what a machine has to do, not what
    neuromorphic hardware would.
    """
    network, spec = factored(detector.network).to("meta"), detector.spec
    shapes = trace(network, spec.input_height, spec.input_width).state_shapes
    state = {name: torch.empty(1, *shape, device="meta") for name, shape in shapes.items()}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(detector.blank_frames().to("meta"), Step(state))
    return float(counter.get_total_flops()) / 2 / 1e9


def _stream(detector: Detector, batch: int) -> Callable[[], object]:
    """A function that runs the next slice of `batch` endless streams."""
    bank, frames = detector.make_bank(batch), event_like(detector, batch)
    return lambda: detector.step_in_bank(frames, bank, range(batch))


def _peaks() -> tuple[dict[str, Callable[[], object]], float]:
    """A large convolution in floats and in bytes, and its 10^9 multiply-accumulates."""
    c, h, w = PEAK_CHANNELS, PEAK_HEIGHT, PEAK_WIDTH
    conv = torch.nn.Conv2d(c, c, 3, padding=1)
    geometry = Geometry.of(conv, h, w)
    floats, bytes_ = (
        FloatConv(conv.weight, conv.bias, geometry),
        ByteConv(conv.weight, conv.bias, geometry, 1),
    )
    spikes = torch.randint(0, 5, (1, c, h, w), dtype=torch.uint8).contiguous(
        memory_format=torch.channels_last
    )
    real = spikes.float()
    return {
        "peak fp32": torch.inference_mode()(lambda: floats(real)),
        "peak int8": torch.inference_mode()(lambda: bytes_(spikes)),
    }, c * c * 9 * h * w / 1e9


def load(scale: str, size: tuple[int, int]) -> Detector:
    """The default weights, or untrained ones of a scale, for a height and width; eagerly."""
    if scale == "default":
        return load_detector()
    made = untrained_detector(scale)
    return Detector(made.network, replace(made.spec, input_height=size[0], input_width=size[1]))


def _on(runtime: str, loaded: Detector) -> Detector:
    """The detector on a runtime; `spike`: eagerly, on binary spikes."""
    if runtime == "spike":
        return Detector(to_spike_driven(loaded.network), loaded.spec)
    return Detector(loaded.network, loaded.spec, runtime=runtime)


def _rows(wish: Wish, threads: int) -> dict[Row, Callable[[], object]]:
    rows: dict[Row, Callable[[], object]] = {}
    for scale in wish.scales:
        loaded = load(scale, wish.size)
        gmac = factored_gmac(loaded)
        for batch in wish.batches:
            for runtime in wish.runtimes:
                rows[Row(scale, runtime, batch, gmac)] = _stream(_on(runtime, loaded), batch)
            if wish.engines:
                for name, run in other_engines(loaded, event_like(loaded, batch), threads).items():
                    rows[Row(scale, name, batch, gmac)] = run
    return rows


def measure_model(wish: Wish, tell: Callable[[float], None]) -> Report:
    """Run all rows in turn."""
    peaks, peak_gmac = _peaks()
    rows = _rows(wish, torch.get_num_threads())
    timed = peaks | {row.name: run for row, run in rows.items()}
    seconds = take_turns(timed, wish.turns, repeats=5, warm_up=2, tell=tell)
    peak = {name: peak_gmac / Spread.of(seconds[name]).median for name in peaks}
    cells, figures = [], []
    for row in rows:
        values = _figures(row, seconds, peak)
        figures.append(values)
        cells.append(_cells(row, values, [each * 1e3 for each in seconds[row.name]]))
    height, width = wish.size
    title = (
        f"One slice with the state carried, {height}x{width}; {wish.turns * 5} steps a row, median (5 to 95"
    )
    title += (
        f" %). Peak of a {PEAK_CHANNELS}-channel 3x3 convolution: {peak['peak fp32']:.0f} GMAC/s in fp32, "
    )
    title += f"{peak['peak int8']:.0f} in int8."
    chart = Chart(
        "slices a second",
        [
            (
                f"{row.scale}, {row.runtime}, batch {row.batch}",
                Spread.of([row.batch / s for s in seconds[row.name]]),
            )
            for row in rows
        ],
    )
    return Report(title, COLUMNS, cells, {"peak_gmac_per_s": peak, "rows": figures}, chart)


def _figures(row: Row, seconds: dict[str, list[float]], peak: dict[str, float]) -> dict[str, object]:
    median = Spread.of(seconds[row.name]).median
    eager = seconds.get(Row(row.scale, "eager", row.batch, row.gmac).name)
    of_peak = peak["peak int8" if "int8" in row.runtime else "peak fp32"]
    speed = row.batch * row.gmac / median
    return {
        "network": row.scale,
        "runtime": row.runtime,
        "batch": row.batch,
        "gmac_per_slice": row.gmac,
        "ms": [each * 1e3 for each in seconds[row.name]],
        "slices_per_s": row.batch / median,
        "gmac_per_s": speed,
        "share_of_peak": speed / of_peak,
        "against_eager": Spread.of(eager).median / median if eager else None,
    }


def _cells(row: Row, values: dict[str, object], ms: Sequence[float]) -> tuple[str, ...]:
    ratio, share = values["against_eager"], values["share_of_peak"]
    return (
        f"{row.scale}",
        row.runtime,
        str(row.batch),
        Spread.of(ms).text(),
        f"{values['slices_per_s']:.1f}",
        f"{values['gmac_per_s']:.0f}",
        f"{share:.0%}",
        "-" if ratio is None else f"{ratio:.2f}",
    )
