"""Commands as the console script runs them."""

import logging
from dataclasses import dataclass

import pytest

from spikewatch.service.cli.main import main


@dataclass
class Done:
    status: int
    out: str
    err: str


def run_command(capsys: pytest.CaptureFixture[str], *arguments: object) -> Done:
    status: object = 0
    root = logging.getLogger()
    before = list(root.handlers), root.level
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        status = stop.code
    finally:  # `serve` logs to a standard error that is captured, and gone after the test
        root.handlers[:], root.level = before
    captured = capsys.readouterr()
    return Done(int(str(status or 0)), captured.out, captured.err)
