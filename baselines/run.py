"""A meta-training run in a folder: it can be killed at any moment and resumed to the same weights.

The folder holds `run.json` (settings and where it ran), `metrics.jsonl` (one line a look), the last checkpoints
`checkpoint-<step>`, and `best-<step>`, the weights with the lowest loss on `meta_validation` so far. The last
checkpoint stands for all of it: it is written last, and says which weights are the best.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from baselines.agreement import by_first, together
from baselines.checkpoint import CheckpointError, read_about, read_arrays, write_checkpoint, write_file, write_json
from baselines.devices import cores, hardware, here, make_mesh, memory_needed, memory_there, placed, whole
from baselines.settings import Settings
from baselines.training import Looked, Measured, State, Trainer, make_tasks, make_trainer
from gpicl_bench import Batch, provenance
from gpicl_bench.errors import GpiclBenchError

KEPT = 3  # checkpoints
Row = dict[str, Any]


class TrainingError(GpiclBenchError):
    """A run cannot start or cannot go on."""


def run(
    settings: Settings, folder: Path, resume: bool = False, report: Callable[[Row], None] = lambda row: None
) -> bool:
    """Meta-train, or go on where a checkpoint stands, and write the folder.

    Args:
        settings: what determines the weights.
        folder: of the run; without checkpoints, or with `resume` that of a run with the same settings.
        resume: go on from the last checkpoint, or start if there is none.
        report: called with each line of metrics.

    Of several processes the first alone reads and writes the folder, and reports.

    Returns:
        Whether anything was trained: False for a run that had finished.

    Raises:
        InvalidArgument: the devices do not divide the batch.
        TrainingError: the folder holds another run, the batch does not fit, or the loss is no number.
        CheckpointError: a checkpoint is damaged, or a file cannot be written.
        AnotherProcess: one of these was raised in another process.
    """
    mesh, suite = together(partial(make_mesh, settings.training)), settings.made_suite
    together(lambda: (suite.meta_train.part, suite.meta_validation.part))  # a host without images is found out here
    trainer = make_trainer(settings)
    with ExitStack() as held, _fitting(settings):
        enter = partial(_entered, held, settings, folder, resume, trainer)
        state, about = by_first(enter, jax.eval_shape(trainer.start))
        if about["step"] == settings.training.steps:
            return False
        _train(settings, folder, mesh, trainer, state, about, report)
    return True


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first, as paths without suffix."""
    return [path.with_suffix("") for path in sorted(folder.glob(f"checkpoint-{'[0-9]' * 10}.json"))]


def best(folder: Path) -> Path:
    """The selected weights of a run, as a path without suffix.

    Raises:
        CheckpointError: there are none yet, or the last checkpoint is damaged.
    """
    found = checkpoints(folder)
    if not found:
        raise CheckpointError("this folder holds no checkpoint", expected="the folder of a run", got=str(folder))
    return _best(folder, read_about(found[-1]))


def read_metrics(folder: Path) -> list[Row]:
    """The lines of metrics, without one that a crash cut off.

    Raises:
        CheckpointError: a line is damaged.
    """
    file, rows = folder / "metrics.jsonl", []
    lines = file.read_bytes().split(b"\n") if file.exists() else [b""]
    for number, line in enumerate(lines[:-1], 1):
        try:
            rows.append(json.loads(line))
            rows[-1]["step"], rows[-1]["validation_curve"]
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError("the metrics are damaged", got=repr(error), where=f"{file}, line {number}") from error
    return rows


def _train(
    settings: Settings,
    folder: Path,
    mesh: Mesh | None,
    trainer: Trainer,
    state: State,
    about: Row,
    report: Callable[[Row], None],
) -> None:
    training = settings.training
    sampler, validation, state = make_tasks(settings, mesh), _validation(settings, mesh), placed(state, mesh)
    train = jax.jit(trainer.train, donate_argnums=1, out_shardings=whole(mesh))
    look, compiled = jax.jit(trainer.look, out_shardings=whole(mesh)), {}
    began, spent = time.monotonic(), about["seconds"]
    while about["step"] < training.steps:
        step = about["step"]
        count = min(training.every, training.steps - step)
        numbers = np.arange(step, step + count, dtype=np.int32)
        if count not in compiled:
            compiled[count] = train.lower(sampler, state, numbers).compile()
            together(partial(_check_memory, compiled[count], settings))
        since = time.monotonic()
        state, measured = jax.block_until_ready(compiled[count](sampler, state, numbers))
        rate = count * training.batch_size / (time.monotonic() - since)
        measured, looked = here((measured, jax.block_until_ready(look(state.weights, validation))))
        times = {"tasks_per_second": round(rate, 1), "seconds": round(spent + time.monotonic() - began, 2)}
        about = by_first(partial(_noted, folder, state, measured, looked, about, times, report), None)[1]


