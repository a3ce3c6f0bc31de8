"""The LSTM (Hochreiter and Schmidhuber 1997; forget gate: Gers, Schmidhuber, Cummins 2000), as a learner in context.

    (i, f, g, o) = W_x token + W_h h + b,   c ← σ(f + 1) c + σ(i) tanh(g),   h ← σ(o) tanh(c),   logits = W h.

Two forms of tokens, as in `transformer.py`: `shifted` reads (x_j, y_{j-1}) and predicts from the new state (Kirsch
et al. 2022, arXiv 2212.04458). `paired` predicts from the state after (x_j, no label), then goes back and takes
(x_j, y_j) as its step. All that it can know of an episode is in c and h: 2 × hidden numbers.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from baselines.model import Count, Model, awaiting, matrix, previous, token
from gpicl_bench import Info


@dataclass(frozen=True)
class LstmConfig:
    """The size of an LSTM.

    Attributes:
        tokens: `shifted` or `paired`.
        hidden: of c and of h.
    """

    tokens: Literal["shifted", "paired"] = "shifted"
    hidden: Count = 256


class State(NamedTuple):
    """c and h; `x` is the example before, whose label is yet to come (with paired tokens; else empty)."""

    c: Float[Array, " hidden"]
    h: Float[Array, " hidden"]
    x: Float[Array, " D"]
    t: Int[Array, ""]


Cell = tuple[Float[Array, " hidden"], Float[Array, " hidden"]]


class Lstm(Model):
    """See the page above."""

    name = "lstm"
    Config = LstmConfig

    read: Float[Array, "token gates"]
    recur: Float[Array, "hidden gates"]
    bias: Float[Array, " gates"]
    head: Float[Array, "hidden C"]
    info: Info = eqx.field(static=True)
    config: LstmConfig = eqx.field(static=True)

    def __init__(self, info: Info, config: LstmConfig, *, key: Array):
        read, recur, head = jax.random.split(key, 3)
        self.info, self.config = info, config
        self.read = matrix(read, info.D + info.C, 4 * config.hidden)
        self.recur = matrix(recur, config.hidden, 4 * config.hidden)
        self.bias = jnp.zeros(4 * config.hidden)
        self.head = matrix(head, config.hidden, info.C)

    @property
    def max_examples(self) -> None:
        return None

    def __call__(self, x: Float[Array, "T D"], y: Int[Array, " T"]) -> Float[Array, "T C"]:
        start = self.init()

        def position(cell: Cell, gates: tuple[Array, Array]) -> tuple[Cell, Array]:
            asked, told = gates
            predicting = self._cell(cell, asked)
            after = predicting if self.config.tokens == "shifted" else self._cell(cell, told)
            return after, predicting[1]

        # What the gates take from the tokens does not depend on the state: one product for all positions.
        shown = previous(y) if self.config.tokens == "shifted" else jnp.full_like(y, -1)
        asked = token(x, shown, self.info.C) @ self.read
        told = asked if self.config.tokens == "shifted" else token(x, y, self.info.C) @ self.read
        _, h = jax.lax.scan(position, (start.c, start.h), (asked, told))
        return h @ self.head.astype(h.dtype)

    def init(self) -> State:
        zero = jnp.zeros(self.config.hidden)
        return State(zero, zero, awaiting(jnp.zeros(self.info.D), self.config.tokens), jnp.int32(0))

    def step(self, state: State, x: Float[Array, " D"], y_prev: Int[Array, ""]) -> tuple[State, Float[Array, " C"]]:
        cell = state.c, state.h
        if self.config.tokens == "shifted":
            cell = predicting = self._cell(cell, token(x, y_prev, self.info.C) @ self.read)
        else:
            told = self._cell(cell, token(state.x, y_prev, self.info.C) @ self.read)
            cell = jax.tree.map(lambda new, old: jnp.where(state.t > 0, new, old), told, cell)
            predicting = self._cell(cell, token(x, jnp.int32(-1), self.info.C) @ self.read)
        return State(*cell, awaiting(x, self.config.tokens), state.t + 1), predicting[1] @ self.head

    def _cell(self, cell: Cell, gates: Float[Array, " gates"]) -> Cell:
        """The equations; `gates` is what the token gives them. c and h are float32, whatever the products are."""
        c, h = cell
        i, f, g, o = jnp.split((gates + h.astype(gates.dtype) @ self.recur + self.bias).astype(jnp.float32), 4)
        c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return c, jax.nn.sigmoid(o) * jnp.tanh(c)


def make_learner(info: Info, checkpoint: str, form: str = "sequence") -> Any:
    """The learner of a checkpoint: `--learner-arg checkpoint=PATH`, and `--learner-arg form=step`."""
    from baselines.learner import restore

    return restore(Lstm, info, checkpoint, form)
