"""Prometheus metrics of the sinks; the label `sink` is bounded, because the operator lists them."""

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from spikewatch.service.sinks.hub import SinkHub


class SinkCollector(Collector):
    """Reads the counters of all sinks at each scrape."""

    def __init__(self, hub: SinkHub) -> None:
        self._hub = hub

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics."""
        results = CounterMetricFamily(
            "spikewatch_sink_results", "Results for each sink, by outcome", labels=["sink", "outcome"]
        )
        up = GaugeMetricFamily("spikewatch_sink_up", "0 while the sink cannot be reached", labels=["sink"])
        queued = GaugeMetricFamily(
            "spikewatch_sink_queued", "Results that wait for the sink in memory", labels=["sink"]
        )
        spooled = GaugeMetricFamily(
            "spikewatch_sink_spool_bytes", "Bytes that wait for the sink in its spool", labels=["sink"]
        )
        for runner in self._hub.runners:
            state = runner.state
            for outcome in ("delivered", "dropped", "refused"):
                results.add_metric([state.name, outcome], getattr(state, outcome))
            up.add_metric([state.name], float(state.up is not False))
            queued.add_metric([state.name], len(runner.queue))
            spooled.add_metric([state.name], state.spool_bytes)
        return results, up, queued, spooled
