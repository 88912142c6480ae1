"""API keys: 256 random bits each, of which the service keeps only the SHA-256.

A slow hash such as scrypt protects words that people choose. Nobody can guess 256 random bits, however fast
the hash, while a slow one would let strangers with wrong keys spend the service's time.
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
    """What one key may use at the same time.

    Attributes:
        sessions: open ones, those of uploads among them.
        uploads: recordings on their way.
        bytes_per_s: sent to the service, in bodies and messages.
    """

    sessions: int
    uploads: int
    bytes_per_s: int


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: its name, for the log, and the SHA-256 of its text."""

    name: str
    digest: bytes
    limits: KeyLimits


def make_key(name: str) -> tuple[str, str]:
    """A new key, and the line for the service's file, from which the key cannot be found.

    Raises:
        BadRequest: the name has other characters than letters, digits, dot, dash and underscore.
    """
    if not _NAME_PATTERN.fullmatch(name):
        raise BadRequest(
            f"{name!r:.80} is no name for a key; use 1-64 letters, digits, dots, dashes, underscores"
        )
    key = "sw_" + secrets.token_urlsafe(_KEY_BYTES)
    return key, f"{name} sha256:{_digest(key).hex()}"


def parse_keys(text: str, source: str, limits: KeyLimits) -> list[ApiKey]:
    """The keys of a file: one a line, empty lines and comments (#) aside; `limits` unless the line says else.

    Raises:
        InvalidSettings: names the line, and not what stands there.
    """
    keys: dict[str, ApiKey] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = " ".join(line.partition("#")[0].split())
        if not stripped:
            continue
        key = _parse_line(stripped, f"{source}, line {number}", limits)
        if key.name in keys or any(key.digest == other.digest for other in keys.values()):
            raise InvalidSettings(f"{source}, line {number}: this name or key stands further up already")
        keys[key.name] = key
    return list(keys.values())


def require_keys(keys: list[ApiKey], source: str) -> list[ApiKey]:
    """The keys again.

    Raises:
        InvalidSettings: there is none.
    """
    if not keys:
        raise InvalidSettings(
            f"{source} holds no key, so that nobody could come in; make one with `spikewatch key`"
        )
    return keys


def _parse_line(line: str, where: str, limits: KeyLimits) -> ApiKey:
    match = _LINE_PATTERN.fullmatch(line)
    if match is None or not _NAME_PATTERN.fullmatch(match["name"]):
        raise InvalidSettings(f"{where}: {_LINE_FORMAT}")
    own = {name: int(value) for name, value in (part.split("=") for part in match["limits"].split())}
    try:
        limits = replace(limits, **own)
    except TypeError:
        raise InvalidSettings(f"{where}: {_LINE_FORMAT}") from None
    if min(limits.sessions, limits.uploads, limits.bytes_per_s) < 1:
        raise InvalidSettings(f"{where}: limits begin at 1; take the line out to lock a key out")
    return ApiKey(match["name"], bytes.fromhex(match["digest"]), limits)


def read_key_file(path: Path) -> str:
    """The text of a file of keys.

    Raises:
        InvalidSettings: it cannot be read.
    """
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"the file of API keys cannot be read: {error}") from error


def find_key(keys: Iterable[ApiKey], presented: str) -> ApiKey | None:
    """The key whose text is `presented`; takes as long whether there is one or not."""
    digest, found = _digest(presented), None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
