"""Precision, latency and energy for each T, slice length, runtime and weights: one table and one plot.

    python -m scripts.energy_budget out/data --slices 1 2 --slice-us 25000 50000 -o out/b.md -o out/b.png

Membranes are carried. D is a property of weights: give several files to compare it. Latency is the median
time of a step (one slice, batch 1) on this machine; the answer also waits for the slice to end. Energy is the
paper's estimate, so it does not depend on the runtime.
"""

import argparse
import statistics
import time
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path

from spikewatch.ingest.open import open_recording
from spikewatch.model.checkpoints.checkpoint import load_detector
from spikewatch.model.detector import Detector
from spikewatch.model.letterbox import Letterbox, preprocess
from spikewatch.model.training.datasets.class_map import match_classes
from spikewatch.model.training.datasets.window_bounds import WindowSpec
from spikewatch.model.training.evaluation.box_selection import BoxSelection
from spikewatch.model.training.evaluation.evaluate import evaluate_recordings
from spikewatch.model.training.evaluation.recording_set import RecordingSet, prophesee_set
from spikewatch.service.inference.sources import RecordingSource
from spikewatch.service.plotting import new_figure

WARM_UP, TIMED = 5, 60
HEADINGS = ("weights", "T x D", "slice, ms", "runtime", "AP", "AP50", "step, ms", "mJ/s", "AP50 per mJ/s")


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One setting: precision in percent, milliseconds of a step, millijoules of a second of events."""

    weights: str
    slices: int
    d_max: int
    slice_us: int
    runtime: str
    ap: float
    ap50: float
    step_ms: float
    power_mw: float

    @property
    def ap50_per_mw(self) -> float:
        """Percent of AP50 for each milliwatt."""
        return self.ap50 / self.power_mw

    def cells(self) -> list[str]:
        """Texts in the order of HEADINGS."""
        numbers = (self.ap, self.ap50, self.step_ms, self.power_mw, self.ap50_per_mw)
        return [
            self.weights,
            f"{self.slices} x {self.d_max}",
            f"{self.slice_us / 1000:g}",
            self.runtime,
            *(f"{number:.1f}" for number in numbers),
        ]


def measure_setting(detector: Detector, data: RecordingSet, slices: int, slice_us: int) -> BudgetRow:
    """Score the recordings, then time steps of the first one."""
    spec = detector.spec
    evaluation = evaluate_recordings(
        detector,
        data.recordings,
        WindowSpec(slices, slice_us),
        "carry",
        BoxSelection(),
        lambda _: None,
        protocol=data.protocol,
        classes=match_classes(data.class_names, spec.class_names, None),
        batch=1,
    )
    if evaluation.cost is None:
        raise ValueError(f"{spec.name}: the run has no cost")
    figures = evaluation.score.metrics
    window_s = slices * slice_us * 1e-6
    return BudgetRow(
        spec.name,
        slices,
        spec.config.d_max,
        slice_us,
        detector.runtime,
        100 * (figures.ap or 0.0),
        100 * (figures.ap50 or 0.0),
        step_ms(detector, data.recordings[0].events, slice_us),
        evaluation.cost.energy.snn_mj / window_s,
    )


def step_ms(detector: Detector, path: Path, slice_us: int) -> float:
    """Return the median milliseconds of a step on slices of the recording, batch 1, after a warm-up."""
    times = []
    with open_recording(path) as recording:
        letterbox = Letterbox.fit(*recording.sensor_size(), detector.spec)
        source = RecordingSource(recording, slice_us, detector.spec.representation)
        state = detector.init_state()
        for slice_ in islice(source.slices(), WARM_UP + TIMED):
            frame = preprocess(slice_.frame, letterbox, detector.spec)[None]
            begun = time.perf_counter()
            state = detector.step(frame, state).state
            times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times[WARM_UP:] or times)


def markdown(rows: list[BudgetRow]) -> str:
    """Return the rows as a table."""
    lines = [HEADINGS, ["---"] * len(HEADINGS), *(row.cells() for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def plot(rows: list[BudgetRow], path: Path) -> None:
    """Draw AP50 over power; the area of a point is the time of a step."""
    figure = new_figure(8, 5)
    axis = figure.subplots()
    for row in rows:
        label = f"{row.weights} {row.slices}x{row.d_max} {row.slice_us / 1000:g} ms {row.runtime}"
        axis.scatter(row.power_mw, row.ap50, s=8 * row.step_ms, alpha=0.7, label=label)
    axis.set_xlabel("estimated power of one stream, mW (45 nm, synaptic operations)")
    axis.set_ylabel("AP50, %")
    axis.set_xlim(left=0)
    axis.set_ylim(0, 100)
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, title="area: ms a step", title_fontsize=7)
    figure.savefig(path, format="png", dpi=110)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int, help="use the first N recordings only")
    parser.add_argument(
        "--weights", nargs="+", default=[None], help="names or files; default: the bundled weights"
    )
    parser.add_argument("--slices", nargs="+", type=int, default=[1], help="T")
    parser.add_argument("--slice-us", nargs="+", type=int, default=[50_000])
    parser.add_argument("--runtime", nargs="+", default=["auto"])
    parser.add_argument("--out", "-o", action="append", type=Path, default=[], help=".md or .png; repeatable")
    given = parser.parse_args()
    data = prophesee_set(given.dataset, given.split, None)
    data = RecordingSet(data.recordings[: given.limit], data.class_names, data.protocol)
    rows = []
    for weights, runtime in product(given.weights, given.runtime):
        detector = load_detector(weights, runtime=runtime)
        for slices, slice_us in product(given.slices, given.slice_us):
            rows.append(measure_setting(detector, data, slices, slice_us))
            print(" | ".join(rows[-1].cells()), flush=True)
    for path in given.out:
        if path.suffix == ".png":
            plot(rows, path)
        else:
            path.write_text(markdown(rows))


if __name__ == "__main__":
    main()
