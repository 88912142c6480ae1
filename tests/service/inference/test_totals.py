"""Sums of a session, which one thread fills while others look."""

from dataclasses import dataclass, field

import numpy as np

from spikewatch.ingest.events import drop_warnings
from spikewatch.model.energy.formulas import Energy
from spikewatch.service.inference.totals import TotalsAccumulator
from spikewatch.service.inference.window_result import WindowResult


def result(*layers: str) -> WindowResult:
    energy = dict.fromkeys(layers, Energy(1.0, 2.0))
    return WindowResult(
        seq=0,
        t_start_us=0,
        t_end_us=1,
        events=5,
        xywh=np.empty((0, 4), np.float32),
        confidence=np.empty(0, np.float32),
        class_id=np.empty(0, np.int64),
        firing_rate=0.5,
        energy=Energy(),
        latency_s=0.0,
        track_ids=None,
        layer_rates=dict.fromkeys(layers, 0.5),
        layer_energy=energy,
    )


def test_layer_energy_can_be_read_while_results_are_added() -> None:
    """As by `GET /v1/sessions/ID` in the moment of the first result."""
    totals = TotalsAccumulator()
    totals.add(result("a"))
    looking = iter(totals.layer_energy.items())
    totals.add(result("a", "b"))
    assert dict(looking) == {"a": Energy(1.0, 2.0)}
    assert totals.layer_energy == {"a": Energy(2.0, 4.0), "b": Energy(1.0, 2.0)}


def test_drop_counts_can_be_read_while_they_grow() -> None:
    class Growing(dict[str, int]):
        """A decoder's, in whose thread a reason comes up while it is looked at."""

        def items(self):  # type: ignore[no-untyped-def]
            for entry in super().items():
                self["outside_sensor"] = 1
                yield entry

    @dataclass
    class Source:
        dropped: dict[str, int]
        filtered: dict[str, int] = field(default_factory=lambda: {"region": 4})
        discontinuities: int = 2

        def warnings(self) -> list[str]:
            return drop_warnings(0, self.dropped)

    source = Source(Growing(truncated_record=1, reserved_word=3))
    totals = TotalsAccumulator(
        carried_over_discontinuities=1, carried_over_filtered={"region": 1, "refractory": 2}
    ).to_schema(source)  # type: ignore[arg-type]
    assert totals.dropped_events == {"truncated_record": 1, "reserved_word": 3}
    assert totals.filtered_events == {"region": 5, "refractory": 2}
    assert totals.discontinuities == 3
    (warning,) = totals.warnings
    assert "(1 truncated_record, 3 reserved_word; 0 events are left)" in warning
