"""The outer-product LSTM: an LSTM whose cell is a matrix, written by outer products and read by inner products.

    (i, f, o; k, v, q) = W_x token + W_h h + b,
    C ← σ(f + 5) C + σ(i) tanh(v) k̂ᵀ,   h ← σ(o) tanh(C q̂),   logits = W h.

Kirsch et al. 2022 (arXiv 2212.04458) have it beside the LSTM to show that it is the size of the state that matters:
hidden² + hidden numbers for about as many weights. This form of it is ours, not theirs: k̂ and q̂ are k and q divided
by their lengths, as in linear attention with gates (compare the mLSTM: Beck et al. 2024, arXiv 2405.04517). One number
of i and of f belongs to one row of C. σ(5) keeps 99.3% a step: with the usual σ(1) an example is forgotten before the
next one of its class, and meta-training does not leave the plateau.

The tokens are those of `lstm.py`: `shifted` reads (x_j, y_{j-1}) and predicts from the new state; `paired` predicts
from the state after (x_j, no label), then goes back and takes (x_j, y_j) as its step.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from baselines.model import Count, Model, awaiting, matrix, previous, token, unit
from gpicl_bench import Info


@dataclass(frozen=True)
class OuterProductLstmConfig:
    """The size of an outer-product LSTM.

    Attributes:
        tokens: `shifted` or `paired`.
        hidden: rows and columns of C, and of h.
    """

    tokens: Literal["shifted", "paired"] = "paired"
    hidden: Count = 64


class Cell(NamedTuple):
    """What an outer-product LSTM carries, in float32."""

    C: Float[Array, "hidden hidden"]
    h: Float[Array, " hidden"]


class State(NamedTuple):
    """The cell; `x` is the example before, whose label is yet to come (with paired tokens; else empty)."""

    cell: Cell
    x: Float[Array, " D"]
    t: Int[Array, ""]


class OuterProductLstm(Model):
    """See the page above."""

    name = "outer_product_lstm"
    Config = OuterProductLstmConfig

    read: Float[Array, "token gates"]
    recur: Float[Array, "hidden gates"]
    bias: Float[Array, " gates"]
    head: Float[Array, "hidden C"]
    info: Info = eqx.field(static=True)
    config: OuterProductLstmConfig = eqx.field(static=True)

    def __init__(self, info: Info, config: OuterProductLstmConfig, *, key: Array):
        read, recur, head = jax.random.split(key, 3)
        self.info, self.config = info, config
        self.read = matrix(read, info.D + info.C, 6 * config.hidden)
        self.recur = matrix(recur, config.hidden, 6 * config.hidden)
        self.bias = jnp.zeros(6 * config.hidden)
        self.head = matrix(head, config.hidden, info.C)

    @property
    def max_examples(self) -> None:
        return None

    def __call__(self, x: Float[Array, "T D"], y: Int[Array, " T"]) -> Float[Array, "T C"]:
        def position(cell: Cell, gates: tuple[Array, Array]) -> tuple[Cell, Array]:
            asked, told = gates
            predicting = self._next(cell, asked)
            after = predicting if self.config.tokens == "shifted" else self._next(cell, told)
            return after, predicting.h

        # What the gates take from the tokens does not depend on the state: one product for all positions.
        shown = previous(y) if self.config.tokens == "shifted" else jnp.full_like(y, -1)
        asked = token(x, shown, self.info.C) @ self.read
        told = asked if self.config.tokens == "shifted" else token(x, y, self.info.C) @ self.read
        h = jax.lax.scan(position, self.init().cell, (asked, told))[1]
        return h @ self.head.astype(h.dtype)

    def init(self) -> State:
        n = self.config.hidden
        return State(
            Cell(jnp.zeros((n, n)), jnp.zeros(n)), awaiting(jnp.zeros(self.info.D), self.config.tokens), jnp.int32(0)
        )

    def step(self, state: State, x: Float[Array, " D"], y_prev: Int[Array, ""]) -> tuple[State, Float[Array, " C"]]:
        cell = state.cell
        if self.config.tokens == "shifted":
            cell = predicting = self._next(cell, token(x, y_prev, self.info.C) @ self.read)
        else:
            told = self._next(cell, token(state.x, y_prev, self.info.C) @ self.read)
            cell = jax.tree.map(lambda new, old: jnp.where(state.t > 0, new, old), told, cell)
            predicting = self._next(cell, token(x, jnp.int32(-1), self.info.C) @ self.read)
        return State(cell, awaiting(x, self.config.tokens), state.t + 1), predicting.h @ self.head

    def _next(self, cell: Cell, gates: Float[Array, " gates"]) -> Cell:
        """The equations; `gates` is what the token gives them."""
        gates = (gates + cell.h.astype(gates.dtype) @ self.recur + self.bias).astype(jnp.float32)
        i, f, o, k, v, q = jnp.split(gates, 6)
        write = jnp.outer(jax.nn.sigmoid(i) * jnp.tanh(v), unit(k))
        C = jax.nn.sigmoid(f + 5)[:, None] * cell.C + write
        return Cell(C, jax.nn.sigmoid(o) * jnp.tanh(C @ unit(q)))


def make_learner(info: Info, checkpoint: str, form: str = "sequence") -> Any:
    """The learner of a checkpoint: `--learner-arg checkpoint=PATH`, and `--learner-arg form=step`."""
    from baselines.learner import restore

    return restore(OuterProductLstm, info, checkpoint, form)
