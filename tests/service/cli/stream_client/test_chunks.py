"""A recording as the bytes that `spikewatch stream` sends."""

from pathlib import Path

from spikewatch.ingest.open import open_recording
from spikewatch.service.cli.stream_client.chunks import dat_chunks
from tests.service.support.live import dat_file, dat_stream


def test_pieces_from_any_byte_on(tmp_path: Path) -> None:
    path, data = tmp_path / "street_td.dat", dat_stream(8)
    path.write_bytes(dat_file(8))
    with open_recording(path) as recording:
        for offset in (0, 1, 8, 4801, len(data) - 3, len(data), len(data) + 5):
            assert b"".join(records for _, records in dat_chunks(recording, offset)) == data[offset:]
