"""The lines of an upload's answer: kept until they are sent, and after that as long as there is room."""

from collections import deque

from spikewatch.service.errors import ResultsGone


class ResultLog:
    """One line for each window, numbered by its `seq`; those sent longest ago go first, those unsent never.

    Attributes:
        first: number of the oldest line that is kept.
        unsent_bytes: of lines that no client was given yet.
        nbytes: of all lines kept.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._lines: deque[bytes] = deque()
        self._sent = 0
        self.first = 0
        self.unsent_bytes = 0
        self.nbytes = 0

    @property
    def end(self) -> int:
        """Number of the next line."""
        return self.first + len(self._lines)

    @property
    def full(self) -> bool:
        """True while no more should be added, because nobody reads what is there."""
        return self.unsent_bytes > self._limit_bytes

    def add(self, line: bytes) -> None:
        """Append a line."""
        self._lines.append(line)
        self.nbytes += len(line)
        if self.end > self._sent:
            self.unsent_bytes += len(line)
        self._trim()

    def check(self, seq: int) -> None:
        """Refuse to begin at a line that has gone: ResultsGone."""
        if seq < self.first:
            raise ResultsGone(f"results before {self.first} are no longer kept", oldest_seq=self.first)

    def give(self, seq: int) -> bytes:
        """A line to be sent; ResultsGone if it is no longer there."""
        self.check(seq)
        line = self._lines[seq - self.first]
        self.pass_over(seq + 1)
        return line

    def pass_over(self, seq: int) -> None:
        """Count lines before `seq` as sent, also those to come: nobody waits for them."""
        for number in range(self._sent, min(seq, self.end)):
            self.unsent_bytes -= len(self._lines[number - self.first])
        self._sent = max(self._sent, seq)
        self._trim()

    def _trim(self) -> None:
        while self.nbytes > self._limit_bytes and self._lines and self.first < self._sent:
            self.nbytes -= len(self._lines.popleft())
            self.first += 1
