"""Sums of a session, which one thread fills while others look."""

from dataclasses import dataclass

import numpy as np

from spikewatch.model.detections import Detections
from spikewatch.model.energy.formulas import Energy
from spikewatch.service.inference.totals import TotalsAccumulator
from spikewatch.service.inference.window import WindowResult


def result(*layers: str) -> WindowResult:
    energy = dict.fromkeys(layers, Energy(1.0, 2.0))
    nothing = Detections(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int64), 1)
    return WindowResult(0, 0, 1, 5, nothing, dict.fromkeys(layers, 0.5), 0.5, Energy(), energy, 0.0)


def test_energies_can_be_looked_at_while_results_come() -> None:
    """As by `GET /v1/sessions/ID` in the moment of the first result."""
    totals = TotalsAccumulator()
    totals.add(result("a"))
    looking = iter(totals.layer_energy.items())
    totals.add(result("a", "b"))
    assert dict(looking) == {"a": Energy(1.0, 2.0)}
    assert totals.layer_energy == {"a": Energy(2.0, 4.0), "b": Energy(1.0, 2.0)}


def test_what_was_dropped_can_be_looked_at_while_more_is() -> None:
    class Growing(dict[str, int]):
        """A decoder's, in whose thread a reason comes up while it is looked at."""

        def items(self):  # type: ignore[no-untyped-def]
            for entry in super().items():
                self["outside_sensor"] = 1
                yield entry

    @dataclass
    class Source:
        dropped: dict[str, int]

    source = Source(Growing(truncated_record=1, reserved_word=0))
    assert TotalsAccumulator().to_schema(source).dropped_events == {"truncated_record": 1}  # type: ignore[arg-type]
