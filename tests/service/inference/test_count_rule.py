"""The count rule of the weights applies to every path from events to windows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spikewatch.model.detector import Detector
from spikewatch.service.errors import InvalidSnapshot
from spikewatch.service.model_catalog import check_compatible, compute_fingerprint
from tests.model.support.fakes import small_detector
from tests.service.support.live import HEIGHT, WIDTH, live_service
from tests.service.support.many import listing, offline, whole


def by_rule(rule: str) -> Detector:
    """A detector with an input of 32x32 pixels, onto which the sensor of 90x60 is scaled down."""
    ordinary = small_detector()
    spec = replace(ordinary.spec, input_height=32, input_width=32, count_rule=rule)
    return Detector(ordinary.network, spec)


def test_service_equals_detect_and_differs_from_the_other_rule(tmp_path: Path) -> None:
    detector = by_rule("per_side")
    expected = offline(detector, 8, tmp_path)
    assert (WIDTH, HEIGHT, len(expected)) == (90, 60, 2)
    with live_service(detector) as live:
        assert whole(live, live.open(confidence=0.001), 8) == expected
        assert listing(live)["default"]["count_rule"] == "per_side"
    summed = offline(by_rule("sum"), 8, tmp_path)
    rates = np.array([[window["firing_rate"] for window in each] for each in (expected, summed)])
    assert (rates[0] != rates[1]).all()


def test_snapshot_without_count_rule_fits_summing_weights_only() -> None:
    earlier = compute_fingerprint(by_rule("sum"))
    del earlier["count_rule"]
    check_compatible(earlier, compute_fingerprint(by_rule("sum")), "service")
    with pytest.raises(
        InvalidSnapshot, match="the snapshot's count_rule is 'sum', this service's 'per_side'"
    ):
        check_compatible(earlier, compute_fingerprint(by_rule("per_side")), "service")
