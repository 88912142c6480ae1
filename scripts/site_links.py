"""Hooks of mkdocs: the README is the first page, and links that leave the site become plain text.

Pages link to files of the repository (`../SECURITY.md`, `../benchmarks/results`), which a site does not hold.
"""

import re
from pathlib import Path, PurePosixPath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the README as `index.md`."""
    files.append(File.generated(config, "index.md", content=index_page((ROOT / "README.md").read_text())))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Take links out that lead from the page to a file outside docs/."""
    folder = PurePosixPath("docs") / PurePosixPath(page.file.src_uri).parent
    return without_outside_links(markdown, folder)


def index_page(readme: str) -> str:
    """Return the README with links relative to docs/ instead of the root."""
    return LINK.sub(_from_docs, readme)


def without_outside_links(markdown: str, folder: PurePosixPath) -> str:
    """Return the page with `[text](../outside)` as text; `folder` is its place in the repository."""

    def replaced(match: re.Match[str]) -> str:
        bang, text, target, _ = match.groups()
        if _is_external(target) or _resolved(folder, target).parts[0] == "docs":
            return match[0]
        return "" if bang else text

    return LINK.sub(replaced, markdown)


def _from_docs(match: re.Match[str]) -> str:
    bang, text, target, anchor = match.groups()
    if _is_external(target):
        return match[0]
    inside = target.removeprefix("docs/")
    return f"{bang}[{text}]({inside if inside != target else '../' + target}{anchor or ''})"


def _is_external(target: str) -> bool:
    return "://" in target or target.startswith("mailto:")


def _resolved(folder: PurePosixPath, target: str) -> PurePosixPath:
    parts: list[str] = []
    for part in (folder / target).parts:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
    return PurePosixPath(*parts or ["."])
