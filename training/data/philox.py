"""TensorFlow's stateless random numbers for many seeds at once.

`tf.random.stateless_uniform` takes one seed a call; a call for each image of a batch takes longer
than all the rest of its augmentation. The generator is Philox 4x32-10 (Salmon et al. 2011).
"""

from __future__ import annotations

import numpy as np

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
INCREMENTS = (0x9E3779B9, 0xBB67AE85)
SEEDS_KEY = (0x3EC8F720, 0x02461E29)  # with which TensorFlow makes key and counter from a seed
LOW = np.uint64(0xFFFFFFFF)

Words = tuple[np.ndarray, ...]


def uniform(first: int, seconds: np.ndarray) -> np.ndarray:
    """`tf.random.stateless_uniform([4], (first, second), alg="philox")` for every second.

    Args:
        first: first half of the seed, 0 or more, below 2^31.
        seconds: second halves, [n], likewise.

    Returns:
        float32 [n, 4], in [0, 1).
    """
    seconds = np.asarray(seconds, np.uint64)
    zero = np.zeros_like(seconds)
    mixed = _philox((zero + np.uint64(first), zero, seconds, zero),
                    (zero + np.uint64(SEEDS_KEY[0]), zero + np.uint64(SEEDS_KEY[1])))  # fmt: skip
    words = np.stack(_philox((zero, zero, mixed[2], mixed[3]), mixed[:2]), axis=-1)
    # 23 bits become the fraction of a number in [1, 2).
    bits = (words & np.uint64(0x7FFFFF)).astype(np.uint32) | np.uint32(127 << 23)
    return bits.view(np.float32) - np.float32(1)


def _philox(counter: Words, key: Words) -> Words:
    """Ten rounds; 32-bit words in 64-bit arrays."""
    for _ in range(10):
        first = np.uint64(MULTIPLIERS[0]) * counter[0]
        second = np.uint64(MULTIPLIERS[1]) * counter[2]
        counter = (
            (second >> np.uint64(32)) ^ counter[1] ^ key[0], second & LOW,
            (first >> np.uint64(32)) ^ counter[3] ^ key[1], first & LOW,
        )  # fmt: skip
        key = tuple((k + np.uint64(i)) & LOW for k, i in zip(key, INCREMENTS, strict=True))
    return counter
