import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikewatch.ingest.errors import FormatError, GeometryError, TruncatedError
from spikewatch.ingest.formats.header import MAX_HEADER_BYTES, HeaderParser

EVK4 = b"""% camera_integrator_name Prophesee
% date 2023-03-29 16:37:46
% evt 3.0
% format EVT3;height=720;width=1280
% geometry 1280x720
% plugin_name hal_plugin_imx636_evk4
% end
"""


def parse(data: bytes):
    parser = HeaderParser()
    rest = parser.feed(data)
    if not parser.is_done:
        rest += parser.finish()
    return parser.header, rest


def test_header_fields_and_remaining_bytes():
    header, rest = parse(EVK4 + b"% not a header")
    assert rest == b"% not a header"
    assert header.fields["date"] == "2023-03-29 16:37:46"
    assert (header.format, header.width, header.height) == ("evt3", 1280, 720)


def test_header_without_end_line_stops_at_data():
    header, rest = parse(b"% Version 2\n% Height 720\n\x0c\x08data")
    assert (header.format, header.height, header.width) == ("dat", 720, None)
    assert rest == b"\x0c\x08data"


@given(cuts=st.lists(st.integers(0, len(EVK4) + 4)))
@settings(max_examples=50, deadline=None)
def test_header_splits_do_not_change_result(cuts):
    data, parser, rest = EVK4 + b"\x01\x02\x03\x04", HeaderParser(), b""
    last = 0
    for cut in [*sorted(cuts), len(data)]:
        rest += data[last:cut] if parser.is_done else parser.feed(data[last:cut])
        last = cut
    assert parser.header == parse(EVK4)[0]
    assert rest == b"\x01\x02\x03\x04"


@pytest.mark.parametrize(
    "data", [b"", b"%", b"\x00" * 9, b"%abc", b"% \x0012345678", b"% a\n", b"hello world"]
)
def test_stream_without_header_is_all_data(data):
    assert parse(data) == (None, data)


TEXT_LINES = [
    "% temperature 35 °C\n".encode(),
    "% temperature 35 °C\n".encode("latin-1"),
    "% operator 張偉\n".encode("gbk"),
    "% operator 張偉\n".encode("shift-jis", "replace"),
    b"%note without a space\n",
    b"%\n",
    b"%% two\n",
    b"%\ttab\r\n",
]


@pytest.mark.parametrize("end", [b"% end\n", b"%end\n", b"% END\r\n", b""])
@pytest.mark.parametrize("line", TEXT_LINES)
def test_line_of_text_in_any_encoding_belongs_to_header(line, end):
    data = EVK4.replace(b"% end\n", line + end)
    for cut in (0, 1, 100, len(data) - len(end) - 3, len(data)):
        parser = HeaderParser()
        rest = parser.feed(data[:cut])
        rest += data[cut:] + b"\x01\x80" if parser.is_done else parser.feed(data[cut:] + b"\x01\x80")
        assert rest == b"\x01\x80"
        assert (parser.header.format, parser.header.width) == ("evt3", 1280)


@pytest.mark.parametrize("line", [b"% key \x00value\n", b"%\x1bnote\n", b"% end\x00\n", b"%key\x07"])
def test_line_with_control_bytes_is_rejected_and_quoted(line):
    parser = HeaderParser()
    if line[1] == 0x1B:  # not ASCII text from its second byte on: as in a headerless file, these are data
        assert parser.feed(EVK4.replace(b"% end\n", line)) == line
        return
    with pytest.raises(FormatError, match="not text: b'%") as error:
        parser.feed(EVK4.replace(b"% end\n", line))
    assert repr(line[1:5])[2:-1] in str(error.value)


def test_time_word_that_begins_with_percent_sign_is_data():
    words = b"\x25\x80\xe8\x63\x14\x00\x0a\x20\n"
    assert parse(EVK4.replace(b"% end\n", words))[1] == words


@pytest.mark.parametrize("data", [b"% Dat", b"% Version 2\n% Hei", b"% "])
def test_stream_ending_within_header_line_is_truncated(data):
    with pytest.raises(TruncatedError):
        parse(data)


@pytest.mark.parametrize("data", [b"% key " + b"v" * MAX_HEADER_BYTES, b"% key value\n" * 6000])
def test_header_over_size_limit_is_rejected(data):
    with pytest.raises(FormatError, match="65536"):
        parse(data)


@pytest.mark.parametrize(
    ("line", "format"),
    [
        ("evt 2.0", "evt2"),
        ("evt 2.1", "evt21"),
        ("evt 3.0", "evt3"),
        ("format EVT2", "evt2"),
        ("format EVT21;endianness=little;height=320;width=320", "evt21"),
        ("system_ID 49", None),
        ("Version 2", "dat"),
    ],
)
def test_declared_format_is_parsed(line, format):
    assert parse(f"% {line}\n% end\n".encode())[0].format == format


def test_unsupported_declared_format_is_rejected():
    with pytest.raises(FormatError, match="HISTO3D"):
        parse(b"% format HISTO3D;height=320;width=320\n% end\n")


@pytest.mark.parametrize(
    ("lines", "size"),
    [
        ("geometry 640x480", (640, 480)),
        ("Width 304\n% Height 240", (304, 240)),
        ("format EVT3;height=720;width=1280", (1280, 720)),
        ("sensor_generation 3.1", (640, 480)),
        ("sensor_generation 4.1", (1280, 720)),
        ("sensor_name IMX636", (1280, 720)),
        ("plugin_name hal_plugin_genx320_mp", (320, 320)),
        ("plugin_name hal_plugin_gen3_fx3", (640, 480)),
        ("integrator_name Prophesee\n% system_ID 48", (1280, 720)),
        ("integrator_name Somebody\n% system_ID 48", (None, None)),
        ("system_ID 999", (None, None)),
        ("date 2020-01-01", (None, None)),
    ],
)
def test_sensor_size_from_header(lines, size):
    header, _ = parse(f"% {lines}\n% end\n".encode())
    assert (header.width, header.height) == size


@pytest.mark.parametrize("line", ["geometry big", "geometry 640", "width 12a", "height -4", "geometry 1e9x4"])
def test_malformed_header_size_is_rejected(line):
    with pytest.raises(GeometryError, match="header"):
        parse(f"% {line}\n% end\n".encode())
