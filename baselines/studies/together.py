"""Many runs in one program: `vmap` over seeds, sizes of the pool and the numbers of the optimiser.

Runs of one program differ in what is a number to it (`VARIED`) and in nothing else. They go through the same steps on
the same device; where JAX sees several devices, each trains its share of the runs. A run whose loss is no number does
not disturb the others. While a group trains, its state is kept every minute, and training goes on from there.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, PyTree
from safetensors.numpy import save

from baselines.checkpoint import CheckpointError, named_arrays, read_about, read_arrays, write_checkpoint
from baselines.devices import cores, hardware, memory_needed, memory_there
from baselines.learner import MetaTrained, card, for_length, in_form, max_examples
from baselines.model import skeleton
from baselines.settings import Settings, model_class
from baselines.studies.grid import SOURCES
from baselines.training import State, Varied, make_tasks, make_trainer, seed_words
from gpicl_bench import Info
from gpicl_bench.errors import GpiclBenchError
from gpicl_bench.sampling import ImplicitSampler, Sampler

VARIED = ("seed", "num_tasks", *Varied._fields)
AT_ONCE = {"cpu": 8, "gpu": 24, "tpu": 24}  # runs of a group: enough to fill the device, few enough to see progress
KEEP_EVERY = 60.0  # seconds between two keepings
Row = dict[str, Any]


class DoesNotFit(GpiclBenchError):
    """A run, or some at once, need more memory than the device has."""


@dataclass(frozen=True)
class Trained:
    """A run that has gone through its steps.

    Attributes:
        settings: that determined it.
        weights: after the last step: nothing was selected.
        rows: of metrics, one a look: `step`, `loss`, `seen_accuracy`, `validation_loss`, `validation_accuracy`.
        seconds: its share of the time that its group trained.
    """

    settings: Settings
    weights: PyTree[Array]
    rows: list[Row]
    seconds: float

    @property
    def parameters(self) -> int:
        """Numbers that were trained."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.weights))

    @property
    def failure(self) -> str | None:
        """Why this is no learner: its loss, or a weight, is no number."""
        for row in self.rows:
            if row["loss"] is None or row["validation_loss"] is None:
                return f"the loss is no number before step {row['step']:,}"
        finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(self.weights))
        return None if finite else "a weight is no number after the last step"

    def learner(self, info: Info) -> MetaTrained:
        """As a sequence learner of suites with the D and C that it was trained with, and any T that it can take."""
        kind, own = model_class(self.settings.model), self.settings.made_suite.info
        longest = max_examples(kind, own, self.settings.config)
        shapes, static = skeleton(kind, for_length(own, longest, info.T), self.settings.config)
        weights = jax.tree.unflatten(jax.tree.structure(shapes), jax.tree.leaves(self.weights))
        about = {
            "settings": self.settings.plain(),
            "step": self.rows[-1]["step"],
            "seconds": round(self.seconds, 2),
            "hardware": hardware(cores()),
            "parameters": self.parameters,
            "sha256": hashlib.sha256(save(named_arrays(self.weights))).hexdigest(),
        }
        limit = {"max_examples": longest} if longest else {}
        return in_form(MetaTrained(eqx.combine(weights, static), {**card(about), **limit}), "sequence")


def program(settings: Settings) -> str:
    """What runs must agree in to be trained together, as text."""
    plain = settings.plain()
    training = {name: value for name, value in plain["training"].items() if name not in VARIED}
    same = {**plain, "training": training, "unbounded": settings.training.num_tasks is None}
    return json.dumps(same, sort_keys=True)


class Program(NamedTuple):
    """The functions of a group and its start.

    Attributes:
        start: () -> State, each leaf with a leading axis of runs.
        train: (State, steps [n]) -> (State, Measured [run, n]).
        look: (weights) -> Looked [run].
        memory: (State, steps [n]) -> the bytes that `train` needs.
    """

    start: Callable[[], State]
    train: Callable[..., Any]
    look: Callable[..., Any]
    memory: Callable[..., int]


