"""The training step beside a bare one, written by hand: `python -m tests.benchmarks.training [--rounds 10] [--output FILE]`.

The bare step is the same paired Transformer, Adam and clipping in plain JAX: dictionaries of arrays, no equinox, no optax, nothing
of `baselines`. Both draw their batches with the suite's sampler inside one scan. Rounds are interleaved; medians are compared.
"""

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp

from baselines.settings import make_settings
from baselines.training import make_tasks, make_trainer
from gpicl_bench import provenance
from tests.benchmarks.rounds import Contender, interleaved

STEPS = 20


def bare_start(key, info, config):
    """The weights, and the moments of Adam."""
    w, inner = config.width, config.heads * config.head_size
    shapes = {"query": (w, inner), "key": (w, inner), "value": (w, inner), "mix": (inner, w)}
    shapes |= {"expand": (w, 4 * w), "contract": (4 * w, w)}
    ones = {"gain": jnp.ones(w), "bias": jnp.zeros(w), "mlp_gain": jnp.ones(w), "mlp_bias": jnp.zeros(w)}
    draw = partial(jax.random.normal, key)
    blocks = [{n: draw(s) / jnp.sqrt(s[0]) for n, s in shapes.items()} | ones for _ in range(config.layers)]
    weights = {"embed": draw((info.D + info.C, w)) / jnp.sqrt(info.D + info.C), "blocks": blocks}
    weights |= {"head": draw((w, info.C)) / jnp.sqrt(w), "gain": jnp.ones(w), "bias": jnp.zeros(w)}
    return weights, jax.tree.map(jnp.zeros_like, weights), jax.tree.map(jnp.zeros_like, weights)


def norm(h, gain, bias):
    centred = h - h.mean(axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(jnp.square(centred).mean(axis=-1, keepdims=True) + 1e-5) * gain + bias


def bare_logits(weights, x, y, config, num_classes):
    """A batch [B, T, D], [B, T] at once: context tokens and query tokens (paired) as two arrays."""
    heads = (*y.shape, config.heads, config.head_size)
    codes = jax.nn.one_hot(y, num_classes, dtype=x.dtype)
    context = jnp.concatenate([x, codes], axis=-1) @ weights["embed"]
    query = jnp.concatenate([x, jnp.zeros_like(codes)], axis=-1) @ weights["embed"]
    earlier = jnp.tri(y.shape[1], k=-1, dtype=bool)

    def attend(block, h, q, own_key, own_value, keys, values):
        scores = jnp.where(earlier, jnp.einsum("bthd,bnhd->bhtn", q, keys), -jnp.inf)
        own = jnp.einsum("bthd,bthd->bht", q, own_key)[..., None]
        chosen = jax.nn.softmax(jnp.concatenate([scores, own], axis=-1) / config.head_size**0.5, axis=-1)
        mixed = jnp.einsum("bhtn,bnhd->bthd", chosen[..., :-1], values)
        mixed = mixed + jnp.moveaxis(chosen[..., -1:], 1, 2) * own_value
        h = h + mixed.reshape(*y.shape, -1) @ block["mix"]
        inner = jax.nn.relu(norm(h, block["mlp_gain"], block["mlp_bias"]) @ block["expand"])
        return h + inner @ block["contract"]

    for n, block in enumerate(weights["blocks"]):
        normal = norm(context, block["gain"], block["bias"])
        keys, values = (normal @ block["key"]).reshape(heads), (normal @ block["value"]).reshape(heads)
        asked = norm(query, block["gain"], block["bias"])
        q, k, v = ((asked @ block[name]).reshape(heads) for name in ("query", "key", "value"))
        query = attend(block, query, q, k, v, keys, values)
        if n + 1 < len(weights["blocks"]):
            context = attend(block, context, (normal @ block["query"]).reshape(heads), keys, values, keys, values)
    return norm(query, weights["gain"], weights["bias"]) @ weights["head"]


def bare_train(settings, sampler, state, steps):
    """Adam on clipped gradients, with the schedule of the preset's middle: a constant."""
    training, config = settings.training, settings.config

    def loss(weights, batch):
        narrow, x = jax.tree.map(lambda a: a.astype(training.compute), (weights, batch.x))
        logits = bare_logits(narrow, x, batch.y, config, 10).astype(jnp.float32)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), batch.y[..., None], axis=-1)
        return -chosen.mean()

    def step(state, number):
        weights, m, v = state
        gradient = jax.grad(loss)(weights, sampler(number))
        length = jnp.sqrt(sum(jnp.square(g).sum() for g in jax.tree.leaves(gradient)))
        gradient = jax.tree.map(lambda g: g * jnp.minimum(1.0, training.clip / length), gradient)
        m = jax.tree.map(lambda a, g: 0.9 * a + 0.1 * g, m, gradient)
        v = jax.tree.map(lambda a, g: 0.999 * a + 0.001 * g * g, v, gradient)
        t = number.astype(jnp.float32) + 1
        one, two = 1 - 0.9**t, 1 - 0.999**t
        weights = jax.tree.map(
            lambda w, a, b: w - training.learning_rate * (a / one) / (jnp.sqrt(b / two) + training.adam_epsilon),
            weights,
            m,
            v,
        )
        return (weights, m, v), None

    return jax.lax.scan(step, state, steps)[0]


