import numpy as np

from spikewatch.ingest.slicing.representations import make_representation
from spikewatch.ingest.slicing.slicer import TimeSlicer
from tests.ingest.support.cases import as_array


def frame(events, name):
    slicer = TimeSlicer(100, 4, 3, name)
    list(slicer.push(as_array(events)))
    return slicer.flush().frame


def test_polarity_counts():
    counts = frame([(0, 1, 2, 1), (1, 1, 2, 1), (2, 3, 0, 0)], "polarity_counts")
    assert counts.dtype == np.uint16
    assert counts.shape == (2, 3, 4)
    assert (counts[1, 2, 1], counts[0, 0, 3], counts.sum()) == (2, 1, 3)


def test_polarity_counts_saturate():
    counts = frame([(0, 0, 0, 1)] * 70_000, "polarity_counts")
    assert counts[1, 0, 0] == counts.sum() == 65_535


def test_latest_polarity_keeps_last_event_in_stream_order():
    latest = frame([(5, 0, 0, 1), (6, 0, 0, 0), (9, 1, 0, 0), (7, 1, 0, 1)], "latest_polarity")
    assert latest.dtype == np.uint8
    assert latest.shape == (1, 3, 4)
    assert latest[0, 0].tolist() == [0, 255, 127, 127]


def test_blank_frame_has_value_of_representation():
    assert (make_representation("latest_polarity").blank_frame(4, 3) == 127).all()
    assert (make_representation("polarity_counts").blank_frame(4, 3) == 0).all()
