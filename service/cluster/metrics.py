"""Prometheus metrics of one worker in a cluster, beside those of its service."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

MOVE_BUCKETS_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class ClusterMetrics:
    """Metrics of leases, moves and heartbeats."""

    def __init__(self, registry: CollectorRegistry, count_leases: Callable[[], int]) -> None:
        leases = Gauge("spikewatch_cluster_leases", "Leases that this worker holds", registry=registry)
        leases.set_function(count_leases)
        self.opened = Counter(
            "spikewatch_cluster_opened",
            "Sessions opened here for another worker, moved here, or adopted from a lost worker",
            registry=registry,
        )
        self.fenced = Counter(
            "spikewatch_cluster_fenced_writes",
            "Snapshots rejected because another worker has the session",
            registry=registry,
        )
        self.missed_beats = Counter(
            "spikewatch_cluster_missed_heartbeats",
            "Heartbeats that the directory did not accept",
            registry=registry,
        )
        self.move_s = Histogram(
            "spikewatch_cluster_move_seconds",
            "Time for which a session took no bytes while it moved from here",
            buckets=MOVE_BUCKETS_S,
            registry=registry,
        )
