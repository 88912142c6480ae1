"""The sender of a request, and the current use of its key."""

import hashlib
import math
import uuid
from collections.abc import Iterable
from contextlib import AbstractContextManager

from spikewatch.service.auth.keys import ApiKey, KeyLimits
from spikewatch.service.auth.rate_limit import TokenBucket
from spikewatch.service.concurrency import Slots
from spikewatch.service.errors import RateLimited, TooManyKeySessions, TooManyKeyUploads


class Principal:
    """One key with its sessions and current use; without limits, every sender. Lives on the event loop.

    Ids of a key's sessions begin with a prefix made from the name of the key. So the owner is known for
    sessions that have ended, are saved, or come from an earlier process, and a key cannot name a session of
    another key.
    """

    def __init__(self, name: str, limits: KeyLimits | None) -> None:
        self.name = name
        self.id_prefix = "" if limits is None else hashlib.sha256(name.encode()).hexdigest()[:12] + "-"
        self.limits = limits
        self.key_digest = b""
        """SHA-256 of the key in the last request; the name can be given a new key."""
        self._uploads = Slots()
        self._bucket = None if limits is None else TokenBucket(limits.bytes_per_s)

    def new_id(self) -> str:
        """Return an id for a new session."""
        return self.id_prefix + uuid.uuid4().hex

    def qualify_id(self, session_id: str) -> str:
        """Return the full id of a session of this key, for an id with or without the prefix."""
        return session_id if self.owns(session_id) else self.id_prefix + session_id

    def owns(self, session_id: str) -> bool:
        """Return whether a full id is that of a session of this key."""
        return session_id.startswith(self.id_prefix)

    def check_session_limit(self, open_ids: Iterable[str]) -> None:
        """Check the limit before a session is opened; `open_ids` are the ids of all open sessions.

        Raises:
            TooManyKeySessions: this key has no session left.
        """
        if self.limits is not None and sum(map(self.owns, open_ids)) >= self.limits.sessions:
            raise TooManyKeySessions(
                f"key {self.name} may have {self.limits.sessions} sessions at once; end one, or retry later"
            )

    def update_key(self, key: ApiKey) -> None:
        """Take over the limits of the key as it is now. The current use still counts."""
        self.key_digest, self.limits = key.digest, key.limits
        if self._bucket is not None:
            self._bucket.rate = key.limits.bytes_per_s

    def upload_slot(self) -> AbstractContextManager[None]:
        """Return a block within which an upload of this key is counted.

        Raises:
            TooManyKeyUploads: too many concurrent uploads.
        """
        limit = None if self.limits is None else self.limits.uploads
        return self._uploads.hold(
            limit,
            TooManyKeyUploads(
                f"key {self.name} may have {limit} concurrent uploads; wait until one has ended"
            ),
        )

    def check_rate(self) -> None:
        """Check the rate before a request with a body.

        Raises:
            RateLimited: this key must wait first.
        """
        if self._bucket is not None and (wait_s := math.ceil(self._bucket.retry_after_s)) > 0:
            raise RateLimited(
                f"key {self.name} may send {self._bucket.rate} bytes a second; retry after {wait_s} s", wait_s
            )

    def consume_bytes(self, count: int) -> float:
        """Count received bytes, and return the seconds to wait before more are received."""
        return 0.0 if self._bucket is None else self._bucket.consume(count)
