"""The models that are meta-trained: causal, the same in both forms, and what their docstrings say they compute."""

import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from baselines.deltanet import DeltaNet, DeltaNetConfig, inverted
from baselines.lstm import Lstm, LstmConfig
from baselines.maml import Maml, MamlConfig
from baselines.model import state_bytes
from baselines.outer_product_lstm import OuterProductLstm, OuterProductLstmConfig
from baselines.settings import MODELS, make_settings
from baselines.sgd import Sgd, SgdConfig
from baselines.transformer import Transformer, TransformerConfig
from baselines.vsml import Vsml, VsmlConfig, lstm
from gpicl_bench import Info, make

INFO = Info("none", D=6, C=4, T=9)
KINDS = [
    (Transformer, TransformerConfig(tokens, layers=3, heads=2, head_size=4, width=8))
    for tokens in ("shifted", "paired")
]
KINDS += [(Lstm, LstmConfig(tokens, hidden=7)) for tokens in ("shifted", "paired")]
KINDS += [(OuterProductLstm, OuterProductLstmConfig(tokens, hidden=5)) for tokens in ("shifted", "paired")]
KINDS += [(Vsml, VsmlConfig(hidden=3, messages=2, ticks=ticks)) for ticks in (1, 2)]
KINDS += [(DeltaNet, DeltaNetConfig(layers=3, heads=2, head_size=4, width=8))]
KINDS += [(Sgd, SgdConfig(step_size=0.1)), (Maml, MamlConfig(step_size=0.1))]
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
    """The gradient of the logits at t by the inputs after t is exactly zero; by x_t and before it is not.

    Before it has learned anything, SGD answers 0 whatever it is asked.
    """
    model, (x, y) = build(kind, config), episode()
    jacobian = jax.jit(jax.jacobian(lambda x, model: model(x, y)))(x, model)
    flow = jnp.abs(jacobian).sum(axis=(1, 3))  # [T, T]: of position t, by x_s
    assert jnp.all(jnp.triu(flow, 1) == 0)
    flows = jnp.tril(flow) + jnp.triu(jnp.ones_like(flow), 1) > 0
    assert jnp.all(flows[1:] if kind is Sgd else flows)


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


@each_model
def test_the_state_is_as_large_as_its_equations_say(kind, config):
    """In numbers: what is remembered, beside a counter and, with paired tokens, the example whose label is to come."""
    D, C, T = INFO.D, INFO.C, INFO.T
    pending = 1 + (D if config.tokens == "paired" else 0)
    remembered = {
        "transformer": lambda: 2 * config.layers * T * config.heads * config.head_size,
        "lstm": lambda: 2 * config.hidden,
        "outer_product_lstm": lambda: config.hidden**2 + config.hidden,
        "vsml": lambda: 2 * config.hidden * C * D,
        "deltanet": lambda: config.layers * config.heads * config.head_size**2,
        "sgd": lambda: 3 * (C * D + C),
        "maml": lambda: 3 * (C * D + C),
    }
    assert state_bytes(kind, INFO, config) == 4 * (remembered[kind.name]() + pending)


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


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


@pytest.mark.parametrize("tokens", ["shifted", "paired"])
def test_an_outer_product_lstm_is_its_equations(tokens):
    config = OuterProductLstmConfig(tokens, hidden=5)
    model, (x, y) = build(OuterProductLstm, config), episode()
    read, recur, bias = (np.asarray(w, np.float64) for w in (model.read, model.recur, model.bias))

    def cell(C, h, x, code):
        i, f, o, k, v, q = np.split(np.concatenate([x, code]) @ read + h @ recur + bias, 6)
        after, k, q = np.empty_like(C), k / np.linalg.norm(k), q / np.linalg.norm(q)
        for row in range(config.hidden):
            kept, new = sigmoid(f[row] + 5) * C[row], sigmoid(i[row]) * np.tanh(v[row])
            after[row] = kept + new * k
        return after, np.array([sigmoid(o[row]) * np.tanh(after[row] @ q) for row in range(config.hidden)])

    codes, none, logits = np.eye(INFO.C)[np.asarray(y)], np.zeros(INFO.C), answer(model, x, y)
    C, h = np.zeros((config.hidden, config.hidden)), np.zeros(config.hidden)
    for t in range(INFO.T):
        if tokens == "shifted":
            C, h = cell(C, h, x[t], codes[t - 1] if t else none)
            shown = h
        else:
            shown = cell(C, h, x[t], none)[1]
            C, h = cell(C, h, x[t], codes[t])
        assert np.allclose(logits[t], shown @ np.asarray(model.head), atol=1e-5)


