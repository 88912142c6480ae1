"""State of the event filters in a snapshot: counts and times of pixels as tensors `filter.<name>`."""

from typing import cast

import torch
from torch import Tensor

from spikewatch.ingest.filters.event_filter import EventFilter
from spikewatch.service.snapshots.schema import SavedFilter

PREFIX = "filter."


def save_filter(event_filter: EventFilter | None) -> tuple[SavedFilter | None, dict[str, Tensor]]:
    """Return the state of the filters of a stream, None without any."""
    if event_filter is None:
        return None, {}
    values, arrays = event_filter.save()
    return cast(SavedFilter, values), {PREFIX + k: torch.from_numpy(v) for k, v in arrays.items()}


def load_filter(
    event_filter: EventFilter | None, saved: SavedFilter | None, tensors: dict[str, Tensor]
) -> None:
    """Restore the result of `save_filter`. Raises ValueError or KeyError if it is of other filters."""
    arrays = {k.removeprefix(PREFIX): t.numpy() for k, t in tensors.items() if k.startswith(PREFIX)}
    if event_filter is not None and saved is not None:
        event_filter.load(saved, arrays)
    elif event_filter is not None or saved is not None or arrays:
        raise ValueError(
            f"the snapshot has filters {saved} with {len(arrays)} arrays; expected those of its options"
        )
