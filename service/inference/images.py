"""Still pictures, PNG and JPEG: detected by content, limited in size."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from spikewatch.service.errors import BadRequest

IMAGE_SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
"""First bytes of PNG and JPEG files."""

MAX_PIXELS = 50_000_000

RgbImage = NDArray[np.uint8]


def is_image(path: Path) -> bool:
    """Return whether a file begins like a PNG or JPEG. Unreadable files return False."""
    try:
        with path.open("rb") as file:
            return file.read(8).startswith(IMAGE_SIGNATURES)
    except OSError:
        return False


def read_image(path: Path) -> RgbImage:
    """Return RGB, uint8 [H,W,3], rotated by its EXIF orientation.

    Raises:
        BadRequest: the picture is corrupt, or larger than MAX_PIXELS.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=("PNG", "JPEG")) as image:
                if image.width * image.height > MAX_PIXELS:
                    size = f"{image.width}x{image.height}"
                    raise BadRequest(f"{path.name}: {size} is too large; at most {MAX_PIXELS:,} pixels")
                return _to_rgb8(ImageOps.exif_transpose(image))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadRequest(f"{path.name}: not a readable picture ({error})") from error


def _to_rgb8(image: Image.Image) -> RgbImage:
    """Convert to 8-bit RGB: scale 16-bit grey down, put transparent pixels on white."""
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return np.stack([grey] * 3, axis=2)
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    return np.asarray(image.convert("RGB"))
