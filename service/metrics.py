"""Everything that Prometheus sees. Base units, bounded labels, never a session id."""

from collections import Counter as Counted
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from ingest.errors import IngestError
from model.checkpoint import weights_digest
from model.degradation import DEGRADATIONS, degradation
from model.detector import Detector
from model.energy import firing_rates
from service.engine import BatchResult
from service.errors import ServiceError
from service.memory import memory_limit_bytes
from service.options import SessionOptions
from service.schemas import Policy
from service.window import WindowResult

MJ_PER_J = 1000.0
US_PER_S = 1e6
LATENCY_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
LATENCY_BUCKETS_SLICES = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8, 16, 24, 32, 48)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

END_REASONS = ("client", "disconnected", "idle_timeout", "shutdown", "step_failed")
SLICE_OUTCOMES = ("accepted", "run", "discarded")
DROP_REASONS = ("outside_sensor", "before_first_time", "truncated_record", "too_fast")
JOB_DROP_REASONS = ("expired", "count", "bytes")
SNAPSHOT_OUTCOMES = ("saved", "failed", "restored", "refused", "evicted")
CODES = tuple(
    sorted({error.code for base in (ServiceError, IngestError) for error in (base, *base.__subclasses__())})
)
"""Codes of all errors that are counted as refused."""


