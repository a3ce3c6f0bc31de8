"""The streams of `gpicl_bench/streams.py` in JAX, and the arithmetic of 64-bit numbers in two words."""

from functools import partial

import jax.numpy as jnp
from jaxtyping import Array, Int32, UInt32

from gpicl_bench.streams import threefry2x32

Pair = UInt32[Array, "2"]


def block(key: Pair, low: int | UInt32[Array, "*n"]) -> tuple[UInt32[Array, "*n"], UInt32[Array, "*n"]]:
    """Threefry at the counters (0, low)."""
    low = jnp.asarray(low, jnp.uint32)
    return threefry2x32((key[0], key[1]), (jnp.zeros_like(low), low))


def child_key(key: Pair, i: Pair) -> Pair:
    """The `i`-th child of a key."""
    return jnp.stack(threefry2x32((key[0], key[1]), (i[0], i[1])))


def words(key: Pair, n: int) -> UInt32[Array, " n"]:
    """The first `n` words of a key."""
    return jnp.stack(block(key, jnp.arange((n + 1) // 2, dtype=jnp.uint32)), axis=-1).reshape(-1)[:n]


def stable_argsort(values: UInt32[Array, " n"]) -> Int32[Array, " n"]:
    """The positions of the values in ascending order."""
    return jnp.argsort(values, stable=True).astype(jnp.int32)


def draw_indices(key: Pair, pool: int, num_examples: int, replacement: bool) -> Int32[Array, " T"]:
    """Fisher–Yates without the list: only entries that an earlier step moved differ from 0 … pool-1.

    Step s moved the entry at s to the place j[s]. So what stands at a place before step t is what the
    last step s < t with j[s] = place found at s, which is found the same way. Following these links by
    doubling takes log2(T) rounds.
    """
    drawn = words(key, num_examples)
    if replacement:
        return below(drawn, jnp.uint32(pool)).astype(jnp.int32)
    t = jnp.arange(num_examples, dtype=jnp.int32)
    j = t + below(drawn, (pool - t).astype(jnp.uint32)).astype(jnp.int32)
    earlier = t[None, :] < t[:, None]
    last = partial(jnp.max, axis=1, initial=-1)
    link = last(jnp.where(earlier & (j[None, :] == t[:, None]), t[None, :], -1))
    source = last(jnp.where(earlier & (j[None, :] == j[:, None]), t[None, :], -1))
    root = jnp.where(link < 0, t, link)
    for _ in range(max(num_examples - 1, 1).bit_length()):
        root = root[root]
    return jnp.where(source < 0, j, root[source])


def below(word: UInt32[Array, "*n"], m: UInt32[Array, "*n"] | UInt32[Array, ""]) -> UInt32[Array, "*n"]:
    """The high 32 bits of word · m, from 16-bit halves."""
    return _multiply32(word, m)[0]


def multiply64(a: Pair, b: int) -> Pair:
    """a · b mod 2^64, 0 ≤ b < 2^32."""
    high, low = _multiply32(a[1], jnp.uint32(b))
    return jnp.stack([high + a[0] * jnp.uint32(b), low])


def add64(a: Pair, b: UInt32[Array, ""]) -> Pair:
    """a + b mod 2^64."""
    low = a[1] + b
    return jnp.stack([a[0] + (low < b).astype(jnp.uint32), low])


def _multiply32(a: UInt32[Array, "*n"], b: Array) -> tuple[UInt32[Array, "*n"], UInt32[Array, "*n"]]:
    """High and low words of a 32 × 32 bit product."""
    a0, a1, b0, b1 = a & 0xFFFF, a >> 16, b & 0xFFFF, b >> 16
    middle = a1 * b0 + ((a0 * b0) >> 16)  # < 2^32
    carry = (middle & 0xFFFF) + a0 * b1  # < 2^32
    return a1 * b1 + (middle >> 16) + (carry >> 16), a * b
