"""VSML: a grid of LSTMs that share one small set of weights and send each other messages.

Variable Shared Meta Learning (Kirsch and Schmidhuber 2021, arXiv 2012.14905; as a learner in context: Kirsch et al.
2022, arXiv 2212.04458). Every pair of a class b and an input a is an LSTM with its own h_ba and c_ba. In a tick each
one reads the message of its row and that of its column, which carry the input and the label in their first numbers:

    r_a = U mean_b(h_ba) + u + x_a e₁,   s_b = 3 V mean_a(h_ba) + v + y_b e₁,
    (i, f, g, o) = W_h h_ba + W_r r_a + W_s s_b + w,
    c_ba ← σ(f + 1) c_ba + σ(i) tanh(g),   h_ba ← σ(o) tanh(c_ba).

r runs backward, from the classes to the inputs, and s forward, from the inputs to the classes: the logit of class b is
20 times the first number of 3 V mean_a(h_ba) + v. 3 and 20 are ours. An example takes `ticks` ticks with x_j and no
label, y = 0; there its prediction is read; then one tick with x_j and the code of y_j. No weight knows its a or b:
relabelled examples are predicted relabelled, permuted inputs change nothing, and the weights of one D and C run on
another. The state is the grid: 2 × hidden × C × D numbers.

W_h h_ba is all that is computed cell by cell: W_r r_a is computed once a row, W_s s_b once a column, and U and V act on
means. Neighbours in memory are inputs of one number of one class, so that elementwise work is on contiguous numbers.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from baselines.model import Count, Model, matrix
from gpicl_bench import Info

# Messages come back to all cells. Louder at first, they are chaos: gradients explode. Quieter, and learning comes late.
MESSAGES, LOGITS = 3.0, 20.0


@dataclass(frozen=True)
class VsmlConfig:
    """The size of a cell of VSML.

    Attributes:
        tokens: `paired`.
        hidden: of c and of h of each cell.
        messages: numbers in a message.
        ticks: of an example before its prediction; one more follows with the label.
    """

    tokens: Literal["paired"] = "paired"
    hidden: Count = 16
    messages: Count = 8
    ticks: Count = 1


class Grid(NamedTuple):
    """What all cells carry."""

    h: Float[Array, "hidden C D"]
    c: Float[Array, "hidden C D"]


class State(NamedTuple):
    """The grid after the last prediction; `x` is its example, whose label is yet to come."""

    grid: Grid
    x: Float[Array, " D"]
    t: Int[Array, ""]


class Vsml(Model):
    """See the page above."""

    name = "vsml"
    Config = VsmlConfig
    any_shape = True

    recur: Float[Array, "gates hidden"]
    row: Float[Array, "gates messages"]
    column: Float[Array, "gates messages"]
    bias: Float[Array, " gates"]
    backward: Float[Array, "messages hidden"]
    backward_bias: Float[Array, " messages"]
    forward: Float[Array, "messages hidden"]
    forward_bias: Float[Array, " messages"]
    info: Info = eqx.field(static=True)
    config: VsmlConfig = eqx.field(static=True)

    def __init__(self, info: Info, config: VsmlConfig, *, key: Array):
        keys, n, m = jax.random.split(key, 5), config.hidden, config.messages
        self.info, self.config = info, config
        self.recur = matrix(keys[0], n, 4 * n).T
        self.row, self.column = (matrix(k, m, 4 * n).T for k in keys[1:3])
        self.backward, self.forward = (matrix(k, n, m).T for k in keys[3:])
        self.bias, self.backward_bias, self.forward_bias = jnp.zeros(4 * n), jnp.zeros(m), jnp.zeros(m)

    @property
    def max_examples(self) -> None:
        return None

    def __call__(self, x: Float[Array, "T D"], y: Int[Array, " T"]) -> Float[Array, "T C"]:
        @jax.checkpoint  # the gates of all cells are four times the grid: they are computed again on the way back
        def position(grid: Grid, example: tuple[Array, Array]) -> tuple[Grid, Array]:
            x, y = example
            grid, logits = self._predict(grid, x)
            return self._tick(grid, x, y), logits

        return jax.lax.scan(position, self.init().grid, (x, y))[1]

    def init(self) -> State:
        zero = jnp.zeros((self.config.hidden, self.info.C, self.info.D))
        return State(Grid(zero, zero), jnp.zeros(self.info.D), jnp.int32(0))

    def step(self, state: State, x: Float[Array, " D"], y_prev: Int[Array, ""]) -> tuple[State, Float[Array, " C"]]:
        told = self._tick(state.grid, state.x, y_prev)
        grid = jax.tree.map(lambda new, old: jnp.where(state.t > 0, new, old), told, state.grid)
        grid, logits = self._predict(grid, x)
        return State(grid, x, state.t + 1), logits

    def _predict(self, grid: Grid, x: Float[Array, " D"]) -> tuple[Grid, Float[Array, " C"]]:
        for _ in range(self.config.ticks):
            grid = self._tick(grid, x, jnp.int32(-1))
        return grid, LOGITS * self._forward(grid.h)[0].astype(jnp.float32)

    def _tick(self, grid: Grid, x: Float[Array, " D"], y: Int[Array, ""]) -> Grid:
        """The equations, for all cells. h and c are float32, whatever the products are."""
        h, c = grid.h.astype(x.dtype), grid.c
        r = (self.backward @ h.mean(axis=1) + self.backward_bias[:, None]).at[0].add(x)
        s = self._forward(h).at[0].add(jax.nn.one_hot(y, self.info.C, dtype=x.dtype))
        cells = (self.recur @ h.reshape(len(h), -1)).reshape(-1, *h.shape[1:])
        rows, columns = self.row @ r + self.bias[:, None], self.column @ s
        return Grid(*lstm((cells + rows[:, None, :] + columns[:, :, None]).astype(jnp.float32), c))

    def _forward(self, h: Float[Array, "hidden C D"]) -> Float[Array, "messages C"]:
        """The messages to the columns, without the label."""
        return self.forward @ (MESSAGES * h.mean(axis=2)).astype(self.forward.dtype) + self.forward_bias[:, None]


@jax.custom_vjp
def lstm(gates: Float[Array, "gates C D"], c: Float[Array, "hidden C D"]) -> tuple[Array, Array]:
    """h and c after the gates. Its derivative is written out: JAX would pad each of four gates to all of them."""
    i, f, g, o = _open(gates)
    c = f * c + i * g
    return o * _tanh(c), c


def _lstm_there(gates: Array, c: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    return lstm(gates, c), (gates, c)


def _lstm_back(kept: tuple[Array, Array], by: tuple[Array, Array]) -> tuple[Array, Array]:
    (gates, c), (by_h, by_c) = kept, by
    i, f, g, o = _open(gates)
    t = _tanh(f * c + i * g)
    by_c = by_c + by_h * o * (1 - t * t)
    by_gates = by_c * g * i * (1 - i), by_c * c * f * (1 - f), by_c * i * (1 - g * g), by_h * t * o * (1 - o)
    return jnp.concatenate(by_gates), by_c * f


lstm.defvjp(_lstm_there, _lstm_back)


def _open(gates: Float[Array, "gates C D"]) -> tuple[Array, Array, Array, Array]:
    i, f, g, o = jnp.split(gates, 4)
    return jax.nn.sigmoid(i), jax.nn.sigmoid(f + 1), _tanh(g), jax.nn.sigmoid(o)


def _tanh(a: Array) -> Array:
    """By the logistic function, which XLA computes twice as fast on a CPU."""
    return 2 * jax.nn.sigmoid(2 * a) - 1


def make_learner(info: Info, checkpoint: str, form: str = "sequence") -> Any:
    """The learner of a checkpoint: `--learner-arg checkpoint=PATH`, and `--learner-arg form=step`."""
    from baselines.learner import restore

    return restore(Vsml, info, checkpoint, form)
