"""Tiles: a row of pixels, several at a time, so that loaded weights are used for all of them."""

from collections.abc import Callable

from spikewatch.model.runtime.compiled.emitter import Emitter, Value


def for_tiles(k: Emitter, width: int, pixels: int, body: Callable[[Value, int], None]) -> None:
    """Emit body(x, n) for tiles of n = `pixels` over a row, in a loop, and for the rest of it."""
    whole, rest = divmod(width, pixels)
    if whole:
        k.loop(whole, lambda tile: body(k.mul(tile, pixels), pixels))
    if rest:
        body(k.number(whole * pixels), rest)
