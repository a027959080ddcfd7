"""TensorFlow's stateless random numbers for many seeds at once.

`tf.random.stateless_uniform` takes one seed per call. One call for each image of a batch would take
longer than the rest of the augmentation. The generator is Philox 4x32-10 (Salmon et al. 2011).
"""

from __future__ import annotations

import numpy as np

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
INCREMENTS = (0x9E3779B9, 0xBB67AE85)
SEEDS_KEY = (0x3EC8F720, 0x02461E29)  # TensorFlow uses it to turn a seed into key and counter
LOW, WORD = np.uint64(0xFFFFFFFF), np.uint64(32)

Words = tuple[np.ndarray, ...]


def uniform(first: int, seconds: np.ndarray, count: int = 4) -> np.ndarray:
    """Return `tf.random.stateless_uniform([count], (first, second), alg="philox")` per second.

    Args:
        first: first half of the seed, in [0, 2^31).
        seconds: second halves of n seeds, [n], each in [0, 2^31).
        count: number of values for each seed.

    Returns:
        float32 [n, count], in [0, 1).
    """
    seconds = np.asarray(seconds)
    return _unit(_words(np.full(seconds.shape, first), seconds, count))


def normal(first: int, seconds: np.ndarray, count: int) -> np.ndarray:
    """Return `tf.random.stateless_normal` for each seed `stateless_fold_in((first, second), 1)`.

    That seed is (w, 1), where w is the first random word of the seed (first, second); see
    `tf.random.experimental.stateless_fold_in`. Uses Box and Muller's method.

    Returns:
        float32 [n, count]; sine, cosine and logarithm may be rounded differently.
    """
    seconds = np.asarray(seconds)
    words = _words(np.full(seconds.shape, first), seconds, 1)[:, 0]
    folded = words.astype(np.uint32).view(np.int32).astype(np.int64)
    pairs = _unit(_words(folded, np.ones_like(folded), count + count % 2))
    length = np.sqrt(-2 * np.log(np.maximum(pairs[:, ::2], np.float32(1e-7))))
    angle = np.float32(2 * np.pi) * pairs[:, 1::2]
    both = np.stack([np.sin(angle) * length, np.cos(angle) * length], axis=-1)
    return both.reshape(len(seconds), -1)[:, :count]


def _words(first: np.ndarray, second: np.ndarray, count: int) -> np.ndarray:
    """Return 32-bit words in 64-bit integers, [n, count], of seeds of two 64-bit integers."""
    first, second = (np.asarray(each, np.int64).view(np.uint64) for each in (first, second))
    counter = (first & LOW, first >> WORD, second & LOW, second >> WORD)
    zero = np.zeros_like(first)
    mixed = _philox(counter, tuple(zero + np.uint64(key) for key in SEEDS_KEY))
    blocks = np.arange(-(-count // 4), dtype=np.uint64)[:, None]
    counters = tuple(np.broadcast_arrays(blocks, zero, mixed[2], mixed[3]))
    words = np.stack(_philox(counters, mixed[:2]), axis=-1)
    return words.swapaxes(0, 1).reshape(len(first), 4 * len(blocks))[:, :count]


def _unit(words: np.ndarray) -> np.ndarray:
    """Return numbers in [0, 1): 23 bits become the fraction of a number in [1, 2)."""
    bits = (words & np.uint64(0x7FFFFF)).astype(np.uint32) | np.uint32(127 << 23)
    return bits.view(np.float32) - np.float32(1)


def _philox(counter: Words, key: Words) -> Words:
    """Return the words after ten rounds; 32-bit words in 64-bit arrays."""
    for _ in range(10):
        first = np.uint64(MULTIPLIERS[0]) * counter[0]
        second = np.uint64(MULTIPLIERS[1]) * counter[2]
        counter = (
            (second >> WORD) ^ counter[1] ^ key[0],
            second & LOW,
            (first >> WORD) ^ counter[3] ^ key[1],
            first & LOW,
        )
        key = tuple((k + np.uint64(i)) & LOW for k, i in zip(key, INCREMENTS, strict=True))
    return counter
