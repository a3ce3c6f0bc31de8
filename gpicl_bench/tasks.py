"""Input transforms, label transforms and episodes: pure functions of a key and of pixels.

This is the NumPy reference of protocol 1, written to be read. `gpicl_bench/sampling` computes the
same bits with JAX. Everything is an integer up to one last float32 multiplication.
"""

import math

import numpy as np
from jaxtyping import Float32, Int8, Int32, Int64, UInt8

from gpicl_bench.streams import Key, below, random_bytes, words

# round(20 · Φ⁻¹((b + 0.5) / 256)) for b = 128 … 255; the table is antisymmetric. Kept as integers, so
# that no mathematical library can change a task.
_UPPER_HALF = """
     0   0   0   1   1   1   1   1   2   2   2   2   2   3   3   3   3   3   4   4   4   4   4   5   5
     5   5   5   6   6   6   6   6   7   7   7   7   8   8   8   8   8   9   9   9   9   9  10  10  10
    10  11  11  11  11  11  12  12  12  12  13  13  13  13  14  14  14  14  15  15  15  15  16  16  16
    16  17  17  17  18  18  18  18  19  19  19  20  20  20  21  21  21  22  22  22  23  23  24  24  24
    25  25  26  26  27  27  28  28  29  29  30  30  31  32  32  33  34  35  36  37  38  39  40  42  44
    47  50  58
"""
_UPPER = np.array(_UPPER_HALF.split(), np.int8)
TABLE: Int8[np.ndarray, "256"] = np.concatenate([-_UPPER[::-1], _UPPER])
SIGMA = math.sqrt(int(np.square(TABLE.astype(np.int64)).sum()) / 256)

# Up to this many inputs no partial sum of A_int · (p − center) reaches 2^24, so float32 holds it exactly.
EXACT_IN_FLOAT32 = 3072


def projection(key: Key, dimension: int) -> Int8[np.ndarray, "D D"]:
    """A_int: normals of standard deviation SIGMA rounded to integers, -58 … 58, row by row."""
    return TABLE[random_bytes(key, dimension * dimension)].reshape(dimension, dimension)


def pixel_order(key: Key, dimension: int) -> Int64[np.ndarray, " D"]:
    """A uniformly random permutation: the stable ascending argsort of D words."""
    return np.argsort(words(key, dimension), kind="stable")


def label_map(key: Key, num_classes: int) -> Int32[np.ndarray, " C"]:
    """A uniformly random relabelling ρ: `label_map[label]` is the new label."""
    return np.argsort(words(key, num_classes), kind="stable").astype(np.int32)


def projection_scale(dimension: int, std: float) -> np.float32:
    """c = 1 / (σ·√D·std): turns A_int · (p − center) into A · (p − center) / std, A_ij ~ N(0, 1/D)."""
    return np.float32(1 / ((SIGMA * math.sqrt(dimension)) * std))


def project(
    matrix: Int8[np.ndarray, "D D"], pixels: UInt8[np.ndarray, "T D"], center: int
) -> Float32[np.ndarray, "T D"] | Int64[np.ndarray, "T D"]:
    """z = A_int · (p − center) for every row of pixels, exact, as whole numbers."""
    if matrix.shape[0] <= EXACT_IN_FLOAT32:
        shifted = pixels.astype(np.float32) - np.float32(center)
        return shifted @ matrix.T.astype(np.float32)
    wide = pixels.astype(np.float64) - center  # float64 sums are exact to 2^53, and BLAS is fast at them
    return (wide @ matrix.T.astype(np.float64)).astype(np.int64)


def standardise(pixels: UInt8[np.ndarray, "T D"], center: int, std: float) -> Float32[np.ndarray, "T D"]:
    """x = (p − center) / std, as one float32 multiplication by 1 / std."""
    return (pixels.astype(np.float32) - np.float32(center)) * np.float32(1 / std)


def draw_indices(key: Key, pool: int, num_examples: int, replacement: bool) -> Int32[np.ndarray, " T"]:
    """The images of an episode: `num_examples` of `pool`, by Fisher–Yates or with replacement.

    A shorter episode is a prefix of a longer one.
    """
    drawn = words(key, num_examples)
    if replacement:
        return below(drawn, pool).astype(np.int32)
    moved: dict[int, int] = {}  # the list 0 … pool-1, only where it was changed
    indices = np.empty(num_examples, np.int32)
    for t, word in enumerate(drawn.tolist()):
        j = t + (word * (pool - t) >> 32)
        indices[t] = moved.get(j, j)
        moved[j] = moved.get(t, t)
    return indices
