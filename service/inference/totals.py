"""Sums over the results of one session or recording."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from spikewatch.model.energy.formulas import Energy
from spikewatch.service.inference.saved_types import (
    CheckedEnergy,
    Count,
    DropReason,
    FilterName,
    Operations,
    TimeUs,
)
from spikewatch.service.inference.sources import DropCounter
from spikewatch.service.inference.window_result import WindowResult
from spikewatch.service.schemas import EnergyMj, Totals


@dataclass(slots=True)
class TotalsAccumulator:
    """Sums that grow result by result, as snapshots hold them.

    One thread adds results and others read. So dictionaries are replaced, never changed.

    Attributes:
        rate_sum: sum of the results' firing rates, for their mean.
        layer_rates: of the last result.
        layer_energy: layer -> synaptic operations.
        t_start_us, t_end_us: span of all results, None before the first.
        carried_over_drops: reason -> events dropped by decoders that a reset has replaced. Set by the
            thread that feeds, unlike the rest.
        carried_over_filtered: filter -> events, likewise.
    """

    windows: Count = 0
    events: Count = 0
    detections: Count = 0
    snn_mj: Operations = 0.0
    ann_mj: Operations = 0.0
    rate_sum: Operations = 0.0
    layer_rates: dict[str, Operations] = field(default_factory=dict)
    layer_energy: dict[str, CheckedEnergy] = field(default_factory=dict)
    t_start_us: TimeUs | None = None
    t_end_us: TimeUs | None = None
    carried_over_drops: Annotated[dict[DropReason, Count], Field(alias="dropped")] = field(
        default_factory=dict
    )

    carried_over_discontinuities: Annotated[
        Count, Field(alias="discontinuities", exclude_if=lambda count: not count)
    ] = 0
    carried_over_filtered: Annotated[
        dict[FilterName, Count], Field(alias="filtered", exclude_if=lambda counts: not counts)
    ] = field(default_factory=dict)

    def add(self, result: WindowResult) -> None:
        """Add a result."""
        self.windows += 1
        self.events += result.events
        self.detections += len(result.detections)
        self.snn_mj += result.energy.snn_mj
        self.ann_mj += result.energy.ann_mj
        self.rate_sum += result.firing_rate
        self.layer_rates = result.layer_rates
        self.layer_energy = self.layer_energy | {
            name: self.layer_energy.get(name, Energy()) + energy
            for name, energy in result.layer_energy.items()
        }
        self.t_start_us = result.t_start_us if self.t_start_us is None else self.t_start_us
        self.t_end_us = result.t_end_us

    def carry_over_drops(self, source: DropCounter) -> None:
        """Add the drops and discontinuities of a source that a reset replaces."""
        self.carried_over_discontinuities += source.discontinuities
        self.carried_over_drops = _sum_counts(self.carried_over_drops, source.dropped)
        self.carried_over_filtered = _sum_counts(self.carried_over_filtered, source.filtered)

    def to_schema(
        self, source: DropCounter, dropped_slices: int = 0, dropped_events: int = 0, dropped_windows: int = 0
    ) -> Totals:
        """Return the totals as a message, with the given drop counts."""
        return Totals(
            windows=self.windows,
            events=self.events,
            detections=self.detections,
            dropped_windows=dropped_windows,
            dropped_slices=dropped_slices,
            dropped_events=_sum_counts(self.carried_over_drops, source.dropped, {"too_fast": dropped_events}),
            filtered_events=_sum_counts(self.carried_over_filtered, source.filtered),
            discontinuities=self.carried_over_discontinuities + source.discontinuities,
            warnings=source.warnings(),
            energy_mj=EnergyMj(snn=self.snn_mj, ann=self.ann_mj),
            firing_rate=self.rate_sum / self.windows if self.windows else 0.0,
        )


def _sum_counts(*counts: dict[str, int]) -> dict[str, int]:
    total: dict[str, int] = {}
    for count in counts:
        for reason, number in dict(count).items():
            if number:
                total[reason] = total.get(reason, 0) + number
    return total
