"""Colours of pictures: events in cold tones, so that boxes and text keep the warm ones for themselves."""

from collections.abc import Mapping
from types import MappingProxyType
from zlib import crc32

Colour = tuple[int, int, int]
"""Red, green, blue, 0 to 255."""

GROUND: Colour = (13, 17, 23)
ON: Colour = (214, 232, 250)
OFF: Colour = (58, 104, 168)
BOTH: Colour = (250, 250, 250)
STRIP: Colour = (22, 27, 34)
TEXT: Colour = (230, 237, 243)
BANNER: Colour = (240, 228, 66)

LABEL_COLOURS: Mapping[str, Colour] = MappingProxyType(
    {"car": (240, 160, 20), "pedestrian": (0, 200, 140), "person": (0, 200, 140)}
)
"""Orange and bluish green, after Okabe and Ito's palette, which the colour-blind can tell apart."""

OTHER_COLOURS: tuple[Colour, ...] = ((204, 121, 167), (213, 94, 0), (240, 228, 66), (120, 190, 255))
"""Purple, vermilion, yellow and sky blue of the same palette, for all other labels."""


def label_colour(label: str) -> Colour:
    """The colour of a class; labels without one of their own share the rest of the palette."""
    if label in LABEL_COLOURS:
        return LABEL_COLOURS[label]
    return OTHER_COLOURS[crc32(label.encode()) % len(OTHER_COLOURS)]
