"""What every meta-trained model is: one episode in, logits out, in a sequence form and in a step form."""

from abc import abstractmethod
from typing import Annotated, Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree
from pydantic import Field

from gpicl_bench import Info

Count = Annotated[int, Field(ge=1, lt=2**31)]


class Model(eqx.Module):
    """A model for D inputs and C classes. `Config` is a frozen dataclass; both forms give the same logits.

    `Model(info, config, key=key)` draws the weights. Everything that is an array is trained.
    """

    name: ClassVar[str]
    Config: ClassVar[type]
    any_shape: ClassVar[bool] = False  # whether the weights of one D and C are weights for another

    @property
    @abstractmethod
    def max_examples(self) -> int | None:
        """The longest episode it can take; None: any length."""

    @abstractmethod
    def __call__(self, x: Float[Array, "T D"], y: Int[Array, " T"]) -> Float[Array, "T C"]:
        """Logits for every position of one episode; those at t depend on x up to t and on y before t."""

    @abstractmethod
    def init(self) -> PyTree[Array]:
        """The state before the first example."""

    @abstractmethod
    def step(
        self, state: Any, x: Float[Array, " D"], y_prev: Int[Array, ""]
    ) -> tuple[PyTree[Array], Float[Array, " C"]]:
        """One example further; `y_prev` is the label of the example before, -1 at first."""


def skeleton(kind: type[Model], info: Info, config: Any) -> tuple[PyTree[jax.ShapeDtypeStruct], PyTree[Any]]:
    """A model without its numbers: the shapes of its weights, and the rest; `equinox.combine` puts them together."""
    model = eqx.filter_eval_shape(lambda key: kind(info, config, key=key), jax.random.key(0))
    return eqx.partition(model, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))


def state_bytes(kind: type[Model], info: Info, config: Any) -> int:
    """What the step form carries from one example to the next, in bytes; a cache is counted at its full length, T."""
    state = eqx.filter_eval_shape(lambda key: kind(info, config, key=key).init(), jax.random.key(0))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def previous(y: Int[Array, " T"]) -> Int[Array, " T"]:
    """y_{j-1} at j, and -1, no label, at first."""
    return jnp.concatenate([jnp.full_like(y[:1], -1), y[:-1]])


def awaiting(x: Float[Array, " D"], tokens: str) -> Float[Array, " n"]:
    """What a state keeps of the example whose label is yet to come: paired tokens need it, shifted ones nothing."""
    return x if tokens == "paired" else x[:0]


def token(x: Float[Array, "*n D"], y: Int[Array, "*n"], num_classes: int) -> Float[Array, "*n token"]:
    """x beside the one-hot code of y; all zeros for -1."""
    return jnp.concatenate([x, jax.nn.one_hot(y, num_classes, dtype=x.dtype)], axis=-1)


def matrix(key: Array, rows: int, columns: int) -> Float[Array, "rows columns"]:
    """Independent N(0, 1/rows) entries, so that h @ W has the scale of h."""
    return jax.random.normal(key, (rows, columns)) / jnp.sqrt(jnp.float32(rows))


def unit(a: Float[Array, "*n head"]) -> Float[Array, "*n head"]:
    """a / |a|, in float32; the zero vector stays."""
    wide = a.astype(jnp.float32)
    return (wide * jax.lax.rsqrt(jnp.square(wide).sum(axis=-1, keepdims=True) + 1e-6)).astype(a.dtype)
