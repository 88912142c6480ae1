"""The live viewer: plain files from the package."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

PACKAGE = Path(__file__).parents[1]
DEMO_RECORDING = PACKAGE / "assets" / "street_td.dat"

router = APIRouter(include_in_schema=False)
files = StaticFiles(directory=PACKAGE / "viewer")


@router.get("/")
async def page() -> FileResponse:
    """The viewer."""
    return FileResponse(PACKAGE / "viewer" / "index.html")


@router.get("/viewer/demo.dat")
async def demo() -> FileResponse:
    """The bundled recording, for the demo camera."""
    return FileResponse(DEMO_RECORDING, media_type="application/octet-stream")