def make_program(group: Sequence[Settings]) -> Program:
    """The program of settings that agree in all but `VARIED`."""
    first, mesh, runs = group[0], _mesh(), _padded(group)
    trainer, sampler = make_trainer(first), make_tasks(first)
    numbers = _stacked([_numbers(make_tasks(settings)) for settings in runs])  # one copy of the images at a time
    training = [settings.training for settings in runs]
    varied = Varied(*(np.array([getattr(t, name) for t in training], np.float32) for name in Varied._fields))
    seeds = np.stack([seed_words(t.seed) for t in training])
    validation = jax.jit(lambda tasks: tasks(0))(
        first.made_suite.meta_validation.sampler(first.training.validation_tasks)
    )

    def train(state: State, steps: Any, sampler: Any, numbers: Any, varied: Varied) -> Any:
        def one(state: State, number: Any, options: Varied) -> Any:
            return trainer.train(_with_numbers(sampler, number), state, steps, options)

        return jax.vmap(one)(state, numbers, varied)

    def look(weights: Any, batch: Any) -> Any:
        return jax.vmap(trainer.look, in_axes=(0, None))(weights, batch)

    run, whole = PartitionSpec("run"), PartitionSpec()
    train = _shared(train, mesh, (run, whole, whole, run, run), run)
    numbers, varied, seeds = _placed((numbers, varied, seeds), mesh, run)
    sampler, validation = _placed((sampler, validation), mesh, whole)
    jitted = jax.jit(train, donate_argnums=0)
    jitted_look = jax.jit(_shared(look, mesh, (run, whole), run))
    compiled: dict[int, Any] = {}

    def ready(state: State, steps: np.ndarray) -> Any:
        if len(steps) not in compiled:
            compiled[len(steps)] = jitted.lower(state, steps, sampler, numbers, varied).compile()
        return compiled[len(steps)]

    return Program(
        start=lambda: jax.jit(jax.vmap(trainer.start))(seeds),
        train=lambda state, steps: ready(state, steps)(_placed(state, mesh, run), steps, sampler, numbers, varied),
        look=lambda weights: jitted_look(weights, validation),
        memory=lambda state, steps: memory_needed(ready(state, steps)),
    )


def train_together(
    group: Sequence[Settings],
    place: Path,
    report: Callable[[int], None] = lambda step: None,
    enough: Callable[[list[Row], int], bool] | None = None,
) -> list[Trained]:
    """Train runs that agree in all but `VARIED`.

    Args:
        group: their settings.
        place: a folder for what is kept while they train; of another group nothing there is used.
        report: called with the number of steps done.
        enough: of the metrics of one run and C; when it holds for every run, training ends early.

    Raises:
        DoesNotFit: they are too large for the memory of a device.
    """
    trainer, first, classes = make_program(group), group[0].training, group[0].made_suite.info.C
    check_fits(trainer, group, min(first.every, first.steps))
    kept = place / _of_group(group)
    state, about = _resumed(kept, trainer.start, len(group))
    began, last = time.monotonic() - about["seconds"], time.monotonic()
    while about["step"] < first.steps and not about["enough"]:
        steps = np.arange(about["step"], min(about["step"] + first.every, first.steps), dtype=np.int32)
        state, measured = trainer.train(state, steps)
        looked = jax.tree.map(np.asarray, trainer.look(state.weights))
        measured, done = jax.tree.map(np.asarray, measured), int(steps[-1]) + 1
        for r, rows in enumerate(about["rows"]):
            rows.append(_row(done, jax.tree.map(lambda a, r=r: a[r], (measured, looked))))
        over = enough is not None and all(enough(rows, classes) for rows in about["rows"])
        about = {**about, "step": done, "seconds": time.monotonic() - began, "enough": over}
        if time.monotonic() - last > KEEP_EVERY or done == first.steps or over:
            write_checkpoint(kept, state, about)
            last = time.monotonic()
        report(done)
    weights = jax.tree.map(np.asarray, state.weights)
    share = about["seconds"] / len(group)
    return [
        Trained(settings, jax.tree.map(lambda a, r=r: jnp.asarray(a[r]), weights), about["rows"][r], share)
        for r, settings in enumerate(group)
    ]


