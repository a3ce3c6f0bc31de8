"""One pure training step for all models, and many of them in one call of the device, the sampler inside.

The objective is that of GPICL (Kirsch et al. 2022, arXiv 2212.04458): the cross-entropy of y_j given
x_1, y_1, …, x_{j-1}, y_{j-1}, x_j, averaged over the positions j of an episode and over the episodes of a batch.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int, PyTree, UInt32

from baselines.model import skeleton
from baselines.settings import Settings, Training, model_class
from gpicl_bench import Batch, ImplicitBatch


class State(NamedTuple):
    """What training changes: the arrays of the model, and those of the optimiser."""

    weights: PyTree[Array]
    optimiser: PyTree[Array]


class Measured(NamedTuple):
    """Of one step, before its update.

    `accuracy` is accuracy@(T-1) on the batch, that is on tasks of the pool; without the episodes of the fixed
    permutation, unless all are.
    """

    loss: Float[Array, "*n"]
    gradient_norm: Float[Array, "*n"]
    accuracy: Float[Array, "*n"]


class Looked(NamedTuple):
    """Of tasks that are not trained on: the loss, and accuracy@k for every k."""

    loss: Float[Array, ""]
    accuracy: Float[Array, " T"]


class Varied(NamedTuple):
    """Numbers of a run that are no part of its program: Python's, or scalars of JAX; as `Training` has them."""

    learning_rate: Any
    adam_epsilon: Any
    fixed_permutation: Any


class Trainer(NamedTuple):
    """The functions of a run.

    Attributes:
        start: (seed as two words = that of the settings) -> State, the initial one.
        train: (sampler, State, steps [n], Varied = those of the settings) -> (State, Measured [n]).
        look: (weights, Batch) -> Looked.
    """

    start: Callable[..., State]
    train: Callable[..., tuple[State, Measured]]
    look: Callable[[PyTree[Array], Batch], Looked]


def make_trainer(settings: Settings) -> Trainer:
    """The functions of a run; pure, not yet compiled."""
    training, kind = settings.training, model_class(settings.model)
    info, usual = settings.made_suite.info, Varied(*(getattr(training, name) for name in Varied._fields))
    objective = partial(loss, skeleton(kind, info, settings.config)[1], jnp.dtype(training.compute))

    def start(seed: UInt32[Array, "2"] | None = None) -> State:
        key = jax.random.wrap_key_data(seed_words(training.seed) if seed is None else seed, impl="threefry2x32")
        weights = eqx.filter(kind(info, settings.config, key=key), eqx.is_array)
        return State(weights, make_optimiser(training, usual).init(weights))

    def train(
        sampler: Callable[[Any], Batch | ImplicitBatch], state: State, steps: Int[Array, " n"], varied: Varied = usual
    ) -> tuple[State, Measured]:
        optimiser = make_optimiser(training, varied)

        def step(state: State, number: Int[Array, ""]) -> tuple[State, Measured]:
            fixed = num_fixed(number, varied.fixed_permutation, training.batch_size)
            batch = with_fixed_permutation(sampler(number), fixed)
            state, value, norm, right = train_step(objective, optimiser, state, batch, training.accumulate)
            return state, Measured(value, norm, own_mean(right[:, -1], fixed))

        return jax.lax.scan(step, state, steps)

    def look(weights: PyTree[Array], batch: Batch) -> Looked:
        value, right = objective(weights, batch)
        return Looked(value, right.mean(axis=0))

    return Trainer(start, train, look)


def make_tasks(settings: Settings, mesh: Mesh | None = None) -> Callable[[Any], Batch | ImplicitBatch]:
    """The sampler of a run: the batch of a step, its episodes divided among the devices of the mesh."""
    training, split = settings.training, settings.made_suite.meta_train
    draw = split.implicit_sampler if training.tasks == "implicit" else split.sampler
    return draw(training.batch_size, training.num_tasks, training.seed, mesh=mesh)


def train_step(
    objective: Callable[..., Any],
    optimiser: optax.GradientTransformation,
    state: State,
    batch: Batch | ImplicitBatch,
    accumulate: int = 1,
) -> tuple[State, Float[Array, ""], Float[Array, ""], Float[Array, "B T"]]:
    """One update of the weights; the loss, the norm of its gradient and which predictions were right before it."""
    of_part = jax.value_and_grad(objective, has_aux=True)
    (value, right), gradient = in_parts(of_part, accumulate, state.weights, batch)
    update, after = optimiser.update(gradient, state.optimiser, state.weights)
    weights = optax.apply_updates(state.weights, update)
    return State(weights, after), value, optax.tree.norm(gradient), right


