"""Names of files that are not event recordings of a supported format, from their first bytes."""

_TEXT_BYTES = 256
_MIN_TEXT_BYTES = 4
_SHOWN_TEXT = 40

_SIGNATURES = (
    (0, b"version https://git-lfs", "a Git LFS pointer, not the recording; run: git lfs pull"),
    (0, b"#!AER-DAT", "AEDAT before version 4"),
    (0, b"#ROSBAG", "a ROS bag; extract its events into one of these formats"),
    (0, b"SQLite format 3\0", "an SQLite database, such as a ROS 2 bag; extract its events"),
    (0, b"\x89MCAP0\r\n", "an MCAP file, such as a ROS 2 bag; extract its events"),
    (0, b"MATLAB 5.0 MAT-file", "a MATLAB file"),
    (0, b"PK\x05\x06", "an empty ZIP archive"),
    (0, b"BZh", "bzip2; decompress it first"),
    (0, b"\xfd7zXZ\0", "xz; decompress it first"),
    (0, b"\x28\xb5\x2f\xfd", "Zstandard; decompress it first"),
    (0, b"\x04\x22\x4d\x18", "LZ4; decompress it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first"),
    (0, b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (257, b"ustar", "a tar archive; unpack it first"),
    (0, b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (0, b"\xff\xd8\xff", "a JPEG image"),
    (0, b"GIF8", "a GIF image"),
    (4, b"ftyp", "an MP4 video; videos have frames, not events"),
    (0, b"\x1a\x45\xdf\xa3", "a Matroska or WebM video; videos have frames, not events"),
    (8, b"AVI ", "an AVI video; videos have frames, not events"),
    (0, b"%PDF", "a PDF document"),
    (0, b"\x80\x04\x95", "a Python pickle"),
    (0, b"\x7fELF", "a program"),
)
"""Offset, bytes there, and the name of the content."""

_WEB_PAGES = (b"<!doctype html", b"<html")


def name_content(head: bytes) -> str | None:
    """Return what a file with these first bytes is, with the next step; None if unknown or a recording."""
    for offset, signature, name in _SIGNATURES:
        if head[offset : offset + len(signature)] == signature:
            return name
    if head[:_TEXT_BYTES].lstrip().lower().startswith(_WEB_PAGES):
        return "a web page, such as the error page of a download"
    if not any(head):
        return "a file of zeros, such as a download that was not finished"
    return _name_text(head)


def _name_text(head: bytes) -> str | None:
    """Return a name for text that is no header of a recording."""
    if head.startswith(b"%") or len(head) < _MIN_TEXT_BYTES:
        return None
    for cut in range(4):  # the last character may be incomplete
        try:
            text = head[: max(_TEXT_BYTES - cut, 0)].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        if all(character.isprintable() or character in "\t\r\n" for character in text):
            shown = " ".join(text.split())[:_SHOWN_TEXT]
            return f"text ({shown!r}); convert it to one of these formats"
    return None
