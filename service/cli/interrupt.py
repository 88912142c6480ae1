"""Ctrl-C that asks a command to come to an end; a second one breaks it off."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """A command was ended by hand, and has tidied up; the message says what is left. Exit status 130."""


@contextmanager
def on_interrupt(callback: Callable[[], None]) -> Iterator[None]:
    """Within the block, the first SIGINT calls `callback` on the main thread; the next raises
    KeyboardInterrupt.

    Elsewhere than on the main thread, where Python takes no signals, nothing is changed.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        callback()

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
