"""API keys of 256 random bits; the service keeps only their SHA-256.

A slow hash such as scrypt protects passwords that people choose. 256 random bits cannot be guessed with a
fast hash either, and a slow hash would let senders of invalid keys use up the service's CPU time.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from spikewatch.service.errors import BadRequest, InvalidSettings

_KEY_BYTES = 32
_NAME_PATTERN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LINE_PATTERN = re.compile(
    r"(?P<name>\S+) sha256:(?P<digest>[0-9a-f]{64})(?P<limits>( [a-z_]+=[0-9]{1,15})*)"
)
_LINE_FORMAT = (
    "expected NAME sha256:HEX [sessions=N] [uploads=N] [bytes_per_s=N], as `spikewatch key` prints it"
)


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """Limits of one key.

    Attributes:
        sessions: open sessions, including those of uploads.
        uploads: concurrent uploads.
        bytes_per_s: bytes sent to the service, in bodies and messages.
    """

    sessions: int
    uploads: int
    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key: its name, and the SHA-256 of its text."""

    name: str
    digest: bytes
    limits: KeyLimits


def make_key(name: str) -> tuple[str, str]:
    """Return a new key, and its line for the key file. The line does not reveal the key.

    Raises:
        BadRequest: the name is not 1-64 letters, digits, dots, dashes and underscores.
    """
    if not _NAME_PATTERN.fullmatch(name):
        raise BadRequest(
            f"{name!r:.80} is no name for a key; use 1-64 letters, digits, dots, dashes, underscores"
        )
    key = "sw_" + secrets.token_urlsafe(_KEY_BYTES)
    return key, f"{name} sha256:{_digest(key).hex()}"


def parse_keys(text: str, source: str, limits: KeyLimits) -> list[ApiKey]:
    """Return the keys of a text with one key a line. Empty lines and comments (#) are skipped.

    `limits` apply to keys whose line sets no others.

    Raises:
        InvalidSettings: a line is invalid; the error names its number only, because the line may hold a key.
    """
    keys: dict[str, ApiKey] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = " ".join(line.partition("#")[0].split())
        if not stripped:
            continue
        key = _parse_line(stripped, f"{source}, line {number}", limits)
        if key.name in keys or any(key.digest == other.digest for other in keys.values()):
            raise InvalidSettings(
                f"{source}, line {number}: name or key repeats an earlier line; remove one of the two"
            )
        keys[key.name] = key
    return list(keys.values())


def require_keys(keys: list[ApiKey], source: str) -> list[ApiKey]:
    """Return `keys`.

    Raises:
        InvalidSettings: `keys` is empty.
    """
    if not keys:
        raise InvalidSettings(
            f"{source} holds no key, so that all requests would be rejected; make one with `spikewatch key`"
        )
    return keys


def _parse_line(line: str, where: str, limits: KeyLimits) -> ApiKey:
    match = _LINE_PATTERN.fullmatch(line)
    if match is None or not _NAME_PATTERN.fullmatch(match["name"]):
        raise InvalidSettings(f"{where}: {_LINE_FORMAT}")
    own_limits = {name: int(value) for name, value in (part.split("=") for part in match["limits"].split())}
    try:
        limits = replace(limits, **own_limits)
    except TypeError:
        raise InvalidSettings(f"{where}: {_LINE_FORMAT}") from None
    if min(limits.sessions, limits.uploads, limits.bytes_per_s) < 1:
        raise InvalidSettings(f"{where}: limits begin at 1; remove the line to lock a key out")
    return ApiKey(match["name"], bytes.fromhex(match["digest"]), limits)


def read_key_file(path: Path) -> str:
    """Return the text of a key file.

    Raises:
        InvalidSettings: the file cannot be read.
    """
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"cannot read the file of API keys: {error}") from error


def find_key(keys: Iterable[ApiKey], presented: str) -> ApiKey | None:
    """Return the key whose text is `presented`, or None, in the same time."""
    digest, found = _digest(presented), None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
