"""Prometheus metrics of each model: the work of its sessions, and its memory.

The label `model` is bounded, because the operator chooses the names. Counters of unloaded models stay.
"""

from collections import Counter as Counted
from collections.abc import Callable
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from spikewatch.ingest.filters.settings import FILTER_NAMES
from spikewatch.model.checkpoints.checkpoint import weights_digest
from spikewatch.model.detector import Detector
from spikewatch.model.energy.degradation import DEGRADATIONS, classify_degradation
from spikewatch.model.energy.formulas import firing_rates
from spikewatch.service.inference.engine import BatchResult
from spikewatch.service.inference.options import SessionOptions
from spikewatch.service.inference.window_result import WindowResult
from spikewatch.service.schemas import Policy
from spikewatch.service.zones.state import EventKind

MJ_PER_J = 1000.0
US_PER_S = 1e6
LATENCY_BUCKETS_S = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10)
LATENCY_RATIO_BUCKETS = (0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 4, 8, 16, 24, 32, 48)
BATCH_SIZE_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
DROP_REASONS = ("outside_sensor", "before_first_time", "truncated_record", "too_fast")
LOAD_OUTCOMES = ("loaded", "failed", "no_room")


class ModelMetricFamilies:
    """Metrics of all models, in a given registry; `for_model` returns those of one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"spikewatch_{name}", words, ["model", *labels], registry=registry)

        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return Gauge(f"spikewatch_{name}", words, ["model", *labels], registry=registry)

        def histogram(name: str, words: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            names = ["model", *labels]
            return Histogram(f"spikewatch_{name}", words, names, buckets=buckets, registry=registry)

        self.events = counter("events", "Events run through the detector")
        self.windows = counter("windows", "Windows by outcome", "outcome")
        self.detections = counter("detections", "Boxes returned", "label")
        self.slices = counter(
            "slices",
            "Slices taken into an inbox, and those that were run, or thrown away with a session that ended",
            "outcome",
        )
        self.dropped_slices = counter("dropped_slices", "Slices dropped by the policy drop_oldest")
        self.discontinuities = counter(
            "discontinuities", "Jumps in time: pauses of 10 s or more, and times more than 1 s back"
        )
        self.dropped_events = counter("dropped_events", "Events or records left out, by reason", "reason")
        self.filtered_events = counter("filtered_events", "Events removed by the sessions' filters", "filter")
        self.zone_events = counter("zone_events", "What tracks did at zones and lines", "event")
        self.dropped_tracks = counter("dropped_tracks", "Longest unseen tracks dropped from full sessions")
        self.spikes = counter("spikes", "Spikes fired")
        self.operations = counter("synaptic_operations", "Accumulates and multiply-accumulates", "kind")
        self.energy = counter("energy_joules", "Estimated energy of synaptic operations", "kind")
        self.loads = counter("model_loads", "Attempts to load a model, by outcome", "outcome")
        self.unloads = counter("model_unloads", "Models unloaded to make room for others")
        self.window_latency = histogram(
            "window_latency_seconds", "From the last byte of a window to its result", LATENCY_BUCKETS_S
        )
        self.latency_ratio = histogram(
            "window_latency_ratio",
            "Window latency over the length of the session's slices; above 1 a result is late",
            LATENCY_RATIO_BUCKETS,
            "policy",
        )
        self.step_duration = histogram(
            "step_duration_seconds", "One batch: gather, network, scatter", LATENCY_BUCKETS_S
        )
        self.batch_size = histogram("batch_size", "Sessions in one batch", BATCH_SIZE_BUCKETS)
        self.sessions = gauge("sessions", "Open sessions")
        self.queued_slices = gauge("queued_slices", "Slices waiting")
        self.state_bytes = gauge("state_bytes", "Memory of all membranes")
        self.weights_bytes = gauge("weights_bytes", "Memory of the weights")
        self.firing_rate = gauge(
            "firing_rate", "Spikes for each neuron and virtual step in the latest batch", "layer"
        )
        self.degraded_layers = gauge(
            "degraded_layers", "Layers that hardly fire or saturate in the latest batch", "kind"
        )
        self.model_info = Info("spikewatch_model", "A loaded model", ["model"], registry=registry)

    def for_model(self, name: str, detector: Detector) -> "ModelMetrics":
        """Return the metrics of one model. They start at zero for a new name."""
        return ModelMetrics(self, name, detector)

    def register_model(self, name: str) -> None:
        """Create the series that a model has before it is loaded."""
        self.unloads.labels(name)
        for outcome in LOAD_OUTCOMES:
            self.loads.labels(name, outcome)


class ModelMetrics:
    """Metrics of one loaded model."""

    def __init__(self, families: ModelMetricFamilies, name: str, detector: Detector) -> None:
        self._families = families
        self._name = name
        self._layers = detector.layers
        self._d_max = detector.spec.config.d_max
        self._class_names = detector.spec.class_names
        self.events = families.events.labels(name)
        self.accepted_slices = families.slices.labels(name, "accepted")
        self.run_slices = families.slices.labels(name, "run")
        self.discarded_slices = families.slices.labels(name, "discarded")
        self.dropped_slices = families.dropped_slices.labels(name)
        self.discontinuities = families.discontinuities.labels(name)
        self.unread_windows = families.windows.labels(name, "unread")
        self.dropped_windows = families.windows.labels(name, "dropped")
        self._initialise_series()

    def mark_loaded(self, detector: Detector, state_bytes: int) -> None:
        """Set the gauges of a loaded model: memory, and facts about its weights."""
        self._families.weights_bytes.labels(self._name).set(detector.weights_bytes)
        self._families.state_bytes.labels(self._name).set(state_bytes)
        for kind in DEGRADATIONS:
            self._families.degraded_layers.labels(self._name, kind)
        self._set_model_info(detector)

    def set_gauge_functions(self, sessions: Callable[[], int], queued: Callable[[], int]) -> None:
        """Set the callbacks for open sessions and queued slices, called at every scrape."""
        self._families.sessions.labels(self._name).set_function(sessions)
        self._families.queued_slices.labels(self._name).set_function(queued)

    def count_dropped_events(self, reason: str, count: int) -> None:
        """Count dropped events or records."""
        self._families.dropped_events.labels(self._name, reason).inc(count)

    def count_filtered_events(self, name: str, count: int) -> None:
        """Count events that a filter removed."""
        self._families.filtered_events.labels(self._name, name).inc(count)

    def mark_unloaded(self) -> None:
        """Remove the gauges of an unloaded model."""
        families = self._families
        gauges = (families.sessions, families.queued_slices, families.state_bytes, families.weights_bytes)
        for gauge in (*gauges, families.firing_rate, families.degraded_layers, families.model_info):
            gauge.remove_by_labels({"model": self._name})

    def observe_batch(self, size: int, result: BatchResult) -> None:
        """Count one step. Batches whose slices only wait for their window are not counted."""
        if not result.slice_count:
            return
        families, name = self._families, self._name
        families.batch_size.labels(name).observe(size)
        families.step_duration.labels(name).observe(result.duration_s)
        self._observe_rates(result)
        families.spikes.labels(name).inc(sum(result.spikes.values()))
        families.operations.labels(name, "ac").inc(result.energy.ac)
        families.operations.labels(name, "mac").inc(result.energy.mac)
        families.energy.labels(name, "snn").inc(result.energy.snn_mj / MJ_PER_J)
        families.energy.labels(name, "ann").inc(result.energy.ann_mj / MJ_PER_J)

    def _observe_rates(self, result: BatchResult) -> None:
        rates = firing_rates(self._layers, result.spikes, self._d_max, result.slice_count)
        for layer, rate in rates.items():
            self._families.firing_rate.labels(self._name, layer).set(rate)
        found = Counted(map(classify_degradation, rates.values()))
        for kind in DEGRADATIONS:
            self._families.degraded_layers.labels(self._name, kind).set(found[kind])

    def observe_window(self, result: WindowResult, options: SessionOptions) -> None:
        """Count one result."""
        families, name = self._families, self._name
        families.windows.labels(name, "completed").inc()
        families.window_latency.labels(name).observe(result.latency_s)
        lateness = result.latency_s / (options.slice_us / US_PER_S)
        families.latency_ratio.labels(name, options.policy).observe(lateness)
        families.dropped_tracks.labels(name).inc(result.dropped_tracks)
        for event in result.zone_events:
            families.zone_events.labels(name, event.kind).inc()
        for class_id in result.detections.class_id.tolist():
            families.detections.labels(name, self._class_names[class_id]).inc()

    def _initialise_series(self) -> None:
        """Create every series, so that rates are right from the first scrape on."""
        families, name = self._families, self._name
        families.register_model(name)
        families.windows.labels(name, "completed")
        for series in (families.window_latency, families.step_duration, families.batch_size):
            series.labels(name)
        for count in (families.spikes, families.dropped_tracks):
            count.labels(name)
        for reason in DROP_REASONS:
            families.dropped_events.labels(name, reason)
        for filter_name in FILTER_NAMES:
            families.filtered_events.labels(name, filter_name)
        for kind in get_args(EventKind):
            families.zone_events.labels(name, kind)
        for label in self._class_names:
            families.detections.labels(name, label)
        for policy in get_args(Policy):
            families.latency_ratio.labels(name, policy)
        for kind in ("ac", "mac"):
            families.operations.labels(name, kind)
        for kind in ("snn", "ann"):
            families.energy.labels(name, kind)

    def _set_model_info(self, detector: Detector) -> None:
        spec = detector.spec
        self._families.model_info.labels(self._name).info(
            {
                "name": spec.name,
                "training": spec.training,
                "scale": spec.config.scale,
                "runtime": detector.runtime,
                "digest": weights_digest(detector.network),
            }
        )
