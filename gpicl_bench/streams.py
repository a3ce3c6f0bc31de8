"""Random words: Threefry-2x32 in counter mode, and keys derived from names.

Nothing here has a state. A key is a uint32 array `[2]`; the word at a counter depends on the key and
the counter only, so any word of any stream can be computed alone, in any order, on any device.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
"""

import hashlib
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt32

from gpicl_bench.errors import check_integer

Key = UInt32[np.ndarray, "2"]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA
_LOW = 0xFFFFFFFF


def threefry2x32(
    key: tuple[UInt32[Any, "..."], UInt32[Any, "..."]],
    counter: tuple[UInt32[Any, "..."], UInt32[Any, "..."]],
) -> tuple[UInt32[Any, "..."], UInt32[Any, "..."]]:
    """Threefry-2x32 with 20 rounds: a bijection of the counters for every key.

    It uses operators only, so NumPy and JAX arrays are equally welcome. All four arguments are
    broadcast against each other. NumPy warns when a scalar overflows: pass arrays of rank 1 or more.
    """
    (k0, k1), (x0, x1) = key, counter
    schedule = (k0, k1, k0 ^ k1 ^ _PARITY)
    x0, x1 = x0 + k0, x1 + k1
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x0 = x0 + x1
            x1 = ((x1 << rotation) | (x1 >> (32 - rotation))) ^ x0
        x0 = x0 + schedule[(group + 1) % 3]
        x1 = x1 + schedule[(group + 2) % 3] + (group + 1)
    return x0, x1


def root_key(name: str) -> Key:
    """The key of a named stream: the first 8 bytes of SHA-256 of `name`, as two big-endian uint32."""
    digest = hashlib.sha256(name.encode()).digest()
    return np.frombuffer(digest[:8], dtype=">u4").astype(np.uint32)


def child_key(key: Key, i: int) -> Key:
    """The `i`-th child of a key, 0 ≤ i < 2^64.

    >>> child_key(root_key("doc"), 3).shape
    (2,)
    """
    i = check_integer("a number of a task or an episode", i, 0, 2**64 - 1)
    counter = np.array([i >> 32], np.uint32), np.array([i & _LOW], np.uint32)
    return np.concatenate(threefry2x32((key[:1], key[1:]), counter))


def words(key: Key, n: int) -> UInt32[np.ndarray, " n"]:
    """The first `n` words of a key: the results at counters (0, 0), (0, 1), …, two words each."""
    low = np.arange((n + 1) // 2, dtype=np.uint32)
    pairs = threefry2x32((key[:1], key[1:]), (np.zeros_like(low), low))
    return np.stack(pairs, axis=1).reshape(-1)[:n]


def random_bytes(key: Key, n: int) -> UInt8[np.ndarray, " n"]:
    """The first `n` bytes of a key: its words, least significant byte first."""
    return words(key, (n + 3) // 4).astype("<u4").view(np.uint8)[:n]


def below(word: UInt32[np.ndarray, "*n"], m: int) -> UInt32[np.ndarray, "*n"]:
    """`word * m >> 32`: an integer in [0, m) for 1 ≤ m ≤ 2^32, with a bias under m / 2^32."""
    return ((word.astype(np.uint64) * np.uint64(m)) >> np.uint64(32)).astype(np.uint32)
