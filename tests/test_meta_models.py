"""The models that are meta-trained: causal, the same in both forms, and what their docstrings say they compute."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from baselines.lstm import Lstm, LstmConfig
from baselines.settings import MODELS, make_settings
from baselines.transformer import Transformer, TransformerConfig
from gpicl_bench import Info, make

INFO = Info("none", D=6, C=4, T=9)
KINDS = [
    (Transformer, TransformerConfig(tokens, layers=3, heads=2, head_size=4, width=8))
    for tokens in ("shifted", "paired")
] + [(Lstm, LstmConfig(tokens, hidden=7)) for tokens in ("shifted", "paired")]
each_model = pytest.mark.parametrize(("kind", "config"), KINDS, ids=lambda v: getattr(v, "tokens", None) or v.name)


@functools.cache
def build(kind, config):
    """A model with noise on every weight: as it starts, some are 0 or 1."""
    noise = np.random.default_rng(1)
    model = kind(INFO, config, key=jax.random.key(0))
    return jax.tree.map(lambda leaf: jnp.float32(leaf + 0.3 * noise.normal(size=leaf.shape)), model)


def answer(model, x, y):
    """One compiled program: operation by operation, each would be compiled by itself."""
    return eqx.filter_jit(model)(x, y)


def episode(length=INFO.T, seed=1):
    x, y = jax.random.split(jax.random.key(seed))
    return jax.random.normal(x, (length, INFO.D)), jax.random.randint(y, (length,), 0, INFO.C)


def test_every_model_is_tested_here():
    assert {kind for kind, _ in KINDS} == set(MODELS.values())


@each_model
def test_nothing_flows_back_from_the_future(kind, config):
    """The gradient of the logits at t by the inputs after t is exactly zero; by x_t and before it is not."""
    model, (x, y) = build(kind, config), episode()
    jacobian = jax.jit(jax.jacobian(lambda x, model: model(x, y)))(x, model)
    flow = jnp.abs(jacobian).sum(axis=(1, 3))  # [T, T]: of position t, by x_s
    assert jnp.all(jnp.triu(flow, 1) == 0)
    assert jnp.all(jnp.tril(flow) + jnp.triu(jnp.ones_like(flow), 1) > 0)


@each_model
def test_labels_show_at_later_positions_only(kind, config):
    model, (x, y) = build(kind, config), episode()
    before = answer(model, x, y)
    for s in range(INFO.T):
        after = answer(model, x, y.at[s].set((y[s] + 1) % INFO.C))
        assert jnp.array_equal(before[: s + 1], after[: s + 1])
        assert jnp.all(jnp.any(before[s + 1 :] != after[s + 1 :], axis=1))


@each_model
def test_both_forms_agree(kind, config):
    model, (x, y) = build(kind, config), episode()
    y_prev = jnp.concatenate([jnp.array([-1]), y[:-1]])
    _, steps = jax.lax.scan(lambda state, example: model.step(state, *example), model.init(), (x, y_prev))
    assert jnp.allclose(steps, answer(model, x, y), atol=1e-5)


@each_model
def test_bfloat16_computes_the_same_roughly(kind, config):
    model, (x, y) = build(kind, config), episode()
    narrow = jax.tree.map(lambda a: a.astype(jnp.bfloat16) if eqx.is_inexact_array(a) else a, model)
    logits = answer(narrow, x.astype(jnp.bfloat16), y)
    assert logits.dtype == jnp.float32
    wide = answer(model, x, y)
    assert float(jnp.abs(logits - wide).max()) < 0.1 * float(jnp.abs(wide).max())


@each_model
def test_a_prefix_is_answered_as_the_whole(kind, config):
    model, (x, y) = build(kind, config), episode()
    assert jnp.allclose(answer(model, x[:4], y[:4]), answer(model, x, y)[:4], atol=1e-5)


def test_the_context_of_one_paired_block_is_a_set():
    """A second block is told in which order the context tokens saw each other."""
    order, (x, y) = jnp.array([3, 0, 2, 1, 4, 5, 6, 7, 8]), episode()

    def moved(tokens, layers):
        model = build(Transformer, TransformerConfig(tokens, layers, heads=2, head_size=4, width=8))
        return float(jnp.abs(answer(model, x[order], y[order])[4:] - answer(model, x, y)[4:]).max())

    assert moved("paired", 1) < 1e-5 < 1e-3 < min(moved("paired", 2), moved("shifted", 1))


def layer_norm(norm, h):
    h = (h - h.mean(-1, keepdims=True)) / np.sqrt(h.var(-1, keepdims=True) + 1e-5)
    return h * np.asarray(norm.weight) + np.asarray(norm.bias)


def test_a_shifted_transformer_is_the_textbook_one():
    """NumPy, one causal attention over all tokens, a loop over heads."""
    config = KINDS[0][1]
    model, (x, y) = build(*KINDS[0]), episode()
    codes = np.eye(INFO.C)[np.asarray(y)]
    before = np.concatenate([np.zeros((1, INFO.C)), codes[:-1]])
    h = np.concatenate([np.asarray(x), before], axis=1) @ np.asarray(model.embed) + np.asarray(model.positions)
    for block in model.blocks:
        normal, heads = layer_norm(block.norm, h), []
        for n in range(config.heads):
            part = slice(n * config.head_size, (n + 1) * config.head_size)
            q, k, v = (normal @ np.asarray(w)[:, part] for w in (block.query, block.key, block.value))
            scores = np.where(np.tri(len(h), dtype=bool), q @ k.T / np.sqrt(config.head_size), -np.inf)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            heads.append(weights / weights.sum(axis=1, keepdims=True) @ v)
        h = h + np.concatenate(heads, axis=1) @ np.asarray(block.mix)
        inner = np.maximum(layer_norm(block.mlp_norm, h) @ np.asarray(block.expand), 0)
        h = h + inner @ np.asarray(block.contract)
    expected = layer_norm(model.norm, h) @ np.asarray(model.head)
    assert np.allclose(answer(model, x, y), expected, atol=1e-5)


def test_a_paired_transformer_asks_each_query_of_the_context_before_it():
    """One episode (x, y) of k examples and a query: the same as a plain set attention over k + 1 tokens."""
    config = KINDS[1][1]
    model, (x, y) = build(*KINDS[1]), episode()
    k = 5
    codes = np.concatenate([np.eye(INFO.C)[np.asarray(y[:k])], np.zeros((1, INFO.C))])
    h = np.concatenate([np.asarray(x[: k + 1]), codes], axis=1) @ np.asarray(model.embed)
    for block in model.blocks:
        normal, heads = layer_norm(block.norm, h), []
        for n in range(config.heads):
            part = slice(n * config.head_size, (n + 1) * config.head_size)
            q, key, v = (normal @ np.asarray(w)[:, part] for w in (block.query, block.key, block.value))
            weights = np.where(np.tri(k + 1, dtype=bool), np.exp(q @ key.T / np.sqrt(config.head_size)), 0)
            heads.append(weights / weights.sum(axis=1, keepdims=True) @ v)
        h = h + np.concatenate(heads, axis=1) @ np.asarray(block.mix)
        h = h + np.maximum(layer_norm(block.mlp_norm, h) @ np.asarray(block.expand), 0) @ np.asarray(block.contract)
    expected = layer_norm(model.norm, h[-1]) @ np.asarray(model.head)
    assert np.allclose(answer(model, x, y)[k], expected, atol=1e-5)


@pytest.mark.parametrize("index", [2, 3], ids=["shifted", "paired"])
def test_an_lstm_is_the_textbook_one(index):
    kind, config = KINDS[index]
    model, (x, y) = build(kind, config), episode()
    read, recur, bias = (np.asarray(w) for w in (model.read, model.recur, model.bias))

    def cell(c, h, x, code):
        i, f, g, o = np.split(np.concatenate([x, code]) @ read + h @ recur + bias, 4)
        c = c / (1 + np.exp(-f - 1)) + np.tanh(g) / (1 + np.exp(-i))
        return c, np.tanh(c) / (1 + np.exp(-o))

    codes, none, logits = np.eye(INFO.C)[np.asarray(y)], np.zeros(INFO.C), answer(model, x, y)
    c, h = np.zeros(config.hidden), np.zeros(config.hidden)
    for t in range(INFO.T):
        if config.tokens == "shifted":
            c, h = cell(c, h, x[t], codes[t - 1] if t else none)
            shown = h
        else:
            shown = cell(c, h, x[t], none)[1]
            c, h = cell(c, h, x[t], codes[t])
        assert np.allclose(logits[t], shown @ np.asarray(model.head), atol=1e-5)


def test_the_paper_preset_has_the_papers_size():
    """About 3.4 million parameters at 28 × 28 (arXiv 2212.04458)."""
    settings = make_settings("transformer", "paper", {})
    shapes = eqx.filter_eval_shape(
        lambda key: Transformer(make(settings.suite).info, settings.config, key=key), jax.random.key(0)
    )
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes) if hasattr(leaf, "size"))
    assert 3.2e6 < count < 3.6e6
    assert dataclasses.asdict(settings.config) == {
        "tokens": "shifted",
        "layers": 4,
        "heads": 8,
        "head_size": 32,
        "width": 256,
    }
