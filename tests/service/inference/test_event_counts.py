"""Counts of events, packed for pictures."""

import numpy as np

from spikewatch.service.inference.event_counts import pack_counts


def test_counts_of_both_polarities_are_packed_up_to_fifteen() -> None:
    frame = np.array([[[0, 3, 15, 4000]], [[1, 0, 16, 2]]], np.uint16)
    assert pack_counts(frame).tolist() == [[0x10, 0x03, 0xFF, 0x2F]]


def test_latest_polarities_are_one_event_each() -> None:
    assert pack_counts(np.array([[[127, 0, 255]]], np.uint8)).tolist() == [[0x00, 0x01, 0x10]]
