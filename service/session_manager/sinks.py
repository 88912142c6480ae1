"""The sinks of the service: results of all sessions and uploads."""

import logging
from functools import partial

from prometheus_client import CollectorRegistry

from spikewatch.service.inference.serialize import window_message
from spikewatch.service.inference.window_result import WindowResult
from spikewatch.service.sessions.session import Session
from spikewatch.service.settings import Settings
from spikewatch.service.sinks.address import WebhookOptions, parse_sinks
from spikewatch.service.sinks.collector import SinkCollector
from spikewatch.service.sinks.hub import SinkHub
from spikewatch.service.sinks.message import SinkMessage

log = logging.getLogger("spikewatch.sinks")


def make_sinks(settings: Settings, registry: CollectorRegistry) -> SinkHub:
    """Return the sinks that the settings name, with their metrics.

    Raises:
        InvalidSettings: an address is invalid.
        MissingExtraError: a library for a sink is not installed.
    """
    secret = settings.webhook_secret
    webhooks = WebhookOptions(
        None if secret is None else secret.get_secret_value(),
        settings.sink_spool_dir,
        settings.sink_spool_bytes,
    )
    addresses = parse_sinks(settings.sinks, webhooks)
    hub = SinkHub(addresses, settings.sink_queue_windows, "drop_oldest", log.warning)
    registry.register(SinkCollector(hub))
    return hub


def publish_result(hub: SinkHub, session: Session, result: WindowResult) -> None:
    """Queue a result for every sink; called on the worker thread, so it only appends."""
    if len(hub):
        spec = session.model.spec
        make_window = partial(
            window_message, result, spec.class_names, spec.training, session.dropped_windows
        )
        hub.publish(SinkMessage(session.id, make_window))
