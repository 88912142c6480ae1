"""Files of results: NDJSON, JSON, CSV and Prophesee boxes (.npy), chosen by the name's ending.

Every file is written under a temporary name and renamed when whole, so an interrupted run leaves none.
"""

import csv
import io
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from spikewatch.atomic_file import atomic_write
from spikewatch.model.prophesee_boxes import BBOX_DTYPE, PropheseeBoxes, to_prophesee
from spikewatch.service.inference.offline import OfflineStep
from spikewatch.service.output.csv_rows import CSV_COLUMNS, csv_rows
from spikewatch.service.schemas import Summary


class ResultWriter(Protocol):
    """A context manager that writes results slice by slice."""

    def write(self, step: OfflineStep) -> None:
        """Write one slice and its results."""

    def finish(self, summary: Summary) -> None:
        """Write the summary, after the last slice."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file; delete it after an error."""


class FileWriter:
    """A file that appears only when it is complete."""

    def __init__(self, path: Path) -> None:
        with ExitStack() as stack:
            self._file = stack.enter_context(stack.enter_context(atomic_write(path)).open("wb"))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


class NdjsonWriter(FileWriter):
    """One window per line, then a line with the summary, as in the response of POST /v1/detections."""

    def write(self, step: OfflineStep) -> None:
        """Append the windows."""
        for window in step.windows:
            self._file.write(window.model_dump_json().encode() + b"\n")

    def finish(self, summary: Summary) -> None:
        """Append the summary."""
        self._file.write(b'{"summary":' + summary.model_dump_json().encode() + b"}\n")


class StdoutWriter:
    """The lines of `NdjsonWriter` on standard output, each flushed, so that a pipe has them at once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.flush()

    def write(self, step: OfflineStep) -> None:
        """Print the windows."""
        for window in step.windows:
            print(window.model_dump_json(), flush=True)

    def finish(self, summary: Summary) -> None:
        """Print the summary."""
        print(f'{{"summary":{summary.model_dump_json()}}}', flush=True)


class JsonWriter(FileWriter):
    """One JSON object: `{"windows": [...], "summary": {...}}`, written window by window."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file.write(b'{"windows":[')
        self._separator = b"\n"

    def write(self, step: OfflineStep) -> None:
        """Append the windows."""
        for window in step.windows:
            self._file.write(self._separator + window.model_dump_json().encode())
            self._separator = b",\n"

    def finish(self, summary: Summary) -> None:
        """Close the list and append the summary."""
        self._file.write(b'\n],"summary":' + json.dumps(summary.model_dump()).encode() + b"}\n")


class CsvWriter(FileWriter):
    """One row a box, with a header; the dialect of RFC 4180. Windows without boxes have no row."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._text = io.TextIOWrapper(self._file, "utf-8", newline="", write_through=True)
        self._rows = csv.writer(self._text)
        self._rows.writerow(CSV_COLUMNS)

    def write(self, step: OfflineStep) -> None:
        """Append the boxes."""
        for window in step.windows:
            self._rows.writerows(csv_rows(window))

    def finish(self, summary: Summary) -> None:
        """Write what is buffered."""
        self._text.flush()


class PropheseeWriter(FileWriter):
    """All boxes as one structured array, stamped with the end of their window; untracked, their id is 0."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._boxes: list[PropheseeBoxes] = []

    def write(self, step: OfflineStep) -> None:
        """Collect boxes, 40 bytes each."""
        for result in step.results:
            boxes = to_prophesee(result.detections)
            boxes["track_id"] = result.track_ids or 0
            self._boxes.append(boxes)

    def finish(self, summary: Summary) -> None:
        """Write the array."""
        # filled in place: concatenating would drop the padding that makes a row 40 bytes
        boxes = np.zeros(sum(map(len, self._boxes)), BBOX_DTYPE)
        start = 0
        for part in self._boxes:
            boxes[start : start + len(part)] = part
            start += len(part)
        np.save(self._file, boxes)


WRITERS: dict[str, Callable[[Path], ResultWriter]] = {
    ".ndjson": NdjsonWriter,
    ".json": JsonWriter,
    ".csv": CsvWriter,
    ".npy": PropheseeWriter,
}
"""File ending -> writer; `open_writer` knows those that need the size of the sensor."""
