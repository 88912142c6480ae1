"""docs/protocol.md names what there is, all of it and nothing else."""

import json
import re
from pathlib import Path

from spikewatch.service.schemas import Detection, SessionInfo, SessionRequest, Totals, Window

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()
SCHEMA = json.loads(PAGE.split("```json\n")[1].split("```")[0])["$defs"]
NOT_SENT = {"layer_rates", "layer_energy_mj"}
OF_LISTS = {"closes_in_s", "queued_slices", "idle_s"}


def test_the_table_has_the_fields_of_a_request() -> None:
    rows = re.findall(r"^   \| (`.*?) \|", PAGE, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(SessionRequest.model_fields)


def test_the_messages_have_the_fields_that_are_sent() -> None:
    for name, model, others in (
        ("ready", SessionInfo, NOT_SENT | OF_LISTS),
        ("window", Window, set()),
        ("detection", Detection, set()),
        ("totals", Totals, set()),
    ):
        described = set(SCHEMA[name]["properties"]) - {"type"}
        assert described == set(model.model_fields) - others, name
