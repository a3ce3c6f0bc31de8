"""Projections, drawn and multiplied a few at a time, to the bits of `gpicl_bench/tasks.py`.

A task costs D² random bytes and one product of T·D² multiplications. To come near the cost of the product alone:

- the words are drawn as two planes `[D/8, D]`, one for each word of a block, and their bytes taken as eight planes, so
  that nothing is interleaved or transposed: together these planes are A_intᵀ with its rows in the order of
  `plane_order`, and the pixels stand in that order too;
- the table of normals is a rational function, rounded: it needs no gather, which not every processor has in vectors;
- the words of the next projections are carried through the loop that multiplies the present ones. What a loop
  carries is in memory: a compiler would otherwise draw the words again for each of the eight planes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Float32, Int32, Int64, UInt8, UInt32

from gpicl_bench import tasks
from gpicl_bench.sampling.words import Pair, block

_CERTAIN = 1134  # inputs up to which no partial sum reaches 2^24: 58 · 255 · 1134 < 2^24

Words = UInt32[Array, "2 *n"]


def plane_order(dimension: int) -> Int64[np.ndarray, " D"]:
    """The pixel of each row of `unfolded`."""
    if dimension % 8:
        return np.arange(dimension)
    return np.arange(dimension).reshape(-1, 8).T.reshape(-1)


def drawn(key: Pair, dimension: int) -> Words:
    """The words of a projection, those of block n at `[:, n]`, or, in planes, of block i·D/8 + q at `[:, q, i]`."""
    if dimension % 8:
        return jnp.stack(block(key, jnp.arange(-(-dimension * dimension // 8), dtype=jnp.uint32)))
    q, i = (jnp.arange(n, dtype=jnp.uint32) for n in (dimension // 8, dimension))
    return jnp.stack(block(key, i[None, :] * (dimension // 8) + q[:, None]))


def unfolded(words: Words, dimension: int) -> Float32[Array, "D D"]:
    """A_intᵀ, its rows in `plane_order`."""
    shifts = jnp.arange(0, 32, 8, dtype=jnp.uint32).reshape(1, 4, *[1] * (words.ndim - 1))
    entries = normal((words[:, None] >> shifts).astype(jnp.uint8))
    if dimension % 8:
        return jnp.moveaxis(entries, 2, 0).reshape(-1)[: dimension * dimension].reshape(dimension, dimension).T
    return entries.reshape(dimension, dimension)


def normal(byte: UInt8[Array, "*n"]) -> Float32[Array, "*n"]:
    """`tasks.TABLE[byte]`: a rational approximation of 20 · Φ⁻¹ that stays 0.004 away from every half, rounded."""
    q = (byte.astype(jnp.float32) - 127.5) / 128
    s = q * q
    above = 25.025988 - 32.516504 * s + 8.156083 * s * s
    return jnp.rint(q * above / (1 - 1.559770 * s + 0.570191 * s * s))


def product(whole: Float[Array, "T D"], weights: Float[Array, "D D"]) -> Int32[Array, "T D"]:
    """z = whole · weights, exact: float32 sums where they are, else int32 sums of those.

    Exact in any order and from float32 or bfloat16 operands: whole numbers up to 256 in size have 8 bits.
    """
    dimension = len(weights)
    size = dimension if dimension <= tasks.EXACT_IN_FLOAT32 else _CERTAIN
    parts = [
        lax.dot(
            whole[:, n : n + size],
            weights[n : n + size],
            precision=lax.Precision.HIGHEST,
            preferred_element_type=jnp.float32,
        ).astype(jnp.int32)
        for n in range(0, dimension, size)
    ]
    return sum(parts[1:], parts[0])


def seal(x: Float32[Array, "T D"], whole: Int32[Array, "T D"], key: Pair) -> Float32[Array, "T D"]:
    """x itself, in a form that no compiler can merge with what is computed from it.

    XLA contracts a multiplication and the addition that follows it into one rounding (an FMA), and
    reassociates products; `lax.optimization_barrier` is gone before that happens. Here the bits of x
    are combined with a mask that is always zero, because Threefry is a bijection of its counters for any
    key: two counters never give the same block. No compiler knows that. The key depends on all of the
    whole numbers that x was made of, so the mask is not known before x is, even if everything else is constant.
    """
    key = key ^ whole.sum(dtype=jnp.int32).astype(jnp.uint32)
    (a0, b0), (a1, b1) = block(key, 0), block(key, 1)
    never = ((a0 == a1) & (b0 == b1)).astype(jnp.uint32)
    bits = lax.bitcast_convert_type(x, jnp.uint32) ^ never
    return lax.bitcast_convert_type(bits, jnp.float32)


def over_drawn(
    keys: UInt32[Array, "B 2"],
    dimension: int,
    at_once: int,
    function: Callable[..., Any],
    *arrays: Any,
) -> Any:
    """`function(weights, *rows)` for the projection of each key and the rows of the arrays, stacked.

    No more than `at_once` projections exist at a time, and the words of as many.
    """
    length = len(keys)
    keys, *parts = chunked((keys, *arrays), at_once)
    draw = jax.vmap(partial(drawn, dimension=dimension))

    def turn(words: Any, rows: tuple[Any, ...]) -> tuple[Any, Any]:
        following, *rest = rows
        weights = jax.vmap(partial(unfolded, dimension=dimension))(words)
        return draw(following), jax.vmap(function)(weights, *rest)

    return unchunked(lax.scan(turn, draw(keys[0]), (jnp.roll(keys, -1, axis=0), *parts))[1], length)


def mapped(function: Callable[..., Any], at_once: int, *arrays: Any, unroll: int = 1) -> Any:
    """`function(*rows)` for the rows of the arrays, stacked, `at_once` at a time and `unroll` times on their way."""

    def turn(_: None, rows: tuple[Any, ...]) -> tuple[None, Any]:
        return None, jax.vmap(function)(*rows)

    return unchunked(lax.scan(turn, None, chunked(arrays, at_once), unroll=unroll)[1], len(arrays[0]))


def chunked(arrays: Any, most: int) -> Any:
    """Arrays `[B, …]` as `[chunks, size, …]`, size ≤ most; if none divides B well, the last row is repeated."""
    length = len(jax.tree.leaves(arrays)[0])
    size = max(n for n in range(1, min(most, length) + 1) if length % n == 0)
    if 2 * size <= min(most, length):
        size = -(-length // -(-length // most))
    rows = np.minimum(np.arange(-(-length // size) * size), length - 1)
    return jax.tree.map(lambda a: (a if len(rows) == length else a[rows]).reshape(-1, size, *a.shape[1:]), arrays)


def unchunked(arrays: Any, length: int) -> Any:
    """The inverse of `chunked`."""
    return jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:])[:length], arrays)
