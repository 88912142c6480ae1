"""Commands as the console script runs them."""

from dataclasses import dataclass

import pytest

from service.cli import main


@dataclass
class Done:
    status: int
    out: str
    err: str


def run_command(capsys: pytest.CaptureFixture[str], *arguments: object) -> Done:
    status: object = 0
    try:
        main([str(a) for a in arguments])
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    return Done(int(str(status or 0)), captured.out, captured.err)
