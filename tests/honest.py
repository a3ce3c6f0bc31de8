"""Honest learners for the audit: small random networks in JAX, causal by construction. Nothing is trained."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from gpicl_bench import sequence_learner

WIDTH, HEADS, LAYERS = 64, 2, 2


def tokens(x, y, num_classes):
    """x_t beside the one-hot label of the example before."""
    before = jnp.concatenate([jnp.full_like(y[:, :1], -1), y[:, :-1]], axis=1)
    return jnp.concatenate([x, jax.nn.one_hot(before, num_classes)], axis=-1)


def matrices(key, shapes):
    keys = jax.random.split(key, len(shapes))
    return [jax.random.normal(k, s) / jnp.sqrt(s[0]).astype(jnp.float32) for k, s in zip(keys, shapes, strict=True)]


def normalised(h):
    centred = h - h.mean(axis=-1, keepdims=True)
    return centred / jnp.sqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + 1e-5)


def attention(h, weights, causal=True):
    batch, length, width = h.shape
    q, k, v = (jnp.moveaxis((h @ w).reshape(batch, length, HEADS, -1), 2, 1) for w in weights[:3])
    logits = q @ jnp.swapaxes(k, -1, -2) / jnp.sqrt(width / HEADS).astype(jnp.float32)
    if causal:
        logits = jnp.where(jnp.tril(jnp.ones((1, 1, length, length), bool)), logits, -1e9)
    mixed = jnp.moveaxis(jax.nn.softmax(logits, axis=-1) @ v, 1, 2)
    return mixed.reshape(batch, length, width) @ weights[3]


def kept(keys, layer, shape, dropout):
    """Which units of an episode stay, by its own key."""
    keys = jax.vmap(lambda key: jax.random.fold_in(key, layer))(jax.random.wrap_key_data(keys))
    return jax.vmap(lambda key: jax.random.bernoulli(key, 1 - dropout, shape))(keys)


def make_transformer(info, seed=0, causal=True, dropout=0.0, wrap=lambda apply: apply):
    shape = (WIDTH, WIDTH)
    layer = [shape] * 4 + [(WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH)]
    first, last, *flat = matrices(jax.random.key(seed), [(info.D + info.C, WIDTH), (WIDTH, info.C), *layer * LAYERS])

    @jax.jit
    def apply(x, y, keys):
        h = tokens(x, y, info.C) @ first
        for n in range(LAYERS):
            weights = flat[6 * n : 6 * n + 6]
            h = h + attention(normalised(h), weights, causal)
            h = h + jax.nn.gelu(normalised(h) @ weights[4]) @ weights[5]
            if dropout:
                h = jnp.where(kept(keys, n, h.shape[1:], dropout), h / (1 - dropout), 0)
        return normalised(h) @ last

    apply = wrap(apply)
    if dropout:

        @sequence_learner
        def dropping(x, y, keys):
            return apply(x, y, keys)

        dropping.card = {"stochastic": True}
        return dropping

    @sequence_learner
    def transformer(x, y):
        return apply(x, y, np.zeros((len(x), 2), np.uint32))

    return transformer


class Lstm:
    """One LSTM in both forms: a sequence learner with `init` and `step`."""

    jax = True

    def __init__(self, info, seed=0):
        self.info = info
        self.gates, self.out = matrices(jax.random.key(seed), [(info.D + info.C + WIDTH, 4 * WIDTH), (WIDTH, info.C)])
        self._apply = jax.jit(self._scan)

    def init(self):
        return jnp.zeros(WIDTH), jnp.zeros(WIDTH)

    def step(self, state, x, y_prev):
        h, c = state
        i, f, g, o = jnp.split(jnp.concatenate([x, jax.nn.one_hot(y_prev, self.info.C), h]) @ self.gates, 4)
        c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h @ self.out

    def _scan(self, x, y):
        before = jnp.concatenate([jnp.full_like(y[:, :1], -1), y[:, :-1]], axis=1)
        episode = partial(jax.lax.scan, lambda s, e: self.step(s, *e), self.init())
        return jax.vmap(lambda x, y: episode((x, y))[1])(x, before)

    def __call__(self, x, y):
        return self._apply(x, y)


def make_lstm(info, seed=0):
    return sequence_learner(Lstm(info, seed))
