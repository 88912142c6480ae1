"""Energy report: estimated energy of each layer on neuromorphic hardware, and degraded layers.

The report holds two counts. The paper's formula (equation 17) uses the mean firing rate of a layer. The
exact count uses the true fan-out of each spike (`model.network.exact_step`).
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spikewatch.model.energy.degradation import classify_degradation
from spikewatch.model.energy.formulas import PAPER_COSTS, Energy, OperationCosts, firing_rates, layer_energy
from spikewatch.model.network.layer import Layer

if TYPE_CHECKING:  # the detector imports torch, which commands that only name hardware do without
    from spikewatch.model.detector import Detector, StepOutput


@dataclass(frozen=True, slots=True)
class LayerReport:
    """One convolution, over one window of T slices.

    Attributes:
        layer: its geometry.
        firing_rate: spikes for each neuron and virtual step; None if the input is real-valued.
        formula: operations by the paper's formula.
        exact: operations with exactly counted accumulations.
        degradation: `silent`, `saturated` or None.
    """

    layer: Layer
    firing_rate: float | None
    formula: Energy
    exact: Energy
    degradation: str | None


@dataclass(frozen=True, slots=True)
class EnergyReport:
    """All layers, over one window of T slices, averaged over a run.

    Attributes:
        layers: reports in the order of execution.
        slices: T.
        d_max: D.
        windows: windows in the run, with a fraction if the last window is incomplete.
        costs: energy of one operation.
        membranes: number of neurons of each I-LIF layer.
        slice_us: length of a slice in microseconds; None for a still image, which has no power.
    """

    layers: tuple[LayerReport, ...]
    slices: int
    d_max: int
    windows: float
    costs: OperationCosts
    membranes: tuple[int, ...]
    slice_us: int | None = None

    @property
    def formula(self) -> Energy:
        """Sum over layers by the paper's formula."""
        return sum((row.formula for row in self.layers), Energy())

    @property
    def exact(self) -> Energy:
        """Sum over layers with exact accumulations."""
        return sum((row.exact for row in self.layers), Energy())

    def milliwatts(self, window_mj: float) -> float | None:
        """Return the mean power of a stream whose windows cost `window_mj`; None for a still image."""
        return None if self.slice_us is None else window_mj / (self.slices * self.slice_us * 1e-6)

    @property
    def degraded(self) -> dict[str, str]:
        """Layer name -> degradation, for degraded layers only."""
        return {row.layer.name: row.degradation for row in self.layers if row.degradation}


class EnergyMeter:
    """Accumulator of spike counts over the outputs of steps run with `exact=True`, of any batch size."""

    def __init__(self, detector: "Detector") -> None:
        self._detector = detector
        self.slices = 0
        self.spikes: dict[str, int] = {}
        self._accumulations: dict[str, float] = {}

    def add(self, out: "StepOutput") -> None:
        """Add the output of one step; each sample of the batch is one slice."""
        self.slices += len(out.logits[0])
        for name, count in out.spikes.items():
            self.spikes[name] = self.spikes.get(name, 0) + int(count.sum())
        for name, exact in out.accumulations.items():
            self._accumulations[name] = self._accumulations.get(name, 0.0) + float(exact.sum())

    def add_all(self, outputs: "Iterable[StepOutput]") -> None:
        """Add the outputs of several steps."""
        for out in outputs:
            self.add(out)

    def report(
        self, slices: int, costs: OperationCosts = PAPER_COSTS, slice_us: int | None = None
    ) -> EnergyReport:
        """Return the mean energy of a window of `slices` slices.

        Raises:
            ValueError: no slice was added.
        """
        if not self.slices:
            raise ValueError("no slice was run: call add() first")  # no value
        d_max, windows = self._detector.spec.config.d_max, self.slices / slices
        rates = firing_rates(self._detector.layers, self.spikes, d_max, self.slices)
        rows = []
        for layer in self._detector.layers:
            rate = rates.get(layer.name)
            formula = layer_energy(layer, (rate or 0.0) * d_max * layer.spike_trains, slices)
            exact = self._accumulations.get(layer.name, 0.0) / windows
            degradation = None if rate is None else classify_degradation(rate)
            rows.append(
                LayerReport(layer, rate, formula, Energy(exact, formula.mac, formula.ann_mac), degradation)
            )
        membranes = tuple(math.prod(shape) for shape in self._detector.state_shapes.values())
        return EnergyReport(tuple(rows), slices, d_max, windows, costs, membranes, slice_us)
