"""The JSON part of snapshots: those of earlier releases are read, incomplete and extended ones rejected."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spikewatch.service.snapshots.schema import SessionSnapshot

SAVED = (Path(__file__).parent / "assets" / "session-2.json").read_text()
"""Of a tracked EVT3 session, saved before snapshots had a declared schema; with 3 of its layers."""

FREE_KEYS = ("identity", "carried", "spikes", "layer_rates", "layer_energy", "dropped", "options")
"""Dictionaries without a fixed set of keys here; `validation.py` and the decoder check some of them."""


def dictionaries(value: Any, key: str = "") -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if key not in FREE_KEYS:
            yield value
        for name, item in value.items():
            yield from dictionaries(item, name) if name != "identity" else ()
    elif isinstance(value, list):
        for item in value[:1]:
            yield from dictionaries(item)


def variants(how: str) -> Iterator[str]:
    """The snapshot with one key removed or added, for each place in it."""
    snapshot = json.loads(SAVED)
    for place in dictionaries(snapshot):
        for key in list(place) if how == "removed" else ["another"]:
            before = dict(place)
            if how == "removed":
                del place[key]
            else:
                place[key] = 0
            yield json.dumps(snapshot)
            place.clear()
            place.update(before)


def test_snapshot_of_earlier_release_is_read_and_written_alike() -> None:
    snapshot = SessionSnapshot.from_json(SAVED)
    assert json.loads(snapshot.to_json()) == json.loads(SAVED)
    assert snapshot.window.tracks is not None
    assert len(snapshot.window.tracks.known) > 0


@pytest.mark.parametrize("how", ["removed", "added"])
def test_snapshot_with_key_removed_or_added_is_rejected(how: str) -> None:
    tried = 0
    for text in variants(how):
        with pytest.raises(ValueError, match=r"missing|required|not permitted|Unexpected"):
            SessionSnapshot.from_json(text)
        tried += 1
    assert tried > 15