class Metrics:
    """The service's metrics, in a registry that is passed in."""

    def __init__(self, registry: CollectorRegistry, detector: Detector) -> None:
        self.registry = registry
        self.events = Counter("spikewatch_events", "Events run through the detector", registry=registry)
        self.windows = Counter("spikewatch_windows", "Windows by outcome", ["outcome"], registry=registry)
        self.detections = Counter("spikewatch_detections", "Boxes returned", ["label"], registry=registry)
        self.latency = Histogram(
            "spikewatch_window_latency_seconds",
            "From the last byte of a window to its result",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.step = Histogram(
            "spikewatch_step_duration_seconds",
            "One batch: gather, network, scatter",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.batch = Histogram(
            "spikewatch_batch_size", "Sessions in one batch", buckets=BATCH_BUCKETS, registry=registry
        )
        self.sessions = Gauge("spikewatch_sessions", "Open sessions", registry=registry)
        self.ended = Counter("spikewatch_sessions_ended", "Sessions by reason", ["reason"], registry=registry)
        self.refused = Counter("spikewatch_refused", "Requests refused, by code", ["code"], registry=registry)
        self.queued = Gauge("spikewatch_queued_slices", "Slices waiting", registry=registry)
        self.slices = Counter(
            "spikewatch_slices",
            "Slices taken into an inbox, and those that were run, or thrown away with a session that ended",
            ["outcome"],
            registry=registry,
        )
        self.dropped_slices = Counter(
            "spikewatch_dropped_slices", "Slices dropped by the policy drop_oldest", registry=registry
        )
        self.dropped_events = Counter(
            "spikewatch_dropped_events",
            "Events or records left out, by reason",
            ["reason"],
            registry=registry,
        )
        self.jobs = Gauge("spikewatch_jobs", "Uploads under way or kept", registry=registry)
        self.jobs_dropped = Counter(
            "spikewatch_jobs_dropped", "Uploads no longer kept, by reason", ["reason"], registry=registry
        )
        self.snapshots = Counter(
            "spikewatch_snapshots", "Sessions saved and restored, by outcome", ["outcome"], registry=registry
        )
        self.held_back = Counter(
            "spikewatch_held_back_seconds",
            "Time for which streams of a key waited for its rate of bytes",
            registry=registry,
        )
        self.state = Gauge("spikewatch_state_bytes", "Memory of all membranes", registry=registry)
        self.rate = Gauge(
            "spikewatch_firing_rate",
            "Spikes for each neuron and virtual step in the latest batch",
            ["layer"],
            registry=registry,
        )
        self.degraded = Gauge(
            "spikewatch_degraded_layers",
            "Layers that hardly fire or saturate in the latest batch",
            ["kind"],
            registry=registry,
        )
        self.spikes = Counter("spikewatch_spikes", "Spikes fired", registry=registry)
        self.operations = Counter(
            "spikewatch_synaptic_operations",
            "Accumulates and multiply-accumulates",
            ["kind"],
            registry=registry,
        )
        self.energy = Counter(
            "spikewatch_energy_joules", "Estimated energy of synaptic operations", ["kind"], registry=registry
        )
        self._add_bounds(registry)
        ProcessCollector(registry=registry)
        spec = detector.spec
        Info("spikewatch_model", "The loaded model", registry=registry).info(
            {
                "name": spec.name,
                "training": spec.training,
                "scale": spec.config.scale,
                "runtime": detector.runtime,
                "digest": weights_digest(detector.network),
            }
        )
        self._start_at_zero(spec.class_names)

    def _add_bounds(self, registry: CollectorRegistry) -> None:
        """What the other metrics are to be held against."""
        self.lateness = Histogram(
            "spikewatch_window_latency_ratio",
            "Window latency over the length of the session's slices; above 1 a result is late",
            ["policy"],
            buckets=LATENCY_BUCKETS_SLICES,
            registry=registry,
        )
        self.slice_length = Gauge(
            "spikewatch_slice_seconds",
            "Shortest slice of the open sessions; the model's own while none is open",
            registry=registry,
        )
        self.max_sessions = Gauge(
            "spikewatch_max_sessions", "Sessions that may be open at once", registry=registry
        )
        memory = Gauge(
            "spikewatch_memory_limit_bytes", "What the process may use of memory", registry=registry
        )
        memory.set(memory_limit_bytes())

    def _start_at_zero(self, class_names: tuple[str, ...]) -> None:
        """Make every series exist, so that a rate over the first scrape is right."""
        for outcome in ("completed", "dropped", "unread"):
            self.windows.labels(outcome)
        for outcome in SLICE_OUTCOMES:
            self.slices.labels(outcome)
        for label in class_names:
            self.detections.labels(label)
        for code in CODES:
            self.refused.labels(code)
        for reason in (*END_REASONS, *CODES):
            self.ended.labels(reason)
        for reason in DROP_REASONS:
            self.dropped_events.labels(reason)
        for reason in JOB_DROP_REASONS:
            self.jobs_dropped.labels(reason)
        for outcome in SNAPSHOT_OUTCOMES:
            self.snapshots.labels(outcome)
        for kind in DEGRADATIONS:
            self.degraded.labels(kind)
        for policy in get_args(Policy):
            self.lateness.labels(policy)
        for kind in ("ac", "mac"):
            self.operations.labels(kind)
        for kind in ("snn", "ann"):
            self.energy.labels(kind)

    def observe_batch(self, detector: Detector, size: int, result: BatchResult) -> None:
        """Count one step; a batch of slices that only wait for their window is none."""
        if not result.slices:
            return
        self.batch.observe(size)
        self.step.observe(result.duration_s)
        self._observe_rates(detector, result)
        self.spikes.inc(sum(result.spikes.values()))
        self.operations.labels("ac").inc(result.energy.ac)
        self.operations.labels("mac").inc(result.energy.mac)
        self.energy.labels("snn").inc(result.energy.snn_mj / MJ_PER_J)
        self.energy.labels("ann").inc(result.energy.ann_mj / MJ_PER_J)

    def _observe_rates(self, detector: Detector, result: BatchResult) -> None:
        rates = firing_rates(detector.layers, result.spikes, detector.spec.config.d_max, result.slices)
        for layer, rate in rates.items():
            self.rate.labels(layer).set(rate)
        found = Counted(map(degradation, rates.values()))
        for kind in DEGRADATIONS:
            self.degraded.labels(kind).set(found[kind])

    def observe_window(
        self, result: WindowResult, class_names: tuple[str, ...], options: SessionOptions
    ) -> None:
        """Count one result."""
        self.windows.labels("completed").inc()
        self.latency.observe(result.latency_s)
        self.lateness.labels(options.policy).observe(result.latency_s / (options.slice_us / US_PER_S))
        for class_id in result.detections.class_id.tolist():
            self.detections.labels(class_names[class_id]).inc()
