"""Meta-training VSML at 784 inputs and 10 classes: tasks a second, and how far that is from the products alone."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp

from baselines.model import skeleton
from baselines.settings import make_settings, model_class
from baselines.training import loss
from baselines.vsml import MESSAGES, Grid, Vsml
from gpicl_bench import Batch, Info
from tests.benchmarks.rounds import Contender, interleaved

INFO, BATCH, SIZE = Info("grid", D=784, C=10, T=100), 2, 1024
FLOOR, ORIGINAL = (
    18e9,
    0.34,
)  # operations of a task with messages once a row and a column; the original's tasks a CPU-second


class CellByCell(Vsml):
    """As the equations stand: every cell reads both messages itself, and JAX derives the way back."""

    def __call__(self, x, y):
        def position(grid, example):
            grid, logits = self._predict(grid, example[0])
            return self._tick(grid, *example), logits

        return jax.lax.scan(position, self.init().grid, (x, y))[1]

    def _tick(self, grid, x, y):
        h, c = grid
        r = (self.backward @ h.mean(axis=1) + self.backward_bias[:, None]).at[0].add(x)
        s = (
            (self.forward @ (MESSAGES * h.mean(axis=2)) + self.forward_bias[:, None])
            .at[0]
            .add(jax.nn.one_hot(y, self.info.C))
        )
        cells = (len(r), *h.shape[1:])
        rows, columns = jnp.broadcast_to(r[:, None, :], cells), jnp.broadcast_to(s[:, :, None], cells)
        read = jnp.concatenate([h, rows, columns]).reshape(-1, self.info.C * self.info.D)
        weights = jnp.concatenate([self.recur, self.row, self.column], axis=1)
        gates = (weights @ read).reshape(-1, *h.shape[1:]) + self.bias[:, None, None]
        i, f, g, o = jnp.split(gates, 4)
        c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return Grid(jax.nn.sigmoid(o) * jnp.tanh(c), c)


def measure_grid(rounds, batch=BATCH):
    """The gradient of the preset `paper`; the logits of both forms are the same (tested)."""
    measured = interleaved("grid", contenders(INFO, batch), rounds)
    peak = 2 * SIZE**3 * measured["a large product"]["tasks_per_cpu_second"]
    floor = products(INFO, make_settings("vsml", "paper", {}).config)
    return {"measured": measured, "floor": floor, "original": ORIGINAL, "product_flops_per_cpu_second": peak}


def products(info, config):
    """Operations of the products of a task there, and twice as many back: messages once a row and once a column."""
    n, m, gates, lines = config.hidden, config.messages, 4 * config.hidden, info.C + info.D
    tick = 2 * gates * n * info.C * info.D + 2 * gates * m * lines + 2 * m * n * lines
    return 3 * tick * (config.ticks + 1) * info.T


def contenders(info, batch):
    config = make_settings("vsml", "paper", {}).config
    x, labels = jax.random.split(jax.random.key(0))
    x, y = (
        jax.random.normal(x, (batch, info.T, info.D)),
        jax.random.randint(labels, (batch, info.T), 0, info.C, jnp.int32),
    )
    square = jax.random.normal(jax.random.key(1), (SIZE, SIZE))
    product = jax.jit(jnp.matmul)
    found = {
        name: Contender(partial(differentiated(kind, info, config, parts), x, y), batch)
        for name, kind, parts in (
            ("as it is", model_class("vsml"), 1),
            ("as it is, an episode at a time", model_class("vsml"), batch),
            ("cell by cell", CellByCell, batch),
        )
    }
    return found | {"a large product": Contender(lambda number: product(square, square).block_until_ready(), 1)}


def differentiated(kind, info, config, parts):
    """(x, y, number) -> the gradient of the mean loss, in parts of the batch one after the other."""
    weights, static = kind(info, config, key=jax.random.key(0)), skeleton(kind, info, config)[1]
    weights = eqx.filter(weights, eqx.is_array)
    objective = partial(loss, static, jnp.dtype("float32"))

    @jax.jit
    def gradient(weights, x, y):
        def part(examples):
            return jax.grad(lambda w: objective(w, Batch(*examples, None, None, None))[0])(weights)

        shares = [a.reshape(parts, -1, *a.shape[1:]) for a in (x, y)]
        return jax.tree.map(lambda g: g.mean(axis=0), jax.lax.map(part, tuple(shares)))

    return lambda x, y, number: jax.block_until_ready(gradient(weights, x, y))
