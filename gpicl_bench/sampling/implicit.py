"""Implicit tasks: the law of the tasks of record without their projections, for meta-training on fresh tasks only.

For images X [T, D], standardised, and a matrix A of independent N(0, 1/D) entries, the columns of X·Aᵀ are independent
N(0, X·Xᵀ/D). So is each column of L·G, for any L with L·Lᵀ = X·Xᵀ/D and G [T, D] of independent standard normals: D²
random numbers and T·D² multiplications become T·D and 2·T²·D. No projection exists, so a task cannot be met again: it
has no number, and its x is not the same to the bit on another device.

The law is that of Gaussian entries. The entries of record are Gaussian to 8 bits: the mean and the covariance of x are
the same, higher moments differ by O(1/D).
"""

import math
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Float32, Int32, UInt32

from gpicl_bench.errors import InvalidArgument
from gpicl_bench.sampling.projection import chunked, unchunked
from gpicl_bench.sampling.sampler import Sampler, Step, divided, make_sampler
from gpicl_bench.sampling.words import Pair, block, child_key
from gpicl_bench.streams import root_key
from gpicl_bench.suite import ImplicitBatch, Split

_EPSILON = 3e-5  # of an image's own variance, added to it: float32 sums of 100 squares need it, and it is not seen
_UNROLL = 4  # episodes on their way at the same time: on a CPU one's factorisation beside another's products
_MIDDLE = (
    *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164),
    *(0.246640727, 1.50140941),
)
_TAIL = (
    *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047),
    *(1.00167406, 2.83297682),
)


@partial(jax.tree_util.register_dataclass, data_fields=["examples", "key"], meta_fields=[])
@dataclass(frozen=True)
class ImplicitSampler:
    """`sampler(step)` is a batch of implicit tasks: a pure function, and a pytree.

    Attributes:
        examples: draws images and label maps.
        key: of the normals, uint32 `[2]`.
    """

    examples: Sampler
    key: Any

    def __call__(self, step: Step) -> ImplicitBatch:
        """The batch of a step ≥ 0: a Python integer, a traced int32 or uint32, or a pair (high, low)."""
        return divided(ImplicitSampler._episodes, self.examples.mesh)(self, self.examples.numbers(step)[0])

    def _episodes(self, number: UInt32[Array, "B 2"]) -> ImplicitBatch:
        known = self.examples.split.dataset
        _, indices, y, label_map = self.examples.examples(number, jnp.zeros_like(number))

        def episode(rows: tuple[Any, Any]) -> Float32[Array, "T D"]:
            i, index = rows
            whole = self.examples.pixels[index].astype(jnp.int32) - known.center
            return implicit_inputs(child_key(self.key, i), whole.astype(jnp.float32) * (1 / known.std), index)

        at_once = self.examples.at_once(_UNROLL * 4 * indices.shape[1] * known.dimension * 4)
        chunks = chunked((number, indices), at_once)
        _, x = lax.scan(lambda carry, rows: (carry, jax.vmap(episode)(rows)), None, chunks, unroll=_UNROLL)
        return ImplicitBatch(unchunked(x, len(number)), y, label_map)


def implicit_inputs(key: Pair, images: Float32[Array, "T D"], index: Int32[Array, " T"]) -> Float32[Array, "T D"]:
    """L·G with L·Lᵀ = images·imagesᵀ/D and normals G; an image that comes again, by its index, has the same row again.

    ε of its variance, or of 1 where that is less, is added to that of each image: so L exists for repeated, collinear
    and blank images.
    """
    gram = lax.dot(images, images.T, precision=lax.Precision.HIGHEST) / images.shape[1]
    lower = jnp.linalg.cholesky(gram + jnp.diag(_EPSILON * jnp.maximum(jnp.diag(gram), 1.0)), symmetrize_input=False)
    first = jnp.argmax(index[:, None] == index[None, :], axis=1)
    return lax.dot(lower[first], standard_normals(key, *images.shape), precision=lax.Precision.HIGHEST)


def standard_normals(key: Pair, rows: int, columns: int) -> Float32[Array, "{rows} {columns}"]:
    """√2·erf⁻¹(u), u uniform on the odd multiples of 2^-24 between -1 and 1: no normal beyond 5.4."""
    row, column = (jnp.arange(n, dtype=jnp.uint32) for n in (rows, columns))
    drawn, _ = block(
        key, row[:, None] * columns + column[None, :]
    )  # both words would need an interleave, which costs more
    odd = 2 * (drawn >> 8).astype(jnp.int32) + (1 - 2**24)
    return math.sqrt(2) * inverse_erf(odd.astype(jnp.float32) / 2**24)


def inverse_erf(u: Float32[Array, "*n"]) -> Float32[Array, "*n"]:
    """erf⁻¹ in single precision (Giles, "Approximating the erfinv function", GPU Computing Gems, 2011).

    With log(1 - u²) where JAX's own erf_inv takes log1p(-u²): a relative error under 1e-6, and less time.
    """
    w = -jnp.log((1 - u) * (1 + u))
    return jnp.where(w < 5, _polynomial(_MIDDLE, w - 2.5), _polynomial(_TAIL, jnp.sqrt(w) - 3)) * u


def _polynomial(coefficients: tuple[float, ...], v: Any) -> Any:
    """Horner's scheme, the highest power first."""
    return reduce(lambda value, coefficient: value * v + coefficient, coefficients[1:], coefficients[0])


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
            hint="`sampler` has pools",
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
            "this suite has no projections that could be implicit", expected="…-proj-…", got=split.spec.id
        )
    name = f"gpicl-bench/implicit/{split.spec.id}/{split.task_set}"
    return ImplicitSampler(make_sampler(split, batch_size, None, mesh=mesh), jnp.asarray(root_key(name)))
