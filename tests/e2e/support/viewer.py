"""What a user does and reads on the viewer's page."""

from tests.e2e.support.chromium import Page

LIMIT_S = 240.0


def visit(page: Page, url: str) -> None:
    """Open the viewer, and wait until its modules run."""
    page.open(url)
    page.wait("document.getElementById('badge')?.offsetHeight > 0", LIMIT_S)


def text(page: Page, selector: str) -> str:
    return str(page.evaluate(f"document.querySelector({selector!r}).textContent"))


def click(page: Page, selector: str) -> None:
    page.evaluate(f"document.querySelector({selector!r}).click()")


def wait_for_text(page: Page, selector: str, pattern: str) -> None:
    page.wait(f"/{pattern}/.test(document.querySelector({selector!r})?.textContent)", LIMIT_S)


def enter_key(page: Page, key: str) -> None:
    page.wait("document.getElementById('key')?.open", LIMIT_S)
    page.evaluate(f"document.getElementById('key-text').value = {key!r}")
    click(page, "#key button[value=use]")
