"""The lines of an upload's answer: kept until they are sent, and after that as long as there is room."""

from collections import deque

from spikewatch.service.errors import ResultsExpired


class ResultLog:
    """One line for each window, numbered by its `seq`; those sent longest ago go first, those unsent never.

    Attributes:
        first_seq: number of the oldest line that is kept.
        undelivered_bytes: of lines that no client was given yet.
        nbytes: of all lines kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._lines: deque[bytes] = deque()
        self._delivered_seq = 0
        self.first_seq = 0
        self.undelivered_bytes = 0
        self.nbytes = 0

    @property
    def next_seq(self) -> int:
        """Number of the next line."""
        return self.first_seq + len(self._lines)

    @property
    def full(self) -> bool:
        """True while no more should be added, because nobody reads what is there."""
        return self.undelivered_bytes > self._limit_bytes

    def add(self, line: bytes) -> None:
        """Append a line."""
        self._lines.append(line)
        self.nbytes += len(line)
        if self.next_seq > self._delivered_seq:
            self.undelivered_bytes += len(line)
        self._trim()

    def check_available(self, seq: int) -> None:
        """Refuse to begin at a line that has gone: ResultsExpired."""
        if seq < self.first_seq:
            raise ResultsExpired(
                f"results before {self.first_seq} are no longer kept", oldest_seq=self.first_seq
            )

    def read(self, seq: int) -> bytes:
        """A line to be sent; ResultsExpired if it is no longer there."""
        self.check_available(seq)
        line = self._lines[seq - self.first_seq]
        self.mark_delivered(seq + 1)
        return line

    def mark_delivered(self, seq: int) -> None:
        """Count lines before `seq` as sent, also those to come: nobody waits for them."""
        for number in range(self._delivered_seq, min(seq, self.next_seq)):
            self.undelivered_bytes -= len(self._lines[number - self.first_seq])
        self._delivered_seq = max(self._delivered_seq, seq)
        self._trim()

    def _trim(self) -> None:
        while self.nbytes > self._limit_bytes and self._lines and self.first_seq < self._delivered_seq:
            self.nbytes -= len(self._lines.popleft())
            self.first_seq += 1
