"""docs/operations.md names every alert with its severity, and limits that exist."""

import re
from pathlib import Path

import yaml

from spikewatch.service.settings import Settings

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/operations.md").read_text()


def test_every_alert_is_in_the_table() -> None:
    rules = yaml.safe_load((ROOT / "docker/prometheus/rules.yml").read_text())
    alerts = {
        rule["alert"]: rule["labels"]["severity"]
        for group in rules["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
    assert dict(re.findall(r"\| `(Spikewatch\w+)` \| (\w+) \|", TEXT)) == alerts


def test_settings_exist() -> None:
    names = {name.lower() for name in re.findall(r"SPIKEWATCH_([A-Z_]+)", TEXT)}
    assert names <= set(Settings.model_fields)
    assert names >= {"snapshot_dir", "state_dtype", "api_keys_file"}
