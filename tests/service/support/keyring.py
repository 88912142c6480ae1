"""Keys that tests use a service with."""

import httpx

from spikewatch.service.auth.keys import make_key
from tests.service.support.live import ANSWER_S, Live

ALICE, ALICE_LINE = make_key("alice")
BOB, BOB_LINE = make_key("bob")
SLOW, SLOW_LINE = make_key("slow")
DEBTOR, DEBTOR_LINE = make_key("debtor")


def with_key(live: Live, key: str) -> httpx.Client:
    return httpx.Client(base_url=live.url, headers={"Authorization": f"Bearer {key}"}, timeout=ANSWER_S)
