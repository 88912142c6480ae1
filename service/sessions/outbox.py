"""What a client that ended its session may ask for again, since the answer may be lost on the way."""

from collections.abc import Callable
from dataclasses import dataclass

from spikewatch.service.inference.window import WindowResult
from spikewatch.service.schemas import Totals, Window
from spikewatch.service.sessions.queues import Results


@dataclass(frozen=True, slots=True)
class Farewell:
    """The last results of a session.

    Attributes:
        results: as its outbox held them when it ended.
        totals: of the session.
        show: a result as it is sent.
    """

    results: Results
    totals: Totals
    show: Callable[[WindowResult], Window]

    def since(self, seq: int | None) -> list[Window]:
        """Results from `seq` on; None: those that the client had not been sent before the end.

        Raises:
            ResultsGone: some of them are no longer kept.
        """
        if seq is None:
            return list(map(self.show, self.results.unread))
        self.results.check_kept(seq)
        kept = self.results.read + self.results.unread
        return [self.show(result) for result in kept if result.seq >= seq]
