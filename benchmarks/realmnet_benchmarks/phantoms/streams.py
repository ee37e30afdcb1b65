"""Named random streams: one independent generator per noun, so that adding a noun moves no other.

Every random number of a phantom comes from a stream named by what it decides ("arcades of this
patient's right eye"). Drawing one more number for the lids therefore never changes the vessels.
"""

from __future__ import annotations

import zlib

import numpy as np

Key = int | str


def stream(*keys: Key) -> np.random.Generator:
    """Open the generator that belongs to a name.

    Args:
        *keys: non-negative integers and words; the same sequence always gives the same numbers.

    Returns:
        A generator independent of those of every other sequence of keys.
    """
    words = [key if isinstance(key, int) else zlib.crc32(key.encode()) for key in keys]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
