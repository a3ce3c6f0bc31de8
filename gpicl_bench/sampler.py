"""The tasks of `gpicl_bench/tasks.py` in JAX: the same bits under jit, vmap and scan, on any device.

Inside `jit` a 64-bit number is a uint32 array `[2]`, (high, low): JAX's default has no 64-bit integers.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float32, Int8, Int32, Integer, UInt8, UInt32

from gpicl_bench import tasks
from gpicl_bench.errors import InvalidArgument, check_integer
from gpicl_bench.streams import threefry2x32
from gpicl_bench.suite import Batch, Split

Pair = UInt32[Array, "2"]
Step = int | np.integer | np.ndarray | Integer[Array, ""] | Pair

_TASKS_AT_ONCE = 16  # projections in memory at a time, whatever the batch


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["pixels", "labels", "keys", "num_tasks"],
    meta_fields=["split", "batch_size"],
)
@dataclass(frozen=True)
class Sampler:
    """`sampler(step)` is meta-training batch number `step`: a pure function, and a pytree.

    Attributes:
        pixels: uint8 `[n, D]`, the images on the device.
        labels: int32 `[n]`.
        keys: uint32 `[2]` for each stream, by name.
        num_tasks: M as uint32, or None for an unbounded pool.
        split, batch_size: static.
    """

    pixels: Any  # an array each, or in its place what JAX puts into a pytree while it traces and compiles
    labels: Any
    keys: dict[str, Any]
    num_tasks: Any
    split: Split
    batch_size: int

    def __call__(self, step: Step) -> Batch:
        """The batch of a step ≥ 0: a Python integer, a traced int32 or uint32, or a pair (high, low)."""
        first = multiply64(_pair(step, self.batch_size), self.batch_size)
        slots = jax.vmap(partial(add64, first))(jnp.arange(self.batch_size, dtype=jnp.uint32))
        if self.num_tasks is None:
            task, episode = slots, jnp.zeros_like(slots)
        else:
            word = jax.vmap(lambda g: words(child_key(self.keys["slots"], g), 1)[0])(slots)
            low = below(word, self.num_tasks)
            task, episode = jnp.stack([jnp.zeros_like(low), low], axis=-1), slots
        return self.episodes(task, episode)

    def episodes(self, task: UInt32[Array, "B 2"], episode: UInt32[Array, "B 2"]) -> Batch:
        """Any episodes of any tasks, by their numbers."""
        x, y, label_map = lax.map(self._episode, (task, episode), batch_size=min(_TASKS_AT_ONCE, len(task)))
        return Batch(x, y, task, episode, label_map)

    def _episode(
        self, numbers: tuple[Pair, Pair]
    ) -> tuple[Float32[Array, "T D"], Int32[Array, " T"], Int32[Array, " C"]]:
        task, episode = numbers
        spec, known = self.split.spec, self.split.dataset
        key = child_key(child_key(self.keys["examples"], task), episode)
        indices = draw_indices(key, len(self.labels), spec.num_examples, known.replacement)
        pixels = self.pixels[indices]
        label_map = jnp.arange(known.num_classes, dtype=jnp.int32)
        if spec.label == "perm":
            label_map = stable_argsort(words(child_key(self.keys["label"], task), known.num_classes))
        if spec.input == "proj":
            whole = project(projection(child_key(self.keys["input"], task), known.dimension), pixels, known.center)
            scale = tasks.projection_scale(known.dimension, known.std)
        else:
            whole = pixels.astype(jnp.int32) - known.center
            scale = jnp.float32(1 / known.std)
            if spec.input == "pixperm":
                order = stable_argsort(words(child_key(self.keys["input"], task), known.dimension))
                whole = whole[:, order]
        x = seal(whole.astype(jnp.float32) * scale, whole, key)
        return x, label_map[self.labels[indices]], label_map


def make_sampler(split: Split, batch_size: int, num_tasks: int | None) -> Sampler:
    """The sampler of a split, its images on JAX's default device."""
    return Sampler(
        pixels=jnp.asarray(split.part.pixels),
        labels=jnp.asarray(split.part.labels, jnp.int32),
        keys={stream: jnp.asarray(split.key(stream)) for stream in ("input", "label", "examples", "slots")},
        num_tasks=None if num_tasks is None else jnp.uint32(num_tasks),
        split=split,
        batch_size=batch_size,
    )


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


def block(key: Pair, low: int | UInt32[Array, " n"]) -> tuple[Array, Array]:
    """Threefry at the counters (0, low)."""
    low = jnp.asarray(low, jnp.uint32)
    return threefry2x32((key[0], key[1]), (jnp.zeros_like(low), low))


def child_key(key: Pair, i: Pair) -> Pair:
    return jnp.stack(threefry2x32((key[0], key[1]), (i[0], i[1])))


def words(key: Pair, n: int) -> UInt32[Array, " n"]:
    return jnp.stack(block(key, jnp.arange((n + 1) // 2, dtype=jnp.uint32)), axis=-1).reshape(-1)[:n]


def random_bytes(key: Pair, n: int) -> UInt8[Array, " n"]:
    shifts = jnp.arange(0, 32, 8, dtype=jnp.uint32)[None, :]
    return (words(key, (n + 3) // 4)[:, None] >> shifts).astype(jnp.uint8).reshape(-1)[:n]


def projection(key: Pair, dimension: int) -> Int8[Array, "D D"]:
    return jnp.asarray(tasks.TABLE)[random_bytes(key, dimension * dimension)].reshape(dimension, dimension)


def project(matrix: Int8[Array, "D D"], pixels: UInt8[Array, "T D"], center: int) -> Int32[Array, "T D"]:
    """z = A_int · (p − center), exact: float32 sums where they are, else int32 sums."""
    operand = jnp.float32 if len(matrix) <= tasks.EXACT_IN_FLOAT32 else jnp.int32
    z = lax.dot_general(
        (pixels.astype(jnp.int32) - center).astype(operand),
        matrix.astype(operand),
        (((1,), (1,)), ((), ())),
        precision=lax.Precision.HIGHEST,
        preferred_element_type=operand,
    )
    return z.astype(jnp.int32)


def stable_argsort(values: UInt32[Array, " n"]) -> Int32[Array, " n"]:
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


def _pair(step: Step, batch_size: int) -> Pair:
    """A step as (high, low). What is known now is checked now; a traced step must be an integer ≥ 0."""
    if not isinstance(step, jax.core.Tracer) and np.ndim(step) == 0:
        value = check_integer("step", step, 0, 2**64 // batch_size - 1)
        return jnp.array([value >> 32, value & 0xFFFFFFFF], jnp.uint32)
    step = jnp.asarray(step)
    if step.shape == (2,) and step.dtype == jnp.uint32:
        return step
    if step.shape != () or not jnp.issubdtype(step.dtype, jnp.integer):
        raise InvalidArgument(
            "this is no step", expected="an integer, or uint32 [2]: (high, low)", got=f"{step.dtype} {step.shape}"
        )
    high = (step >> 32).astype(jnp.uint32) if step.dtype.itemsize == 8 else jnp.zeros((), jnp.uint32)
    return jnp.stack([high, step.astype(jnp.uint32)])
