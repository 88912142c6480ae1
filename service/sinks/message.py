"""One result on its way to the sinks, and the protocol of a sink."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from spikewatch.service.schemas import Window


class SinkUnavailable(Exception):
    """The sink cannot be reached; the message says why."""


@dataclass(frozen=True)
class SinkMessage:
    """A result of a session. It is serialised on the thread of the first sink that needs it.

    Attributes:
        session: id of the session, or the name of the recording.
        make_window: returns the result as a message; called at most once a thread.
    """

    session: str
    make_window: Callable[[], Window]

    @cached_property
    def window(self) -> Window:
        """The result."""
        return self.make_window()

    @cached_property
    def content(self) -> dict[str, Any]:
        """The result as JSON, with its session first."""
        return {"session": self.session, **self.window.model_dump(mode="json")}


Send = Callable[[Sequence[SinkMessage]], Awaitable[None]]
"""Returns once the messages are with the sink."""


class Sink(Protocol):
    """A receiver of results. Methods run on the event loop of the sink's own thread."""

    def connect(self) -> AbstractAsyncContextManager[Send]:
        """Connect, and yield the function that sends messages. At the end, deliver what is left.

        Raises:
            SinkUnavailable: the sink cannot be reached, now or later in the block.
        """
