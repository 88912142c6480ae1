"""Who sends a request, and what that key uses at this moment."""

import hashlib
import math
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from spikewatch.service.auth.keys import ApiKey, KeyLimits
from spikewatch.service.auth.rate_limit import TokenBucket
from spikewatch.service.errors import RateLimited, TooManyKeySessions, TooManyKeyUploads


class Client:
    """One key: its sessions and what it uses; or, without limits, anyone. Lives on the event loop.

    Ids of a key's sessions begin with a prefix of its own, made from its name. So what belongs to whom is
    known of sessions that have ended, are saved, or come from a process before this one; and a key cannot
    even name the sessions of another.
    """

    def __init__(self, name: str, limits: KeyLimits | None) -> None:
        self.name = name
        self.id_prefix = "" if limits is None else hashlib.sha256(name.encode()).hexdigest()[:12] + "-"
        self.limits = limits
        self.key_digest = b""
        """Of the key that it came with last; a name may get another."""
        self._active_uploads = 0
        self._bucket = None if limits is None else TokenBucket(limits.bytes_per_s)

    def new_id(self) -> str:
        """An id for a new session."""
        return self.id_prefix + uuid.uuid4().hex

    def qualify_id(self, session_id: str) -> str:
        """The whole id of a session of this key, which may be given with or without the prefix."""
        return session_id if self.owns(session_id) else self.id_prefix + session_id

    def owns(self, session_id: str) -> bool:
        """True for whole ids of this key's sessions."""
        return session_id.startswith(self.id_prefix)

    def check_session_limit(self, open_ids: Iterable[str]) -> None:
        """Before a session is opened; `open_ids` are the ids of all that are open.

        Raises:
            TooManyKeySessions: this key has as many as it may.
        """
        if self.limits is not None and sum(map(self.owns, open_ids)) >= self.limits.sessions:
            raise TooManyKeySessions(
                f"this key may have {self.limits.sessions} sessions at once; end one, or wait"
            )

    def update_key(self, key: ApiKey) -> None:
        """Take the limits of the key as it is now; what is used at this moment goes on counting."""
        self.key_digest, self.limits = key.digest, key.limits
        if self._bucket is not None:
            self._bucket.rate = key.limits.bytes_per_s

    @contextmanager
    def upload_slot(self) -> Iterator[None]:
        """While a recording is on its way.

        Raises:
            TooManyKeyUploads: as many are as may be.
        """
        if self.limits is not None and self._active_uploads >= self.limits.uploads:
            raise TooManyKeyUploads(
                f"this key may send {self.limits.uploads} recordings at once; wait for one to end"
            )
        self._active_uploads += 1
        try:
            yield
        finally:
            self._active_uploads -= 1

    def check_rate(self) -> None:
        """Before a request with a body.

        Raises:
            RateLimited: this key must wait first.
        """
        if self._bucket is not None and (behind_s := self._bucket.retry_after_s) > 0:
            raise RateLimited(f"this key may send {self._bucket.rate} bytes a second", math.ceil(behind_s))

    def consume_bytes(self, count: int) -> float:
        """Count bytes that came; the seconds for which no more should be taken."""
        return 0.0 if self._bucket is None else self._bucket.consume(count)