def _noted(
    folder: Path,
    state: State,
    measured: Measured,
    looked: Looked,
    about: Row,
    times: Row,
    report: Callable[[Row], None],
) -> tuple[None, Row]:
    """After a look: check it, keep it, report it."""
    _check_finite(state, measured, looked, about["step"], folder)
    row = {
        "step": about["step"] + len(measured.loss),
        "loss": float(measured.loss.mean()),
        "gradient_norm": float(measured.gradient_norm.mean()),
        "seen_accuracy": float(measured.accuracy.mean()),
        "validation_loss": float(looked.loss),
        "validation_accuracy": float(looked.accuracy[-1]),
        "validation_curve": [round(float(a), 4) for a in looked.accuracy],
        **times,
    }
    about = _kept(folder, state, about, row)
    report(row)
    return None, about


def _validation(settings: Settings, mesh: Mesh | None) -> Batch:
    """The tasks of a look, divided among the devices; where that is not possible, all of them on each."""
    count, split = settings.training.validation_tasks, settings.made_suite.meta_validation
    draw = jax.jit(lambda tasks: tasks(0))
    if mesh is None or count % mesh.size == 0:
        return draw(split.sampler(count, mesh=mesh))
    return placed(draw(split.sampler(count)), mesh)


def _kept(folder: Path, state: State, about: Row, row: Row) -> Row:
    """The metrics, the best weights, the checkpoint; only then goes what it replaces."""
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")
    count = sum(leaf.size for leaf in jax.tree.leaves(state.weights))
    now = {**about, "parameters": count, "step": row["step"], "seconds": row["seconds"]}
    if about["best"] is None or row["validation_loss"] < about["best"]["validation_loss"]:
        now["best"] = {name: row[name] for name in ("step", "validation_loss", "validation_accuracy")}
        write_checkpoint(_best(folder, now), State(state.weights, None), now)
    write_checkpoint(folder / f"checkpoint-{row['step']:010d}", state, now)
    _forget(folder, "checkpoint", {path.name for path in checkpoints(folder)[-KEPT:]})
    _forget(folder, "best", {_best(folder, now).name})
    return now


def describe(settings: Settings) -> Row:
    """What a run and a checkpoint say of themselves."""
    return {
        "settings": settings.plain(),
        "info": asdict(settings.made_suite.info),
        "deterministic": "--xla_gpu_deterministic_ops=true" in os.environ.get("XLA_FLAGS", ""),
        "hardware": hardware(cores()),
        "provenance": asdict(provenance()),
    }


def _entered(held: ExitStack, settings: Settings, folder: Path, resume: bool, trainer: Trainer) -> tuple[State, Row]:
    """The state to go on from, and what a checkpoint says of itself; the folder is locked as long as `held` is."""
    held.enter_context(locked(folder))
    said = describe(settings)
    _enter(said, folder, resume)
    state, about = _restored(trainer, folder)
    _tidy(folder, about)
    return state, {**about, **said}


def _enter(said: Row, folder: Path, resume: bool) -> None:
    """Write run.json where nothing has been trained yet; else compare the settings with those of the checkpoint."""
    found = checkpoints(folder)
    if not found:
        write_json(folder / "run.json", said)
        return
    if not resume:
        raise TrainingError(
            "this folder holds a run", got=str(folder), hint="--resume to go on with it, or another --output"
        )
    ours, theirs = _flat(said), _flat(read_about(found[-1]))
    other = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
    if other:
        raise TrainingError(
            "the run in this folder has other settings",
            expected=", ".join(f"{name} = {theirs.get(name)}" for name in other),
            got=", ".join(f"{name} = {ours.get(name)}" for name in other),
            where=str(folder),
            hint="the same options as at first, or another --output",
        )


def _flat(about: Row) -> Row:
    """What must be the same when a run goes on."""
    settings = about["settings"]
    flat = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    usual = {"tasks": "exact", "accumulate": 1}  # of runs that were begun before there was a choice
    return flat | settings["config"] | usual | settings["training"] | {"deterministic": about["deterministic"]}


