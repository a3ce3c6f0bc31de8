"""Learners that the tests ask: right by construction, wrong in every way, and the same rule in every form.

Workers import this module to unpickle them: it must stay quick to import.
"""

import os

import numpy as np

from gpicl_bench import sequence_learner


def nearest(context_x, context_y, query_x):
    if len(context_y) == 0:
        return np.zeros(1, int)
    return context_y[np.square(query_x - context_x).sum(axis=1).argmin(keepdims=True)]


def constant(context_x, context_y, query_x):
    return np.array([3])


def first(context_x, context_y, query_x):
    return context_y[:1] if len(context_y) else [0]


def environment(context_x, context_y, query_x):
    """What the process that answers has been told."""
    return [int(os.environ.get("ANSWER", "0"))]


def nesting(context_x, context_y, query_x):
    """It begins an evaluation with workers of its own."""
    from gpicl_bench import evaluate

    evaluate(environment, "digits-proj-perm-v0", num_tasks=2, positions=[0], workers=2)


def one_hot_distance(x, context_x, context_y, num_classes):
    """Scores of 1-NN: minus the smallest distance to an example of each class."""
    scores = np.full(num_classes, -1e6, np.float32)
    for example, label in zip(context_x, context_y, strict=True):
        scores[label] = max(scores[label], -np.square(x - example).sum())
    return scores


def scored_nearest(context_x, context_y, query_x):
    return one_hot_distance(query_x[0], context_x, context_y, 10)[None]


class StepNearest:
    """1-NN as a step learner: its state is the examples so far and the last input."""

    def init(self):
        return (), None

    def step(self, state, x, y_prev):
        examples, last = state
        if y_prev >= 0:
            examples = (*examples, (last, y_prev))
        xs, ys = [e[0] for e in examples], [e[1] for e in examples]
        return (examples, x), one_hot_distance(x, xs, ys, 10)


@sequence_learner
def sequence_nearest(x, y):
    """1-NN as a sequence learner, causal by construction."""
    return np.stack(
        [
            [one_hot_distance(row[t], row[:t], labels[:t], 10) for t in range(len(row))]
            for row, labels in zip(x, y, strict=True)
        ]
    )


class JaxMean:
    """Nearest class mean as a JAX step learner: sums and counts."""

    jax = True

    def __init__(self, info):
        self.info = info

    def init(self):
        import jax.numpy as jnp

        return jnp.zeros((self.info.C, self.info.D)), jnp.zeros(self.info.C), jnp.zeros(self.info.D)

    def step(self, state, x, y_prev):
        import jax
        import jax.numpy as jnp

        sums, counts, last = state
        shown = jax.nn.one_hot(y_prev, self.info.C)  # all zero for -1
        sums, counts = sums + shown[:, None] * last[None, :], counts + shown
        means = sums / jnp.maximum(counts, 1)[:, None]
        distances = jnp.square(x[None, :] - means).sum(axis=1)
        return (sums, counts, x), jnp.where(counts > 0, -distances, -1e6)


def mean(context_x, context_y, query_x):
    """The same rule as a callable."""
    scores = np.full((1, 10), -1e6)
    for label in np.unique(context_y):
        scores[0, label] = -np.square(query_x[0] - context_x[context_y == label].mean(axis=0)).sum()
    return scores


def guess(context_x, context_y, query_x, key):
    """A stochastic learner."""
    return np.random.default_rng(key).normal(size=(1, 10))


guess.card = {"stochastic": True}


class Guess:
    """A stochastic step learner: what it draws is kept in its state."""

    card = {"stochastic": True}

    def init(self, key):
        return np.random.default_rng(key).normal(size=10)

    def step(self, state, x, y_prev):
        return state + y_prev, np.roll(state, y_prev) * x[0]
