"""SECURITY.md and docs/service.md name what is there, and nothing else."""

import re
from pathlib import Path

import pytest

from spikewatch.service.errors import ClientDisconnected, InvalidSettings, ServiceError
from spikewatch.service.metrics.service import ERROR_CODES
from spikewatch.service.settings import Settings

ROOT = Path(__file__).parents[2]
SECURITY = (ROOT / "SECURITY.md").read_text()
SERVICE = (ROOT / "docs/service.md").read_text()
LIMITS = [
    name
    for name in Settings.model_fields
    if re.search("(^|_)(max|min)_|^inbox_|^outbox_", name) or name.endswith("_timeout_s")
]


@pytest.mark.parametrize("text", [SECURITY, SERVICE], ids=["SECURITY.md", "service.md"])
def test_every_limit_is_told(text: str) -> None:
    missing = [name for name in LIMITS if f"`{name}`" not in text]
    assert missing == ([] if text is SERVICE else ["max_batch"]), "max_batch bounds work, not clients"


def test_every_code_is_told() -> None:
    codes = {error.code: error.status for error in ServiceError.__subclasses__()}
    for unseen in (InvalidSettings, ClientDisconnected):
        codes.pop(unseen.code)
    told = " ".join(SERVICE.split())
    assert [f"`{code}` {status}" for code, status in codes.items() if f"`{code}` {status}" not in told] == []
    assert [code for code in re.findall(r"\d{3} `([a-z_]+)`", SECURITY) if code not in ERROR_CODES] == []


def test_the_table_names_settings_that_exist() -> None:
    table = SECURITY.split("| limit | setting |")[1].split("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`([a-z_]+)`", row.split("|")[2])}
    assert named - Settings.model_fields.keys() == set()
