"""MQTT: results and zone events as topics of a broker, through `aiomqtt`."""

import json
import re
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt

from spikewatch.service.sinks.address import MqttAddress
from spikewatch.service.sinks.message import Send, SinkMessage, SinkUnavailable
from spikewatch.service.sinks.state import SinkState

TIMEOUT_S = 10.0


class MqttSink:
    """Publishes PREFIX/SESSION/windows and PREFIX/SESSION/zones/EVENT; PREFIX/status is online or offline."""

    def __init__(self, address: MqttAddress, state: SinkState) -> None:
        self._address, self._state = address, state

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Send]:
        """Connect to the broker; it publishes `offline` if the connection breaks."""
        address, status = self._address, f"{self._address.prefix}/status"
        try:
            async with aiomqtt.Client(
                address.host,
                address.port,
                username=address.username,
                password=address.password,
                timeout=TIMEOUT_S,
                will=aiomqtt.Will(status, "offline", qos=1, retain=True),
                tls_context=ssl.create_default_context() if address.tls else None,
            ) as client:
                await client.publish(status, "online", qos=1, retain=True)
                self._state.mark_up()

                async def send(batch: Sequence[SinkMessage]) -> None:
                    for message in batch:
                        for topic, content in topics(message, address.prefix):
                            await client.publish(topic, json.dumps(content), qos=address.qos)
                        self._state.count(delivered=1)

                yield send
                await client.publish(status, "offline", qos=1, retain=True)
        except (aiomqtt.MqttError, OSError) as error:
            raise SinkUnavailable(str(error) or type(error).__name__) from error


def topics(message: SinkMessage, prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield topic and content of a result and of each of its zone events."""
    root = f"{prefix}/{re.sub('[^A-Za-z0-9_.-]', '_', message.session)}"
    yield f"{root}/windows", message.content
    for event in message.content.get("zone_events") or ():
        yield (
            f"{root}/zones/{event['event']}",
            {"session": message.session, "seq": message.window.seq, **event},
        )
