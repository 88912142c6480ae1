"""Headers that keep browsers from using responses in other ways than meant."""

from starlette.datastructures import MutableHeaders
from starlette.types import Message, Send

OWN_PAGES_PREFIX = "/pages/"
"""Pages of the operator, which may need scripts and styles of their own kind."""

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "same-origin",
}

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; connect-src 'self' blob:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)
"""Nothing is loaded from elsewhere, and no script or style runs that stands within a page."""


def with_security_headers(send: Send, path: str) -> Send:
    """Return `send` with the headers added to each response, the content policy not for operators' pages."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            if not path.startswith(OWN_PAGES_PREFIX):
                headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        await send(message)

    return send_with_headers
