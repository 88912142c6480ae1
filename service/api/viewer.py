"""The live viewer: static files of the package."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response
from starlette.staticfiles import StaticFiles

PACKAGE_DIR = Path(__file__).parents[1]
DEMO_RECORDING = PACKAGE_DIR / "assets" / "street_td.dat"

router = APIRouter(include_in_schema=False)
NO_CACHE = {"Cache-Control": "no-cache"}
"""Browsers must revalidate every module, so that old and new ones are never mixed."""


class ViewerFiles(StaticFiles):
    """Modules and styles of the viewer, which other pages may use too."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a file that the browser must revalidate before it reuses it."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(NO_CACHE)
        return response


viewer_files = ViewerFiles(directory=PACKAGE_DIR / "viewer")
docs_files = ViewerFiles(directory=PACKAGE_DIR / "api_docs")


@router.api_route("/", methods=["GET", "HEAD"])
async def get_viewer_page() -> FileResponse:
    """Return the page of the viewer."""
    return FileResponse(PACKAGE_DIR / "viewer" / "index.html", headers=NO_CACHE)


@router.api_route("/docs", methods=["GET", "HEAD"])
async def get_docs_page() -> FileResponse:
    """Return the page of the API's documentation; all that it needs is in the package."""
    return FileResponse(PACKAGE_DIR / "api_docs" / "index.html", headers=NO_CACHE)


@router.api_route("/favicon.ico", methods=["GET", "HEAD"])
async def get_icon() -> FileResponse:
    """Return the icon that browsers request for pages which name none."""
    return FileResponse(PACKAGE_DIR / "viewer" / "icon.svg", headers=NO_CACHE)


@router.api_route("/viewer/demo.dat", methods=["GET", "HEAD"])
async def get_demo_recording() -> FileResponse:
    """Return the bundled recording, which the demo camera plays."""
    return FileResponse(DEMO_RECORDING, media_type="application/octet-stream", headers=NO_CACHE)
