"""What the scheduler sees of sessions and slices."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

from spikewatch.service.inference.input_slice import InputSlice
from spikewatch.service.sessions.inbox import Inbox


def slice_at(t0_us: int, n_events: int = 1) -> InputSlice:
    return InputSlice(t0_us, t0_us + 1, n_events, False, np.zeros(1, np.float32), 0.0)


@dataclass(eq=False)
class FakeSession:
    """What the scheduler sees of a session."""

    name: str
    inbox: Inbox
    full: bool = False
    options: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(slice_us=50_000))

    @property
    def ready(self) -> bool:
        return not self.inbox.empty and not self.full


def names(work: list) -> str:
    return "".join(entry.session.name for entry in work)
