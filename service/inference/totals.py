"""Sums over the results of one session or recording."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from spikewatch.model.energy.formulas import Energy
from spikewatch.service.inference.sources import SliceSource
from spikewatch.service.inference.window import WindowResult
from spikewatch.service.schemas import EnergyMj, Totals


class TotalsAccumulator:
    """Filled result by result; keeps what a decoder dropped when a reset replaces it.

    One thread fills, others look: dictionaries are replaced, never changed, or copied at once.
    """

    def __init__(self) -> None:
        self.windows = self.events = self.detections = 0
        self.snn_mj = self.ann_mj = 0.0
        self.layer_rates: dict[str, float] = {}
        self.layer_energy: dict[str, Energy] = {}
        self.t_start_us: int | None = None
        self.t_end_us: int | None = None
        self._rate_sum = 0.0
        self._carried_over_drops: dict[str, int] = {}

    def add(self, result: WindowResult) -> None:
        """Count a result."""
        self.windows += 1
        self.events += result.events
        self.detections += len(result.detections)
        self.snn_mj += result.energy.snn_mj
        self.ann_mj += result.energy.ann_mj
        self._rate_sum += result.firing_rate
        self.layer_rates = result.layer_rates
        self.layer_energy = self.layer_energy | {
            name: self.layer_energy.get(name, Energy()) + energy
            for name, energy in result.layer_energy.items()
        }
        self.t_start_us = result.t_start_us if self.t_start_us is None else self.t_start_us
        self.t_end_us = result.t_end_us

    def carry_over_drops(self, source: SliceSource) -> None:
        """Keep the counts of a source that a reset replaces."""
        self._carried_over_drops = _sum_counts(self._carried_over_drops, source.dropped)

    @property
    def carried_over_drops(self) -> dict[str, int]:
        """Dropped by sources that are no more; of the thread that feeds, unlike the rest."""
        return dict(self._carried_over_drops)

    def save(self) -> dict[str, Any]:
        """All but `retired`, as plain values."""
        return {
            "windows": self.windows,
            "events": self.events,
            "detections": self.detections,
            "snn_mj": self.snn_mj,
            "ann_mj": self.ann_mj,
            "rate_sum": self._rate_sum,
            "layer_rates": dict(self.layer_rates),
            "layer_energy": {name: asdict(energy) for name, energy in self.layer_energy.items()},
            "t_start_us": self.t_start_us,
            "t_end_us": self.t_end_us,
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `save` gave."""
        self.windows, self.events, self.detections = saved["windows"], saved["events"], saved["detections"]
        self.snn_mj, self.ann_mj, self._rate_sum = saved["snn_mj"], saved["ann_mj"], saved["rate_sum"]
        self.layer_rates = dict(saved["layer_rates"])
        self.layer_energy = {name: Energy(**energy) for name, energy in saved["layer_energy"].items()}
        self.t_start_us, self.t_end_us = saved["t_start_us"], saved["t_end_us"]
        self._carried_over_drops = dict(saved["dropped"])

    def to_schema(
        self, source: SliceSource, dropped_slices: int = 0, dropped_events: int = 0, dropped_windows: int = 0
    ) -> Totals:
        """Everything, with what was dropped on the way."""
        return Totals(
            windows=self.windows,
            events=self.events,
            detections=self.detections,
            dropped_windows=dropped_windows,
            dropped_slices=dropped_slices,
            dropped_events=_sum_counts(
                self._carried_over_drops, source.dropped, {"too_fast": dropped_events}
            ),
            energy_mj=EnergyMj(snn=self.snn_mj, ann=self.ann_mj),
            firing_rate=self._rate_sum / self.windows if self.windows else 0.0,
        )


def _sum_counts(*counts: dict[str, int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for count in counts:
        for reason, number in dict(count).items():
            if number:
                total[reason] = total.get(reason, 0) + number
    return total