def forget(place: Path) -> None:
    """Delete what groups kept while they trained."""
    for path in place.glob("*"):
        path.unlink()
    if place.exists():
        place.rmdir()


def _row(step: int, found: Any) -> Row:
    """A look; what is no number is None, as JSON has it."""
    measured, looked = found
    row = {
        "loss": measured.loss.mean(),
        "seen_accuracy": measured.accuracy.mean(),
        "validation_loss": looked.loss,
        "validation_accuracy": looked.accuracy[-1],
    }
    return {"step": step, **{name: round(float(v), 5) if np.isfinite(v) else None for name, v in row.items()}}


def _resumed(kept: Path, start: Callable[[], State], count: int) -> tuple[State, Row]:
    """What this very group kept, or its start."""
    if kept.with_suffix(".json").exists():
        try:
            return read_arrays(kept, jax.eval_shape(start)), read_about(kept)
        except CheckpointError:  # cut off or damaged: it is only a short cut, and the start gives the same
            for suffix in (".json", ".safetensors"):
                kept.with_suffix(suffix).unlink(missing_ok=True)
    return start(), {"step": 0, "seconds": 0.0, "rows": [[] for _ in range(count)], "enough": False}


def check_fits(trainer: Program, group: Sequence[Settings], steps: int) -> int:
    """The bytes that runs need, so many steps a call; found without taking them.

    Raises:
        DoesNotFit: a device does not have them.
    """
    needed = trainer.memory(jax.eval_shape(trainer.start), np.arange(steps, dtype=np.int32))
    count, there = len(group), memory_there()
    if needed > there:
        raise DoesNotFit(
            f"{count} run{'s' * (count > 1)} at once need more memory than a device has",
            expected=f"at most {there / 1e9:.1f} GB",
            got=f"{needed / 1e9:.1f} GB at batch_size {group[0].training.batch_size}",
            hint="a smaller batch_size or model; a larger accumulate; compute bfloat16",
        )
    return needed


def _of_group(group: Sequence[Settings]) -> str:
    """The name of what is kept: of these settings, and of this file of a model of one's own."""
    told = [[settings.plain() for settings in group], SOURCES.get(group[0].model)]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


def _numbers(sampler: Sampler | ImplicitSampler) -> Any:
    """What differs between the samplers of runs: keys, and the size of the pool."""
    examples = sampler if isinstance(sampler, Sampler) else sampler.examples
    return examples.keys, examples.num_tasks


def _with_numbers(sampler: Sampler | ImplicitSampler, numbers: Any) -> Sampler | ImplicitSampler:
    """A sampler with the keys and the pool of one run."""
    keys, num_tasks = numbers
    if isinstance(sampler, Sampler):
        return replace(sampler, keys=keys, num_tasks=num_tasks)
    return replace(sampler, examples=replace(sampler.examples, keys=keys, num_tasks=num_tasks))


def _mesh() -> Mesh | None:
    return Mesh(np.array(jax.devices()), ("run",)) if jax.device_count() > 1 else None


def _padded(group: Sequence[Settings]) -> list[Settings]:
    """Equally many runs for each device; the last runs are trained twice where they do not divide."""
    count = jax.device_count()
    return [*group, *[group[-1]] * (-len(group) % count)]


def _shared(function: Callable[..., Any], mesh: Mesh | None, inputs: Any, outputs: Any) -> Callable[..., Any]:
    if mesh is None:
        return function
    return jax.shard_map(function, mesh=mesh, in_specs=inputs, out_specs=outputs, check_vma=False)


def _placed(tree: Any, mesh: Mesh | None, spec: PartitionSpec) -> Any:
    return jax.device_put(tree, NamedSharding(mesh, spec)) if mesh else jax.tree.map(jnp.asarray, tree)


def _stacked(trees: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *trees)
