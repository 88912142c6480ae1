"""Counts of concurrent uses, each with a limit."""

from collections.abc import Iterator
from contextlib import contextmanager

from spikewatch.service.errors import ServiceError


class Slots:
    """Number of concurrent uses of something. Lives on the event loop."""

    def __init__(self) -> None:
        self.used = 0

    @contextmanager
    def hold(self, limit: int | None, full: ServiceError) -> Iterator[None]:
        """Hold a slot while the block runs; raise `full` if all are taken. None: no limit."""
        if limit is not None and self.used >= limit:
            raise full
        self.used += 1
        try:
            yield
        finally:
            self.used -= 1
