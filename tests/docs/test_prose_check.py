"""The prose check finds what docs/style.md forbids."""

from pathlib import Path

import pytest

from scripts.check_prose import markdown_faults, python_faults, subject_faults


@pytest.mark.parametrize(
    "text",
    [
        "Who sends this, and what it was.",
        "The slot is free. Whoever asks gets it.",
        "Slices wait; what is left is run.",
        "It runs, and whose bank it takes is open.",
    ],
)
def test_clause_without_subject_is_found(text: str) -> None:
    assert list(subject_faults(text))


@pytest.mark.parametrize(
    "text",
    [
        "Return what `create` returns.",
        "A client that reconnects sends the offset.",
        "The log names the key whose limit was reached.",
    ],
)
def test_clause_with_subject_passes(text: str) -> None:
    assert not list(subject_faults(text))


def test_messages_without_value_are_found(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(
        '"""Reads."""\n\n\ndef f(n: int) -> None:\n    """Return n."""\n'
        '    if n < 0:\n        raise ValueError("too small")\n'
        '    if n > 9:\n        raise ValueError(f"{n} is above 9")\n'
        '    raise ValueError("the file is empty")  # no value\n'
    )
    assert [(line, fault) for _, line, fault in python_faults(path)] == [
        (7, "message without a value: 'too small'")
    ]


def test_markdown_code_tables_and_headings_are_skipped(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(
        "# What it does\n\n| what | why |\n\n```\nwhat now\n```\n\nIt runs. What remains is run.\n"
    )
    assert [line for _, line, _ in markdown_faults(path)] == [9]
