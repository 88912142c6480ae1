"""Prometheus metrics of the service: base units, bounded labels, never a session id."""

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from spikewatch.ingest.errors import IngestError
from spikewatch.service.errors import ServiceError
from spikewatch.service.metrics.model import ModelMetricFamilies
from spikewatch.service.power.meter import PowerMeter, host_power_meter
from spikewatch.service.process_memory import memory_limit_bytes

END_REASONS = ("client", "disconnected", "idle_timeout", "abandoned", "shutdown", "step_failed")
JOB_DROP_REASONS = ("expired", "count", "bytes")
SNAPSHOT_OUTCOMES = ("saved", "failed", "skipped", "restored", "refused", "evicted")
BOUND_LABELS = ("unread_answer", "unanswered_ping", "message_size", "unread_upload")
"""Limits that close a connection or throttle an upload instead of rejecting a request."""

ERROR_CODES = tuple(
    sorted({error.code for base in (ServiceError, IngestError) for error in (base, *base.__subclasses__())})
)
"""Codes of all errors counted as `refused`."""


class Metrics:
    """Metrics of the service, in a given registry.

    Attributes:
        models: metrics with a label `model`.
        power: measured energy of the machine.
    """

    def __init__(self, registry: CollectorRegistry, power: PowerMeter | None = None) -> None:
        self.registry = registry
        self.models = ModelMetricFamilies(registry)
        self.ended = Counter("spikewatch_sessions_ended", "Sessions by reason", ["reason"], registry=registry)
        self.refused = Counter("spikewatch_refused", "Requests refused, by code", ["code"], registry=registry)
        self.jobs = Gauge("spikewatch_jobs", "Uploads under way or kept", registry=registry)
        self.upload_calls = Gauge(
            "spikewatch_upload_calls",
            "Reads and writes of uploaded files that run or wait for one of the upload threads",
            registry=registry,
        )
        self.jobs_dropped = Counter(
            "spikewatch_jobs_dropped", "Uploads no longer kept, by reason", ["reason"], registry=registry
        )
        self.snapshots = Counter(
            "spikewatch_snapshots", "Sessions saved and restored, by outcome", ["outcome"], registry=registry
        )
        self.throttled_s = Counter(
            "spikewatch_held_back_seconds",
            "Time for which streams of a key waited for its rate of bytes",
            registry=registry,
        )
        self.bounds_met = Counter(
            "spikewatch_bounds_met",
            "Connections closed and uploads held back, by the bound that they met",
            ["bound"],
            registry=registry,
        )
        self.missed_slices = Counter(
            "spikewatch_missed_slices", "Slices that slow onlookers were not shown", registry=registry
        )
        self._add_limit_gauges(registry)
        ProcessCollector(registry=registry)
        self.power = power or host_power_meter()
        registry.register(self.power)
        self._initialise_series()

    def _add_limit_gauges(self, registry: CollectorRegistry) -> None:
        """Add gauges of limits, to compare other metrics with."""
        self.shortest_slice = Gauge(
            "spikewatch_slice_seconds",
            "Shortest slice of the open sessions; the default model's own while none is open",
            registry=registry,
        )
        self.max_sessions = Gauge(
            "spikewatch_max_sessions", "Sessions that may be open at once", registry=registry
        )
        self.upload_threads = Gauge(
            "spikewatch_upload_threads", "Threads that read and write uploaded files", registry=registry
        )
        self.model_memory_limit = Gauge(
            "spikewatch_model_memory_limit_bytes",
            "Limit for weights and membranes of all models",
            registry=registry,
        )
        memory = Gauge("spikewatch_memory_limit_bytes", "Memory limit of the process", registry=registry)
        memory.set(memory_limit_bytes())

    def _initialise_series(self) -> None:
        """Create every series, so that rates are right from the first scrape on."""
        for code in ERROR_CODES:
            self.refused.labels(code)
        for reason in (*END_REASONS, *ERROR_CODES):
            self.ended.labels(reason)
        for reason in JOB_DROP_REASONS:
            self.jobs_dropped.labels(reason)
        for outcome in SNAPSHOT_OUTCOMES:
            self.snapshots.labels(outcome)
        for bound in BOUND_LABELS:
            self.bounds_met.labels(bound)
