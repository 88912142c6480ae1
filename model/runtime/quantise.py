"""Quantisation of weights to signed bytes, in numpy, for all runtimes that multiply bytes."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
QuantisedPart = tuple[NDArray[np.int8], Floats]
"""Signed bytes [O,I,k,k] and their scales [O]."""

BYTE_LEVELS = 127
TWO_BYTE_LEVELS = 127 * 128 + 63


def quantise(weight: Floats, parts: int) -> list[QuantisedPart]:
    """Quantise a weight [O,I,k,k] to `parts` (1 or 2) pairs of signed bytes and scales.

    The sum of bytes times scales approximates the weight. One byte represents 8 bits of the largest weight
    of an output channel, two bytes 15 bits. Each channel uses the finest scale that fits, or the power of
    two above it if its error is not larger. So weights that are short binary fractions stay exact.
    """
    exact = weight.astype(np.float64)
    levels = BYTE_LEVELS if parts == 1 else TWO_BYTE_LEVELS
    finest = np.maximum(np.abs(exact).max((1, 2, 3), keepdims=True), 1e-12) / levels
    fraction, exponent = np.frexp(finest)
    whole = np.ldexp(1.0, exponent - (fraction == 0.5))
    error_of_finest, error_of_whole = (
        np.square(exact - np.round(exact / scale) * scale).sum((1, 2, 3), keepdims=True)
        for scale in (finest, whole)
    )
    scale = np.where(error_of_whole <= error_of_finest, whole, finest)
    steps = np.round(exact / scale)
    flat = scale.reshape(-1).astype(np.float32)
    if parts == 1:
        return [(steps.astype(np.int8), flat)]
    high = np.round(steps / 128)
    return [(high.astype(np.int8), flat * np.float32(128)), ((steps - high * 128).astype(np.int8), flat)]
