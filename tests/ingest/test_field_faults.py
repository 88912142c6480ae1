"""Small recordings that the field reported as read wrong, where they are present."""

from pathlib import Path

import numpy as np
import pytest

from spikewatch.ingest.errors import FormatError, IngestError, NoEventsError
from spikewatch.ingest.open import open_recording
from spikewatch.ingest.slicing.slicer import TimeSlicer

FOLDER = Path(__file__).parents[3] / "shared" / "failing"
SIZE = (320, 240)

DECODED = [
    ("header_degree_sign.raw", "evt3", 2000, (1000, 200_900)),
    ("header_percent_end_without_space.raw", "evt3", 2000, (1000, 200_900)),
    ("header_degree_sign_evt2.raw", "evt2", 2000, (1000, 200_900)),
    ("big_endian_evt3.raw", "evt3", 2000, (1000, 200_900)),
    ("evt3_outage_10s_after_wrap.raw", "evt3", 1500, (16_000_000, 28_998_000)),
    ("evt3_padding_0x9999.raw", "evt3", 2000, (1000, 200_900)),
    ("version1.dat", "dat", 2000, (1000, 200_900)),
    ("polarity_uint32_minus_one.h5", "hdf5-rows", 1000, (1000, 100_900)),
    ("t_offset_float.h5", "hdf5-dsec", 1000, (57_922_808_588, 57_922_908_488)),
    ("names_ts_xs_ys_ps.h5", "hdf5-rvt", 1000, (1000, 100_900)),
]


def fault(name: str) -> Path:
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return path


@pytest.mark.parametrize(("name", "format", "count", "span"), DECODED)
def test_recording_is_decoded_as_it_was_made(
    name: str, format: str, count: int, span: tuple[int, int]
) -> None:
    size = SIZE if name.endswith(".h5") else (None, None)
    with open_recording(fault(name), *size) as recording:
        info = recording.info()
        events = np.concatenate(list(recording.chunks()))
    assert (info.format, info.events, info.dropped, info.warnings) == (format, count, {}, [])
    assert (info.t_first_us, info.t_last_us) == span
    if name.startswith("polarity"):
        assert np.bincount(events["p"]).tolist() == [478, 522]


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("rows_in_order_x_y_t_p.h5", FormatError, "order t, x, y, p"),
        ("no_events.h5", NoEventsError, "has no events"),
        ("writer_has_it_open.h5", FormatError, "h5clear -s"),
        ("lfs_pointer.raw", FormatError, "git lfs pull"),
    ],
)
@pytest.mark.parametrize("isolated", [False, True])
def test_recording_is_rejected_by_name(
    name: str, error: type[IngestError], message: str, isolated: bool
) -> None:
    with pytest.raises(error, match=message):
        open_recording(fault(name), *SIZE, isolated=isolated)


@pytest.mark.parametrize("slice_us", [1000, 50_000, 62_500])
def test_outage_of_ten_seconds_is_a_counted_discontinuity(slice_us: int) -> None:
    with open_recording(fault("evt3_outage_10s_after_wrap.raw")) as recording:
        slicer = TimeSlicer(slice_us, 640, 480)
        slices = [slice_ for events in recording.chunks() for slice_ in slicer.push(events)]
    assert slicer.stats.gaps == 1
    (jump,) = [slice_.t0_us for slice_ in slices if slice_.discontinuity]
    assert jump == 28_000_000