def in_parts(of_part: Callable[..., Any], parts: int, weights: PyTree[Array], batch: Batch | ImplicitBatch) -> Any:
    """((loss, right), gradient) of a batch from those of its parts, one after the other: the mean of their losses.

    Part a has the episodes a, a + parts, a + 2·parts, …: of each device of a mesh equally many.
    """
    if parts == 1:
        return of_part(weights, batch)
    divided = jax.tree.map(lambda rows: jnp.moveaxis(rows.reshape(-1, parts, *rows.shape[1:]), 1, 0), batch)

    def add(total: PyTree[Array], part: Batch | ImplicitBatch) -> tuple[PyTree[Array], Float[Array, "b T"]]:
        (value, right), gradient = of_part(weights, part)
        return jax.tree.map(jnp.add, total, (value, gradient)), right

    total, right = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, (jnp.float32(0), weights)), divided)
    value, gradient = jax.tree.map(lambda a: a / parts, total)
    return (value, jnp.moveaxis(right, 0, 1).reshape(-1, right.shape[-1])), gradient


def loss(
    static: PyTree[Any], compute: jnp.dtype, weights: PyTree[Array], batch: Batch | ImplicitBatch
) -> tuple[Float[Array, ""], Float[Array, "B T"]]:
    """The cross-entropy in nats, and which predictions are right, 1 or 0."""
    model = eqx.combine(jax.tree.map(lambda w: w.astype(compute), weights), static)
    logits = jax.vmap(model)(batch.x.astype(compute), batch.y).astype(jnp.float32)
    value = optax.softmax_cross_entropy_with_integer_labels(logits, batch.y).mean()
    return value, (logits.argmax(axis=-1) == batch.y).astype(jnp.float32)


def make_optimiser(training: Training, varied: Varied) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015) on clipped gradients, the learning rate by its schedule."""
    schedules, rate, warmup = optax.schedules, varied.learning_rate, training.warmup
    after = schedules.constant_schedule(rate)
    if training.schedule == "cosine":
        after = schedules.cosine_decay_schedule(rate, max(training.steps - warmup, 1))
    schedule = schedules.join_schedules([schedules.linear_schedule(0.0, rate, warmup), after], [warmup])
    return optax.chain(optax.clip_by_global_norm(training.clip), optax.adam(schedule, eps=varied.adam_epsilon))


def seed_words(seed: int) -> UInt32[np.ndarray, "2"]:
    """A seed as the two words of a key."""
    return np.array([seed >> 32, seed % 2**32], np.uint32)


def num_fixed(step: Any, fraction: Any, batch_size: int) -> Any:
    """How many episodes of a step have the fixed permutation: of all steps together, that fraction.

    ⌊fraction · batch_size + u⌋, where u runs through [0, 1) with the step, evenly: the multiples of the golden ratio
    (Weyl 1916), to 8 bits, so that float32 adds them exactly to whole numbers up to 2^15.
    """
    if isinstance(fraction, float) and fraction == 0.0:
        return 0
    u = (jnp.asarray(step, jnp.uint32) * jnp.uint32(2654435769) >> 24).astype(jnp.float32) / 256
    return jnp.floor(fraction * jnp.float32(batch_size) + u).astype(jnp.int32)


def own_mean(right: Float[Array, " B"], fixed: Any) -> Float[Array, ""]:
    """The mean over the episodes with a permutation of their own, or over all where there are none."""
    own = (jnp.arange(len(right)) >= fixed) | (fixed >= len(right))
    return jnp.where(own, right, 0.0).sum() / own.sum().astype(jnp.float32)


def with_fixed_permutation(batch: Batch | ImplicitBatch, fixed: Any) -> Batch | ImplicitBatch:
    """The first `fixed` episodes of a batch with the base dataset's own classes as labels."""
    if isinstance(fixed, int) and fixed == 0:
        return batch
    chosen = (jnp.arange(len(batch.y)) < fixed)[:, None]
    classes = jnp.argsort(batch.label_map, axis=1).astype(jnp.int32)  # the inverse of y = ρ(class)
    y = jnp.where(chosen, jnp.take_along_axis(classes, batch.y, axis=1), batch.y)
    own = jnp.arange(classes.shape[1], dtype=jnp.int32)
    return batch._replace(y=y, label_map=jnp.where(chosen, own[None], batch.label_map))
