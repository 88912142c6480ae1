"""Find sentences that docs/style.md forbids: `python -m scripts.check_prose`.

Docstrings, error messages and documents are read.

Two patterns are checked, those that once were most frequent:

- a clause that begins with *who*, *whoever*, *whose* or *what* in place of a noun;
- an error message without a value: a constant string that is raised. A message that has no value to give
  ends its line with `# no value`.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("ingest", "model", "service", "spikewatch", "scripts", "benchmarks")
UNCHECKED = ("CHANGELOG.md", "benchmarks/results/")

SUBJECT = re.compile(r"(?:^|[.;:!?]\s+|[,;]\s+(?:and|but|or|so)\s+)(who|whoever|whose|what)\b", re.IGNORECASE)
NO_VALUE = "# no value"

Fault = tuple[Path, int, str]


def subject_faults(text: str) -> Iterator[tuple[int, str]]:
    """(line offset, clause) of every clause of a text that begins with a forbidden subject."""
    for match in SUBJECT.finditer(text):
        clause = text[match.start(1) :].split("\n")[0][:60]
        yield text.count("\n", 0, match.start(1)), f"clause without a subject: {clause}"


def python_faults(path: Path) -> Iterator[Fault]:
    """Faults of all docstrings, attribute docstrings and raised messages of a file."""
    source = path.read_text()
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            for offset, fault in subject_faults(node.value.value):
                yield path, node.lineno + offset, fault
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from message_faults(path, node.exc, lines)


def message_faults(path: Path, call: ast.Call, lines: list[str]) -> Iterator[Fault]:
    """Faults of the message of a raised error, its first positional argument."""
    if not call.args:
        return
    message = call.args[0]
    marked = any(NO_VALUE in line for line in lines[call.lineno - 1 : call.end_lineno])
    if isinstance(message, ast.Constant) and isinstance(message.value, str) and not marked:
        yield path, call.lineno, f"message without a value: {message.value[:60]!r}"
    parts = message.values if isinstance(message, ast.JoinedStr) else [message]
    text = "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
    for _, fault in subject_faults(text):
        yield path, call.lineno, fault


def markdown_faults(path: Path) -> Iterator[Fault]:
    """Faults of a document; headings, tables and code are not sentences."""
    text = re.sub(
        r"```.*?```", lambda block: "\n" * block.group().count("\n"), path.read_text(), flags=re.DOTALL
    )
    text = re.sub(r"^(#|\|).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^[ \t]*[-*>]?[ \t]+", "", text, flags=re.MULTILINE)
    start = 0
    for paragraph in re.split(r"\n{2,}", text):
        line = text.count("\n", 0, text.index(paragraph, start)) + 1
        start = text.index(paragraph, start) + len(paragraph)
        for offset, fault in subject_faults(paragraph):
            yield path, line + offset, fault


def faults() -> Iterator[Fault]:
    """Faults of all files that git knows."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py", "*.md"]
    for name in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split():
        path = ROOT / name
        if not path.exists() or name.startswith(UNCHECKED):
            continue
        if path.suffix == ".md":
            yield from markdown_faults(path)
        elif name.split("/")[0] in PACKAGES:
            yield from python_faults(path)


def main() -> None:
    """Print every fault; exit status 1 if there is one."""
    found = [f"{path.relative_to(ROOT)}:{line}: {fault}" for path, line, fault in faults()]
    print(*found, sep="\n")
    if found:
        sys.exit(f"{len(found)} faults; see docs/style.md")


if __name__ == "__main__":
    main()
