"""What a key may use at once, and how fast."""

from websockets.sync.client import connect

from tests.service.support.http_client import opened, problem
from tests.service.support.keyring import ALICE, ALICE_LINE, BOB, BOB_LINE, SLOW, SLOW_LINE, with_key
from tests.service.support.live import dat_file, dat_stream, talk
from tests.service.support.shared import SharedServices


def test_throttled_client_is_not_idle(services: SharedServices) -> None:
    """A message may cost its key more time than silence may last."""
    line = f"{SLOW_LINE} bytes_per_s=10000"
    live = services(api_keys=line, idle_timeout_s=1.8, idle_warning_s=0.4)
    with with_key(live, SLOW) as slow:
        address = f"{live.ws_url}/v1/sessions/{opened(slow)}/stream"
        with connect(address, additional_headers={"X-API-Key": SLOW}) as socket:
            socket.send(dat_stream(10))
            socket.send("close")
            *others, closed = talk(socket)
    assert (closed["reason"], closed["totals"]["events"]) == ("client", 10 * 300)
    assert "idle_warning" not in [message["type"] for message in others]


def test_concurrent_uploads_are_limited(services: SharedServices) -> None:
    lines = f"{ALICE_LINE} uploads=1\n{BOB_LINE}"
    live = services(api_keys=lines, max_uploads=2)
    with with_key(live, ALICE) as alice, with_key(live, BOB) as bob:
        access = live.authenticator
        with access.upload_slot(access.authenticate(ALICE, "")):
            assert problem(alice.post("/v1/detections", content=dat_file(1))) == (429, "key_uploads")
            with access.upload_slot(access.authenticate(BOB, "")):
                assert problem(bob.post("/v1/detections", content=dat_file(1))) == (503, "uploads_full")
            assert bob.post("/v1/detections", content=dat_file(1)).status_code == 200