def _restored(trainer: Trainer, folder: Path) -> tuple[State, Row]:
    """The last checkpoint, or the start."""
    found = checkpoints(folder)
    if not found:
        return trainer.start(), {"step": 0, "seconds": 0.0, "best": None}
    try:
        state, about = read_arrays(found[-1], jax.eval_shape(trainer.start)), read_about(found[-1])
        read_arrays(_best(folder, about), State(state.weights, None))
    except CheckpointError as error:
        hint = f"delete {found[-1].name}.* and --resume from the checkpoint before it" if len(found) > 1 else None
        raise CheckpointError(
            error.what, expected=error.expected, got=error.got, where=error.where, hint=hint
        ) from error
    return state, about


def _best(folder: Path, about: Row) -> Path:
    return folder / f"best-{about['best']['step']:010d}"


def _tidy(folder: Path, about: Row) -> None:
    """Forget what came after the checkpoint, for it will be measured again, and files that a crash left behind."""
    file = folder / "metrics.jsonl"
    rows = [row for row in read_metrics(folder) if row["step"] <= about["step"]]
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if not file.exists() or file.read_bytes() != text:
        write_file(file, text)
    _forget(folder, "checkpoint", {path.name for path in checkpoints(folder)[-KEPT:]})
    _forget(folder, "best", {_best(folder, about).name} if about["best"] else set())
    for kind in ("checkpoint-", "best-", "metrics.", "run."):  # what `write_file` had not put in place
        for path in folder.glob(f".{kind}*.[0-9]*"):
            path.unlink()


def _forget(folder: Path, kind: str, names: set[str]) -> None:
    """Delete the checkpoints of a kind that do not bear one of these names; the JSON first: then there is none."""
    for suffix in (".json", ".safetensors"):
        for path in folder.glob(f"{kind}-{'[0-9]' * 10}{suffix}"):
            if path.stem not in names:
                path.unlink()


def _check_finite(state: State, measured: Measured, looked: Looked, step: int, folder: Path) -> None:
    """Stop before anything that is no number is written."""
    losses, norms = np.asarray(measured.loss), np.asarray(measured.gradient_norm)
    bad = np.flatnonzero(~(np.isfinite(losses) & np.isfinite(norms)))
    where, got = step + len(losses), f"validation loss {looked.loss}, after an update of the weights"
    if len(bad):
        where, got = step + int(bad[0]), f"loss {losses[bad[0]]}, norm of the gradient {norms[bad[0]]}"
    elif jnp.isfinite(looked.loss) and all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state)):
        return
    last = checkpoints(folder)[-1:]
    raise TrainingError(
        "the loss or its gradient is no number",
        got=got,
        where=f"step {where}",
        hint=f"the last good checkpoint is {last[0] if last else 'the start'}; a lower --learning-rate, a longer "
        "--warmup, a larger --adam-epsilon, a smaller --clip or --compute float32, with another --output, may help",
    )


def _check_memory(compiled: Any, settings: Settings) -> None:
    """Refuse, before it starts, what the device has no memory for."""
    needed, there = memory_needed(compiled), memory_there()
    if needed > there:
        batch = settings.training.batch_size * there // needed
        batch -= batch % (jax.device_count() * settings.training.accumulate)
        raise _does_not_fit(settings, f"{needed / 1e9:.1f} GB", f"at most {there / 1e9:.1f} GB", batch)


def _does_not_fit(settings: Settings, needed: str, there: str, batch: int) -> TrainingError:
    smaller = f"--batch-size {batch} or less; " if batch > 0 else ""
    return TrainingError(
        "the run does not fit into the memory of the device",
        expected=there,
        got=f"{needed} for batch_size {settings.training.batch_size}",
        hint=f"{smaller}a larger --accumulate; --compute bfloat16; fewer --validation-tasks; a smaller model",
    )


@contextmanager
def _fitting(settings: Settings) -> Iterator[None]:
    """What XLA says when the memory does not suffice, as advice."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, MemoryError) as error:
        text = str(error) or "out of memory"
        if "RESOURCE_EXHAUSTED" not in text and "out of memory" not in text.lower():
            raise
        raise _does_not_fit(settings, "more", text.splitlines()[0], settings.training.batch_size // 2) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time in a folder; the lock goes with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError("another process works in this folder", got=str(folder)) from error
        yield
