"""A clock for services under test."""

from collections.abc import Callable

from tests.service.support.waiting import until


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds

    def advance_until(self, condition: Callable[[], bool], step_s: float = 5.0) -> None:
        """Move on in steps, each followed by a moment for the service, until a condition holds."""

        def step() -> bool:
            self.advance(step_s)
            return condition()

        until(step)
