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
from jaxtyping import Array, Float, Int, PyTree

from baselines.model import Model, skeleton
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


class Trainer(NamedTuple):
    """The functions of a run.

    Attributes:
        start: () -> State, the initial one.
        train: (sampler, State, first step [], steps [n]) -> (State, Measured [n]).
        look: (weights, Batch) -> Looked.
    """

    start: Callable[[], State]
    train: Callable[..., tuple[State, Measured]]
    look: Callable[[PyTree[Array], Batch], Looked]


def make_trainer(settings: Settings) -> Trainer:
    """The functions of a run; pure, not yet compiled."""
    training, kind = settings.training, model_class(settings.model)
    optimiser, info = make_optimiser(training), settings.made_suite.info
    fixed = round(training.fixed_permutation * training.batch_size)

    def build() -> Model:
        words = np.array([training.seed >> 32, training.seed % 2**32], np.uint32)
        return kind(info, settings.config, key=jax.random.wrap_key_data(words, impl="threefry2x32"))

    objective = partial(loss, skeleton(kind, info, settings.config)[1], jnp.dtype(training.compute))

    def start() -> State:
        weights = eqx.filter(build(), eqx.is_array)
        return State(weights, optimiser.init(weights))

    def train(
        sampler: Callable[[Any], Batch | ImplicitBatch], state: State, steps: Int[Array, " n"]
    ) -> tuple[State, Measured]:
        def step(state: State, number: Int[Array, ""]) -> tuple[State, Measured]:
            batch = with_fixed_permutation(sampler(number), fixed)
            state, value, norm, right = train_step(objective, optimiser, state, batch, training.accumulate)
            return state, Measured(value, norm, right[fixed % len(right) :, -1].mean())

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


def make_optimiser(training: Training) -> optax.GradientTransformation:
    """Adam (Kingma and Ba 2015) on clipped gradients, the learning rate by its schedule."""
    schedules, rate, warmup = optax.schedules, training.learning_rate, training.warmup
    after = schedules.constant_schedule(rate)
    if training.schedule == "cosine":
        after = schedules.cosine_decay_schedule(rate, max(training.steps - warmup, 1))
    schedule = schedules.join_schedules([schedules.linear_schedule(0.0, rate, warmup), after], [warmup])
    return optax.chain(optax.clip_by_global_norm(training.clip), optax.adam(schedule, eps=training.adam_epsilon))


def with_fixed_permutation(batch: Batch | ImplicitBatch, fixed: int) -> Batch | ImplicitBatch:
    """The first `fixed` episodes of a batch with the base dataset's own classes as labels."""
    if fixed == 0:
        return batch
    classes = jnp.argsort(batch.label_map[:fixed], axis=1).astype(jnp.int32)  # the inverse of y = ρ(class)
    y = batch.y.at[:fixed].set(jnp.take_along_axis(classes, batch.y[:fixed], axis=1))
    return batch._replace(y=y, label_map=batch.label_map.at[:fixed].set(jnp.arange(classes.shape[1], dtype=jnp.int32)))