@pytest.mark.parametrize("ticks", [1, 2])
def test_vsml_is_its_equations_cell_by_cell(ticks):
    """NumPy: every cell is an LSTM of its own, that reads the messages of its row and its column."""
    config = VsmlConfig(hidden=3, messages=2, ticks=ticks)
    model, (x, y) = build(Vsml, config), episode()
    weights = (model.recur, model.row, model.column, model.bias, model.backward, model.forward)
    recur, row, column, bias, U, V = (np.asarray(w, np.float64) for w in weights)
    u, v = np.asarray(model.backward_bias, np.float64), np.asarray(model.forward_bias, np.float64)
    h, c = (np.zeros((INFO.C, INFO.D, config.hidden)) for _ in range(2))

    def tick(h, c, x, code):
        after = np.empty_like(h), np.empty_like(c)
        for b in range(INFO.C):
            for a in range(INFO.D):
                r, s = U @ h[:, a].mean(axis=0) + u, 3 * V @ h[b].mean(axis=0) + v
                r[0], s[0] = r[0] + x[a], s[0] + code[b]
                i, f, g, o = np.split(recur @ h[b, a] + row @ r + column @ s + bias, 4)
                after[1][b, a] = sigmoid(f + 1) * c[b, a] + sigmoid(i) * np.tanh(g)
                after[0][b, a] = sigmoid(o) * np.tanh(after[1][b, a])
        return after

    logits = answer(model, x, y)
    for t in range(INFO.T):
        for _ in range(ticks):
            h, c = tick(h, c, np.asarray(x[t]), np.zeros(INFO.C))
        expected = [20 * (3 * V @ h[b].mean(axis=0) + v)[0] for b in range(INFO.C)]
        assert np.allclose(logits[t], expected, rtol=1e-4, atol=1e-4)
        h, c = tick(h, c, np.asarray(x[t]), np.eye(INFO.C)[int(y[t])])


def test_vsml_has_the_papers_number_of_weights_whatever_the_task():
    """2,384 (arXiv 2212.04458), at any number of inputs and classes."""
    for info in (INFO, make("mnist-proj-perm-v0").info):
        model = eqx.filter_eval_shape(lambda key, info=info: Vsml(info, VsmlConfig(), key=key), jax.random.key(0))
        assert sum(leaf.size for leaf in jax.tree.leaves(model) if hasattr(leaf, "size")) == 2384


def test_vsml_knows_neither_its_classes_nor_its_inputs():
    model, (x, y) = build(Vsml, VsmlConfig(hidden=3, messages=2)), episode()
    logits, label, order = answer(model, x, y), jnp.array([2, 0, 3, 1]), jnp.array([4, 1, 0, 5, 3, 2])
    assert jnp.allclose(answer(model, x, label[y])[:, label], logits, rtol=1e-4, atol=1e-4)
    assert jnp.allclose(answer(model, x[:, order], y), logits, rtol=1e-4, atol=1e-4)


def test_a_grid_keeps_little_for_the_way_back():
    """The two arrays of the grid an example; kept for all that is computed from them, it would be ten times that."""
    info, config = Info("long", D=64, C=10, T=100), VsmlConfig()
    model = Vsml(info, config, key=jax.random.key(0))
    x, y = jnp.zeros((info.T, info.D)), jnp.zeros(info.T, jnp.int32)
    gradient = eqx.filter_jit(eqx.filter_grad(lambda m, x, y: m(x, y).sum())).lower(model, x, y).compile()
    kept = 4 * 2 * config.hidden * info.C * info.D * info.T
    assert gradient.compiled.memory_analysis().temp_size_in_bytes < 1.5 * kept


def test_the_written_derivative_of_a_cell_is_that_of_its_equations():
    draw = np.random.default_rng(0).normal
    gates, c, by_h, by_c = (jnp.float32(draw(size=(n, 2, 5))) for n in (12, 3, 3, 3))

    def plain(gates, c):
        i, f, g, o = jnp.split(gates, 4)
        c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    for ours, theirs in zip(
        *(jax.tree.leaves(jax.vjp(f, gates, c)[1]((by_h, by_c))) for f in (lstm, plain)), strict=True
    ):
        assert jnp.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("T", [1, 2, 7, 8, 9, 31, 100])
