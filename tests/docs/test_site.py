"""The documentation as a site: built strictly, with every page in the navigation and every link checked."""

import sys
from pathlib import Path, PurePosixPath

import pytest

from scripts.site_links import index_page, without_outside_links
from tests.e2e.support.deploy import ROOT, run


def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    run(sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", tmp_path, cwd=ROOT)
    assert 'href="operations.html' in (tmp_path / "index.html").read_text()
    assert "../SECURITY.md" not in (tmp_path / "service.html").read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](b.md#c)", "[a](b.md#c)"),
        ("[a](../SECURITY.md#keys)", "a"),
        ("![a](../benchmarks/results/x.png)", ""),
        ("[a](https://example.org/x)", "[a](https://example.org/x)"),
    ],
)
def test_links_that_leave_the_site_become_text(text: str, expected: str) -> None:
    assert without_outside_links(text, PurePosixPath("docs")) == expected


def test_links_of_the_readme_start_in_docs() -> None:
    text = "[a](docs/b.md#c) ![d](docs/e.png) [f](examples/README.md)"
    assert index_page(text) == "[a](b.md#c) ![d](e.png) [f](../examples/README.md)"