def measure(settings, rounds):
    """Milliseconds a step of both, round by round, interleaved."""
    trainer, sampler, steps = make_trainer(settings), make_tasks(settings), jnp.arange(STEPS, dtype=jnp.int32)
    contenders = {"framework": timed(trainer.train, sampler, trainer.start(), steps)}
    if settings.config.tokens == "paired":
        start = bare_start(jax.random.key(0), settings.made_suite.info, settings.config)
        contenders["bare"] = timed(partial(bare_train, settings), sampler, start, steps)
    contenders["sampler alone"] = timed(sampler_alone, sampler, jnp.zeros(()), steps)
    measured = interleaved("training step", contenders, rounds)
    return {name: [1000 / rate for rate in value["rounds"]] for name, value in measured.items()}


def sampler_alone(sampler, total, steps):
    return jax.lax.scan(lambda total, number: (total + sampler(number).x.mean(), None), total, steps)[0]


def measure_share(rounds):
    """Of the training step of the paper's Transformer, the time that its tasks take: each path in and beside the step."""
    batch_size = 1024 if jax.default_backend() != "cpu" else 16
    steps, found = jnp.arange(4, dtype=jnp.int32), {}
    for path in ("exact", "implicit"):
        options = {"batch_size": batch_size, "num_tasks": None, "tasks": path}
        settings = make_settings("transformer", "paper", options)
        trainer, sampler = make_trainer(settings), make_tasks(settings)
        contenders = {
            "step": timed(trainer.train, sampler, trainer.start(), steps),
            "tasks": timed(sampler_alone, sampler, jnp.zeros(()), steps),
        }
        measured = interleaved(f"{path} tasks in the training step", contenders, rounds)
        milliseconds = {part: 1000 / measured[part]["tasks_per_second"] for part in contenders}
        found[path] = {**milliseconds, "share": milliseconds["tasks"] / milliseconds["step"]}
    return {"suite": settings.suite, "batch": batch_size, "compute": settings.training.compute, "paths": found}


def timed(function, sampler, state, steps):
    """A contender whose tasks are steps."""
    compiled = jax.jit(function)
    return Contender(lambda _: jax.block_until_ready(compiled(sampler, state, steps)), len(steps))


def matrix_rate(dtype, size):
    """Floating-point operations a second of a large matrix product of independent normals, measured."""
    a, b = (jax.random.normal(jax.random.key(n), (size, size)).astype(dtype) for n in (0, 1))
    product = jax.jit(lambda a, b: a @ b)
    jax.block_until_ready(product(a, b))
    times = []
    for _ in range(20):
        began = time.perf_counter()
        jax.block_until_ready(product(a, b))
        times.append(time.perf_counter() - began)
    return 2 * size**3 / statistics.median(times)


def operations(settings):
    """Floating-point operations of the matrix products of a step: 2 a multiplication and addition, 3 × the forward pass."""
    config, info, batch = settings.config, settings.made_suite.info, settings.training.batch_size
    inner, width, length = config.heads * config.head_size, config.width, info.T
    token = 4 * width * inner + 8 * width * width  # multiplications in a block, of one token
    attention = 2 * length * inner
    streams = 2 if config.tokens == "paired" else 1
    blocks = streams * config.layers * (token + attention)
    if streams == 2:  # in the last block the context tokens give keys and values only
        blocks -= token - 3 * width * inner + attention
    return 6 * batch * length * (blocks + streams * (info.D + info.C) * width + width * info.C)


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.training")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--preset", default="digits-tiny")
    parser.add_argument("--suite")
    parser.add_argument(
        "--compute", help="float32 or bfloat16, for the share of the matrix rate (default: the preset's)"
    )
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    given = {name: value for name in ("suite", "compute") if (value := getattr(options, name))}
    settings = make_settings("transformer", options.preset, given)
    found = measure(settings, options.rounds)
    medians = {name: statistics.median(times) for name, times in found.items()}
    ratios = sorted(ours / bare for ours, bare in zip(found["framework"], found.get("bare", []), strict=False))
    ratio = statistics.median(ratios) if ratios else None
    rate = matrix_rate(settings.training.compute, 8192 if jax.default_backend() == "gpu" else 2048)
    reached = operations(settings) / (medians["framework"] / 1000)
    if ratios:
        print(f"framework / bare: {ratio:.3f} (median of {options.rounds} rounds, {ratios[0]:.3f} to {ratios[-1]:.3f})")
    print(", ".join(f"{name} {median:.2f} ms a step" for name, median in medians.items()))
    print(
        f"{reached / 1e9:,.0f} GFLOP/s, {reached / rate:.1%} of the {rate / 1e9:,.0f} of a large {settings.training.compute} product"
    )
    if options.output:
        about = {"command": "python -m tests.benchmarks.training", "settings": settings.plain(), "ratio": ratio}
        about |= {"milliseconds": found, "operations": operations(settings), "matrix_rate": rate}
        about |= {"device": provenance().device, "versions": dict(provenance().versions)}
        options.output.write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