def test_a_triangular_system_is_inverted(T):
    lower = np.tril(np.random.default_rng(T).uniform(-1, 1, (2, T, T)), -1) / 4
    expected = np.linalg.inv(np.eye(T) + lower)
    assert np.allclose(inverted(jnp.float32(lower)), expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


@pytest.mark.parametrize("T", [9, 16, 31, 100])
def test_one_key_that_is_written_again_and_again_is_inverted(T):
    """All below the diagonal is 1: the inverse has -1 beside the diagonal, and no series may end early."""
    expected = np.eye(T) - np.eye(T, k=-1)
    assert np.allclose(inverted(jnp.tril(jnp.ones((1, T, T)), -1))[0], expected, atol=1e-4)


def test_a_deltanet_is_the_delta_rule_example_by_example():
    """NumPy, one head after the other, the memory corrected after each example."""
    config = DeltaNetConfig(layers=3, heads=2, head_size=4, width=8)
    model, (x, y) = build(DeltaNet, config), episode()
    codes, embed = np.eye(INFO.C)[np.asarray(y)], np.asarray(model.embed)
    context = np.concatenate([x, codes], axis=1) @ embed
    query = np.concatenate([x, np.zeros_like(codes)], axis=1) @ embed

    def unit(a):
        return a / np.linalg.norm(a, axis=-1, keepdims=True)

    for block in model.blocks:
        after = []
        for h in (context, query):
            heads = []
            for n in range(config.heads):
                part, S, read = slice(n * 4, n * 4 + 4), np.zeros((4, 4)), []
                normal, asking = layer_norm(block.norm, context), layer_norm(block.norm, h)
                k, v = unit(normal @ np.asarray(block.key)[:, part]), normal @ np.asarray(block.value)[:, part]
                q, beta = unit(asking @ np.asarray(block.query)[:, part]), sigmoid(normal @ np.asarray(block.beta))
                for t in range(INFO.T):
                    read.append(S @ q[t])
                    S = S + beta[t, n] * np.outer(v[t] - S @ k[t], k[t])
                heads.append(read)
            h = h + np.concatenate(heads, axis=1) @ np.asarray(block.mix)
            inner = np.maximum(layer_norm(block.mlp_norm, h) @ np.asarray(block.expand), 0)
            after.append(h + inner @ np.asarray(block.contract))
        context, query = after
    assert np.allclose(answer(model, x, y), layer_norm(model.norm, query) @ np.asarray(model.head), atol=1e-4)


def test_the_derivative_of_the_parallel_form_is_that_of_the_steps():
    """Both forms of a DeltaNet are differentiated, one through the system of equations, one through the recurrence."""
    model, (x, y) = build(DeltaNet, DeltaNetConfig(layers=2, heads=1, head_size=4, width=8)), episode()
    y_prev, by = jnp.concatenate([jnp.array([-1]), y[:-1]]), jax.random.normal(jax.random.key(9), (INFO.T, INFO.C))

    def in_parallel(model):
        return (model(x, y) * by).sum()

    def in_steps(model):
        return (jax.lax.scan(lambda s, e: model.step(s, *e), model.init(), (x, y_prev))[1] * by).sum()

    one, other = (jax.tree.leaves(eqx.filter_jit(eqx.filter_grad(f))(model)) for f in (in_parallel, in_steps))
    for a, b in zip(one, other, strict=True):
        assert jnp.allclose(a, b, atol=1e-3 * float(jnp.abs(b).max()) + 1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e-8])
@pytest.mark.parametrize("kind", [Sgd, Maml])
def test_an_online_learner_is_optax_adam_on_a_linear_classifier(kind, scale, standard_promotion):
    """Inputs of 10⁻⁸ have gradients of that size: there ε is seen."""
    import optax

    model, (x, y) = build(kind, kind.Config(step_size=0.1)), episode()
    x = scale * x
    W, b, eta = (
        (jnp.zeros((INFO.C, INFO.D)), jnp.zeros(INFO.C), float(jnp.exp(model.log_step_size)))
        if kind is Sgd
        else (model.W, model.b, 0.1)
    )
    theta, adam = (W, b), optax.adam(eta)
    state, logits = adam.init(theta), answer(model, x, y)
    y_prev = jnp.concatenate([jnp.array([-1]), y[:-1]])
    _, weights = jax.lax.scan(lambda s, e: (model.step(s, *e)[0],) * 2, model.init(), (x, y_prev))
    weights = weights.online.theta.W

    def loss(theta, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(theta[0] @ x + theta[1], y)

    for t in range(INFO.T):
        assert np.allclose(logits[t], theta[0] @ x[t] + theta[1], atol=1e-4)
        assert scale == 1 or np.allclose(weights[t], theta[0], atol=1e-3), "far less than a step without ε"
        update, state = adam.update(jax.grad(loss)(theta, x[t], y[t]), state)
        theta = optax.apply_updates(theta, update)


def test_an_input_that_is_always_zero_gives_a_gradient_that_is_a_number():
    x, y = episode()
    model = build(Maml, MamlConfig(step_size=0.1))
    gradient = eqx.filter_jit(eqx.filter_grad(lambda m: (m(x.at[:, 2].set(0), y) ** 2).sum()))(model)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient))


def test_sgd_needs_no_meta_training():
    from gpicl_bench import evaluate, load_learner
    from gpicl_bench.errors import LearnerFileError
    from tests.conftest import ROOT

    suite, path = make("digits-proj-perm-v0"), ROOT / "baselines" / "sgd.py"
    slow, fast = (
        evaluate(load_learner(path, suite.info, args), suite, num_tasks=64, positions=[0, 99])
        for args in ({}, {"step_size": "0.015"})
    )
    assert slow.learner.card["meta_training"] == "none"
    assert slow.learner.form == "step (JAX)"
    assert fast.accuracy_at(99) > slow.accuracy_at(99) > 0.2
    sequence = load_learner(path, suite.info, {"form": "sequence"})
    assert evaluate(sequence, suite, num_tasks=2, audit="off").learner.form == "sequence"
    wrong = [{"step_size": "0"}, {"step_size": "nan"}, {"step_size": "1e-46"}, {"step_size": "0.1", "checkpoint": "x"}]
    for args in [*wrong, {"form": "steps"}]:
        with pytest.raises(LearnerFileError, match="step"):
            load_learner(path, suite.info, args)


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
