"""Deliveries that a webhook has not accepted yet, in SQLite: they survive an outage and a restart."""

import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path

SCHEMA = """
CREATE TABLE IF NOT EXISTS delivery (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, results INTEGER NOT NULL, body BLOB NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A request body and the id that all its attempts share.

    Attributes:
        results: number of results in the body.
    """

    number: int
    id: str
    results: int
    body: bytes


class Spool:
    """A queue of deliveries of at most `max_bytes`. Used on one thread.

    Raises:
        sqlite3.Error: the file cannot be used, or belongs to another process.
    """

    def __init__(self, path: Path | None, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._database = sqlite3.connect(":memory:" if path is None else path, timeout=0)
        self._database.execute("PRAGMA locking_mode = EXCLUSIVE")
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")
        with self._database:
            self._database.execute(SCHEMA)
        (self.size,) = self._database.execute(
            "SELECT COALESCE(SUM(LENGTH(body)), 0) FROM delivery"
        ).fetchone()

    def append(self, body: bytes, results: int) -> int:
        """Add a delivery; return the number of results dropped from the oldest ones to make room."""
        dropped = 0
        with self._database:
            while self.size and self.size + len(body) > self._max_bytes and (oldest := self.oldest()):
                self._delete(oldest)
                dropped += oldest.results
            self._database.execute(
                "INSERT INTO delivery (id, results, body) VALUES (?, ?, ?)",
                (f"msg_{uuid.uuid4().hex}", results, body),
            )
        self.size += len(body)
        return dropped

    def fits(self, body: bytes) -> bool:
        """Return whether a body can be added without dropping others."""
        return not self.size or self.size + len(body) <= self._max_bytes

    def oldest(self) -> Delivery | None:
        """Return the oldest delivery, None if there is none."""
        row = self._database.execute(
            "SELECT number, id, results, body FROM delivery ORDER BY number LIMIT 1"
        ).fetchone()
        return None if row is None else Delivery(*row)

    def remove(self, delivery: Delivery) -> None:
        """Remove a delivery, unless it has been dropped meanwhile."""
        with self._database:
            self._delete(delivery)

    def results(self) -> int:
        """Return the number of results in all deliveries."""
        (results,) = self._database.execute("SELECT COALESCE(SUM(results), 0) FROM delivery").fetchone()
        return int(results)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _delete(self, delivery: Delivery) -> None:
        if self._database.execute("DELETE FROM delivery WHERE number = ?", (delivery.number,)).rowcount:
            self.size -= len(delivery.body)
