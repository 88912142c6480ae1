"""NDJSON and CSV files to which results are appended, rotated at a size."""

import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from spikewatch.service.output.csv_rows import CSV_COLUMNS, csv_rows
from spikewatch.service.sinks.address import FileAddress
from spikewatch.service.sinks.message import Send, SinkMessage, SinkUnavailable
from spikewatch.service.sinks.state import SinkState


class FileSink:
    """Appends to a file. At `max_bytes` it is renamed to NAME.1, in place of an older one."""

    def __init__(self, address: FileAddress, state: SinkState) -> None:
        self._address, self._state = address, state

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Send]:
        """Check that the file can be written."""

        async def send(batch: Sequence[SinkMessage]) -> None:
            self._append(batch)
            self._state.mark_up()
            self._state.count(delivered=len(batch))

        try:
            self._append([])
            self._state.mark_up()
            yield send
        except OSError as error:
            raise SinkUnavailable(str(error)) from error

    def _append(self, batch: Sequence[SinkMessage]) -> None:
        path = self._address.path
        data = _csv(batch) if path.suffix == ".csv" else _ndjson(batch)
        size = path.stat().st_size if path.exists() else 0
        if size and size + len(data) > self._address.max_bytes:
            path.replace(path.with_name(path.name + ".1"))
            size = 0
        with path.open("ab") as file:
            if not size and path.suffix == ".csv":
                file.write((",".join(("session", *CSV_COLUMNS)) + "\r\n").encode())
            file.write(data)


def _ndjson(batch: Sequence[SinkMessage]) -> bytes:
    return b"".join(json.dumps(message.content).encode() + b"\n" for message in batch)


def _csv(batch: Sequence[SinkMessage]) -> bytes:
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    for message in batch:
        rows.writerows([message.session, *row] for row in csv_rows(message.window))
    return text.getvalue().encode()
