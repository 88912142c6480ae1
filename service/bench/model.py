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
from spikewatch.model.network.shapes import trace_shapes
from spikewatch.model.network.step import StepContext
from spikewatch.model.runtime.binary_spikes import to_spike_driven
from spikewatch.model.runtime.factorise import factorise_network
from spikewatch.model.runtime.packed_convolutions import ByteConv, ConvGeometry, FloatConv
from spikewatch.service.bench.measure import Quantiles, interleave
from spikewatch.service.bench.other_engines import other_engines
from spikewatch.service.bench.report import BenchReport, Chart

PEAK_CHANNELS, PEAK_HEIGHT, PEAK_WIDTH = 256, 32, 40
ACTIVE_SHARE = 0.06
"""Share of input values with events, as in Gen1's slices of 50 ms."""

COLUMNS = ("network", "runtime", "batch", "ms a step", "slices/s", "GMAC/s", "of peak", "against eager")


@dataclass(frozen=True, slots=True)
class ModelBenchOptions:
    """Options of the measurement; `size` is the height and width that untrained networks see."""

    scales: tuple[str, ...]
    runtimes: tuple[str, ...]
    batches: tuple[int, ...]
    size: tuple[int, int]
    turns: int
    engines: bool


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One runtime of one network on one batch size."""

    scale: str
    runtime: str
    batch: int
    gmac: float

    @property
    def name(self) -> str:
        """Unlike that of any other row."""
        return f"{self.scale} {self.runtime} {self.batch}"


def sparse_frames(detector: Detector, batch: int) -> torch.Tensor:
    """Input as sparse as events, [B,P,h,w]."""
    frames = detector.blank_frames(batch)
    frames[torch.rand(frames.shape, generator=torch.Generator().manual_seed(0)) < ACTIVE_SHARE] = 0.25
    return frames


def factored_gmac(detector: Detector) -> float:
    """Multiply-accumulates of one slice in the factored form, in 10^9: the work of a CPU or GPU, not of
    neuromorphic hardware.
    """
    network, spec = factorise_network(detector.network).to("meta"), detector.spec
    shapes = trace_shapes(network, spec.input_height, spec.input_width).state_shapes
    state = {name: torch.empty(1, *shape, device="meta") for name, shape in shapes.items()}
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(detector.blank_frames().to("meta"), StepContext(state))
    return float(counter.get_total_flops()) / 2 / 1e9


def _make_step(detector: Detector, batch: int) -> Callable[[], object]:
    """A function that runs the next slice of `batch` endless streams."""
    bank, frames = detector.create_bank(batch), sparse_frames(detector, batch)
    return lambda: detector.step_in_bank(frames, bank, range(batch))


def _peak_convolutions() -> tuple[dict[str, Callable[[], object]], float]:
    """A large convolution in floats and in bytes, and its 10^9 multiply-accumulates."""
    c, h, w = PEAK_CHANNELS, PEAK_HEIGHT, PEAK_WIDTH
    conv = torch.nn.Conv2d(c, c, 3, padding=1)
    geometry = ConvGeometry.from_conv(conv, h, w)
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


def load_scale(scale: str, size: tuple[int, int]) -> Detector:
    """The default weights, or untrained ones of a scale, for a height and width; eagerly."""
    if scale == "default":
        return load_detector()
    made = untrained_detector(scale)
    return Detector(made.network, replace(made.spec, input_height=size[0], input_width=size[1]))


def _with_runtime(runtime: str, loaded: Detector) -> Detector:
    """The detector on a runtime; `spike`: eagerly, on binary spikes."""
    if runtime == "spike":
        return Detector(to_spike_driven(loaded.network), loaded.spec)
    return Detector(loaded.network, loaded.spec, runtime=runtime)


def _make_rows(options: ModelBenchOptions, threads: int) -> dict[BenchRow, Callable[[], object]]:
    rows: dict[BenchRow, Callable[[], object]] = {}
    for scale in options.scales:
        loaded = load_scale(scale, options.size)
        gmac = factored_gmac(loaded)
        for batch in options.batches:
            for runtime in options.runtimes:
                rows[BenchRow(scale, runtime, batch, gmac)] = _make_step(
                    _with_runtime(runtime, loaded), batch
                )
            if options.engines:
                for name, run in other_engines(loaded, sparse_frames(loaded, batch), threads).items():
                    rows[BenchRow(scale, name, batch, gmac)] = run
    return rows


def measure_model(options: ModelBenchOptions, on_progress: Callable[[float], None]) -> BenchReport:
    """Run all rows in turn."""
    peaks, peak_gmac = _peak_convolutions()
    rows = _make_rows(options, torch.get_num_threads())
    timed = peaks | {row.name: run for row, run in rows.items()}
    seconds = interleave(timed, options.turns, repeats=5, warm_up=2, on_progress=on_progress)
    peak = {name: peak_gmac / Quantiles.from_values(seconds[name]).median for name in peaks}
    cells, figures = [], []
    for row in rows:
        values = _row_figures(row, seconds, peak)
        figures.append(values)
        cells.append(_row_cells(row, values, [each * 1e3 for each in seconds[row.name]]))
    height, width = options.size
    title = (
        f"One slice with the state carried, {height}x{width}; {options.turns * 5} steps a row, "
        f"median (5 to 95 %). "
        f"Peak of a {PEAK_CHANNELS}-channel 3x3 convolution: {peak['peak fp32']:.0f} GMAC/s in fp32, "
        f"{peak['peak int8']:.0f} in int8."
    )
    chart = Chart(
        "slices a second",
        [
            (
                f"{row.scale}, {row.runtime}, batch {row.batch}",
                Quantiles.from_values([row.batch / s for s in seconds[row.name]]),
            )
            for row in rows
        ],
    )
    return BenchReport(title, COLUMNS, cells, {"peak_gmac_per_s": peak, "rows": figures}, chart)


def _row_figures(row: BenchRow, seconds: dict[str, list[float]], peak: dict[str, float]) -> dict[str, object]:
    median = Quantiles.from_values(seconds[row.name]).median
    eager = seconds.get(BenchRow(row.scale, "eager", row.batch, row.gmac).name)
    of_peak = peak["peak int8" if "int8" in row.runtime or row.runtime == "compiled" else "peak fp32"]
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
        "against_eager": Quantiles.from_values(eager).median / median if eager else None,
    }


def _row_cells(row: BenchRow, values: dict[str, object], ms: Sequence[float]) -> tuple[str, ...]:
    ratio, share = values["against_eager"], values["share_of_peak"]
    return (
        f"{row.scale}",
        row.runtime,
        str(row.batch),
        Quantiles.from_values(ms).text(),
        f"{values['slices_per_s']:.1f}",
        f"{values['gmac_per_s']:.0f}",
        f"{share:.0%}",
        "-" if ratio is None else f"{ratio:.2f}",
    )
