"""Random numbers out of counters: each is a function of its key, whatever else is drawn, wherever and when."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from nmt.sequences import Rows

DrawKeys = NDArray[np.uint64]

# The constants of SplitMix64.
_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def mix(keys: DrawKeys) -> DrawKeys:
    """Scatter 64-bit keys, so that neighbours have nothing in common (SplitMix64; Steele, Lea and Flood, 2014)."""
    mixed = keys + _STEP
    mixed = (mixed ^ (mixed >> np.uint64(30))) * _FIRST
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _SECOND
    return mixed ^ (mixed >> np.uint64(31))


def row_keys(rows: Rows, *, seed: int, stream: int) -> DrawKeys:
    """Give every row number a key of its own, which is another for every seed and stream."""
    root = mix(mix(np.array([seed % 2**64], dtype=np.uint64)) + np.uint64(stream))
    return mix(root + rows.astype(np.uint64))


def uniform(keys: DrawKeys) -> NDArray[np.float64]:
    """Turn mixed keys into numbers from [0, 1)."""
    return np.asarray((keys >> np.uint64(11)) * 2.0**-53)
