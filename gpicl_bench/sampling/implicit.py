"""Implicit tasks: the law of the tasks of record without their projections, for meta-training on fresh tasks only.

For images X [T, D], standardised, and a matrix A of independent N(0, 1/D) entries, the columns of X·Aᵀ are independent
N(0, X·Xᵀ/D). So is each column of L·G, for any L with L·Lᵀ = X·Xᵀ/D and G [T, D] of independent standard normals: D²
random numbers and T·D² multiplications become T·D and 2·T²·D. No projection exists, so a task cannot be met again: it
has no number, and its x is not the same to the bit on another device.

The law is that of Gaussian entries. The entries of record are Gaussian to 8 bits: the mean and the covariance of x are
the same, higher moments differ by O(1/D).
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float32, Int32, UInt32

from gpicl_bench.errors import InvalidArgument
from gpicl_bench.sampling.projection import mapped
from gpicl_bench.sampling.sampler import Sampler, Step, divided, make_sampler, placed
from gpicl_bench.sampling.words import Pair, block
from gpicl_bench.streams import root_key
from gpicl_bench.suite import ImplicitBatch, Split

_EPSILON = 3e-5  # of an image's own variance, added to it: float32 sums of 100 squares need it, and it is not seen
_UNROLL = 4  # episodes on their way at the same time: on a CPU one's factorisation beside another's products


@partial(jax.tree_util.register_dataclass, data_fields=["examples"], meta_fields=[])
@dataclass(frozen=True)
class ImplicitSampler:
    """`sampler(step)` is a batch of implicit tasks: a pure function, and a pytree.

    Attributes:
        examples: draws images and label maps; its keys are of streams of their own, `input` for the normals.
    """

    examples: Sampler

    def __call__(self, step: Step) -> ImplicitBatch:
        """The batch of a step ≥ 0: a Python integer, a traced int32 or uint32, or a pair (high, low)."""
        return divided(ImplicitSampler._episodes, self.examples.mesh)(self, self.examples.numbers(step)[0])

    def _episodes(self, number: UInt32[Array, "B 2"]) -> ImplicitBatch:
        examples, known = self.examples, self.examples.split.dataset
        _, indices, y, label_map = examples.examples(number, jnp.zeros_like(number))

        def episode(key: Any, index: Any) -> Float32[Array, "T D"]:
            return implicit_inputs(key, examples.whole(index).astype(jnp.float32) * (1 / known.std), index)

        at_once = examples.at_once(_UNROLL * 4 * indices.shape[1] * known.dimension * 4)
        x = mapped(episode, at_once, examples.projection_keys(number), indices, unroll=_UNROLL)
        return ImplicitBatch(x, y, label_map)


def implicit_inputs(key: Pair, images: Float32[Array, "T D"], index: Int32[Array, " T"]) -> Float32[Array, "T D"]:
    """L·G with L·Lᵀ = images·imagesᵀ/D and normals G; where an index comes again, the same row."""
    return lax.dot(factor(images, index), standard_normals(key, *images.shape), precision=lax.Precision.HIGHEST)


def factor(images: Float32[Array, "T D"], index: Int32[Array, " T"]) -> Float32[Array, "T T"]:
    """L with L·Lᵀ = images·imagesᵀ/D; where an index comes again, the same row.

    ε of its own, or of 1 where that is less, is added to the variance of each image, since the matrix of repeated,
    collinear or blank images has no factor in float32. Where ε does not do, ten times as much is tried.
    """
    gram = lax.dot(images, images.T, precision=lax.Precision.HIGHEST) / images.shape[1]
    size = jnp.diag(jnp.maximum(jnp.diag(gram), 1.0))

    def attempt(epsilon: Any) -> tuple[Any, Any]:
        return 10 * epsilon, jnp.linalg.cholesky(gram + epsilon * size, symmetrize_input=False)

    def failed(state: tuple[Any, Any]) -> Any:
        return jnp.isnan(state[1][-1, -1])  # of a failed factorisation all is NaN

    lower = lax.while_loop(failed, lambda state: attempt(state[0]), attempt(jnp.float32(_EPSILON)))[1]
    return lower[jnp.argmax(index[:, None] == index[None, :], axis=1)]


def standard_normals(key: Pair, rows: int, columns: int) -> Float32[Array, "{rows} {columns}"]:
    """A normal for each block of two words: the sum of four uniforms of 16 bits, and a function that makes it normal.

    The method of Teichroew (Knuth, The Art of Computer Programming 2, 3.4.1) with a rational function, fitted to
    Φ⁻¹(F(t)), F the distribution of such a sum t from -1 to 1: no probability is off by more than 0.0006, the variance
    is 1 within 10⁻⁶, and the largest is 6.6. That is finer than the 8 bits of the projections of record.
    """
    row, column = (jnp.arange(n, dtype=jnp.uint32) for n in (rows, columns))
    first, second = block(key, row[:, None] * columns + column[None, :])
    total = (first & 0xFFFF) + (first >> 16) + (second & 0xFFFF) + (second >> 16)
    t = (total.astype(jnp.int32) - 2 * 0xFFFF).astype(jnp.float32) / 2**17
    s = t * t
    return t * (3.341815 - 5.518442 * s + 2.212333 * s * s) / (1 - 1.761997 * s + 0.767372 * s * s)


def make_implicit_sampler(split: Split, batch_size: int, num_tasks: int | None, mesh: Mesh | None) -> ImplicitSampler:
    """The implicit sampler of a split.

    Raises:
        InvalidArgument: as `Split.implicit_sampler` does.
    """
    if num_tasks is not None:
        raise InvalidArgument(
            "implicit tasks have no finite pool: none can be met again",
            expected="num_tasks=None",
            got=f"num_tasks={num_tasks}",
            hint="leave num_tasks away, or take `sampler`, which has pools",
        )
    if split.name != "meta_train":
        raise InvalidArgument(
            "implicit tasks are for meta-training alone: they are not the tasks of record",
            expected="meta_train",
            got=split.name,
            hint="`sampler` and `episode` have the tasks of this split",
        )
    if split.spec.input != "proj":
        raise InvalidArgument(
            "this suite has no projections that could be implicit",
            expected="…-proj-…",
            got=split.spec.id,
            hint="take `sampler`: without projections it is as fast",
        )
    exact = make_sampler(split, batch_size, None, mesh=mesh)
    name = f"gpicl-bench/implicit/{split.spec.id}/{split.task_set}"
    keys = {stream: placed(root_key(f"{name}/{stream}"), mesh) for stream in ("input", "label", "examples")}
    return ImplicitSampler(replace(exact, keys=keys))
