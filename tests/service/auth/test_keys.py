"""Keys as text: made, kept, found, metered."""

import hashlib
import re

import pytest

from spikewatch.service.auth.keys import KeyLimits, find_key, make_key, parse_keys, require_keys
from spikewatch.service.auth.principal import Principal
from spikewatch.service.auth.rate_limit import TokenBucket
from spikewatch.service.errors import (
    BadRequest,
    InvalidSettings,
    RateLimited,
    TooManyKeySessions,
    TooManyKeyUploads,
)

LIMITS = KeyLimits(sessions=2, uploads=1, bytes_per_s=1000)


def test_key_is_found_by_its_text_and_not_in_its_line() -> None:
    (first, line), (second, other) = make_key("camera-1"), make_key("camera-2")
    keys = parse_keys(f"# cameras\n\n{line}  # left\n{other}\tsessions=7 bytes_per_s=5\n", "keys", LIMITS)
    assert first not in line
    assert len(first) == len("sw_") + 43
    assert keys[0].digest == hashlib.sha256(first.encode()).digest()
    found = [find_key(keys, text) for text in (first, second, first[:-1], "", "ü", line)]
    assert [key and key.name for key in found] == ["camera-1", "camera-2", None, None, None, None]
    assert keys[0].limits == LIMITS
    assert keys[1].limits == KeyLimits(7, 1, 5)
    assert make_key("camera-1")[0] != first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("camera", "line 1: expected NAME sha256:HEX"),
        ("camera secret-in-clear", "line 1: expected"),
        (f"a sha256:{'0' * 63}", "line 1: expected"),
        (f"a sha256:{'0' * 64} colour=3", "line 1: expected"),
        (f"a sha256:{'0' * 64} sessions=0", "limits begin at 1"),
        (f"a/b sha256:{'0' * 64}", "line 1: expected"),
        (f"a sha256:{'0' * 64}\nb sha256:{'0' * 64}", "line 2: name or key repeats"),
        (f"a sha256:{'0' * 64}\na sha256:{'1' * 64}", "line 2: name or key repeats"),
    ],
)
def test_error_for_invalid_line_has_its_number_only(text: str, message: str) -> None:
    with pytest.raises(InvalidSettings, match=message) as told:
        parse_keys(text, "keys", LIMITS)
    assert "secret-in-clear" not in str(told.value)
    assert "0000" not in str(told.value)


def test_key_file_without_keys_is_rejected() -> None:
    keys = parse_keys("\n# only words\n", "keys", LIMITS)
    assert keys == []
    with pytest.raises(InvalidSettings, match="keys holds no key"):
        require_keys(keys, "keys")


def test_invalid_key_name_is_rejected() -> None:
    for name in ("", "a b", "a\n", "x" * 65, "ü"):
        with pytest.raises(BadRequest, match="no name for a key"):
            make_key(name)


def test_token_bucket_allows_its_rate() -> None:
    now = [0.0]
    bucket = TokenBucket(1000, lambda: now[0])
    assert bucket.consume(500) == 0.5, "nothing was saved up yet"
    now[0] = 10.0
    assert bucket.consume(1000) == 0, "one second's worth at once"
    assert bucket.consume(2000) == 2.0
    now[0] = 11.5
    assert bucket.retry_after_s == 0.5
    total = 0.0
    for _ in range(100):
        now[0] += bucket.consume(700)
        total += 700
    assert total / (now[0] - 11.5) == pytest.approx(1000, rel=0.02)


def test_client_limits_sessions_uploads_and_rate() -> None:
    caller, other = Principal("a", LIMITS), Principal("b", LIMITS)
    running = {caller.new_id(): None, other.new_id(): None, other.new_id(): None}
    caller.check_session_limit(running)
    running[caller.new_id()] = None
    with pytest.raises(TooManyKeySessions, match="may have 2 sessions"):
        caller.check_session_limit(running)
    with caller.upload_slot(), pytest.raises(TooManyKeyUploads), caller.upload_slot():
        pass
    with caller.upload_slot():
        pass
    caller.consume_bytes(5000)
    with pytest.raises(RateLimited) as told:
        caller.check_rate()
    assert told.value.retry_after_s in (4, 5)


def test_client_cannot_name_sessions_of_other_keys() -> None:
    caller, other, again = (Principal(name, LIMITS) for name in ("a", "a.b", "a"))
    session_id = caller.new_id()
    assert caller.owns(session_id)
    assert again.owns(session_id), "whoever has the key later, in another process"
    assert not other.owns(session_id)
    assert (
        caller.qualify_id(session_id)
        == caller.qualify_id(session_id.removeprefix(caller.id_prefix))
        == session_id
    )
    assert other.qualify_id(session_id) == other.id_prefix + session_id
    assert re.fullmatch(r"[a-z0-9-]{45}", session_id)


def test_anonymous_client_has_no_limits() -> None:
    anyone = Principal("anyone", None)
    assert anyone.qualify_id("x") == "x"
    assert re.fullmatch(r"[a-z0-9]{32}", anyone.new_id())
    anyone.check_session_limit([str(i) for i in range(99)])
    assert anyone.consume_bytes(1 << 40) == 0
    anyone.check_rate()
    with anyone.upload_slot(), anyone.upload_slot():
        pass
