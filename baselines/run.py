"""A meta-training run in a folder: it can be killed at any moment and resumed to the same weights.

The folder holds `run.json` (settings and where it ran), `metrics.jsonl` (one line a look), the last checkpoints
`checkpoint-<step>`, and `best`, the weights with the lowest loss on `meta_validation` so far.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from baselines.checkpoint import CheckpointError, read_about, read_arrays, write_checkpoint, write_file, write_json
from baselines.settings import Settings
from baselines.training import Measured, State, Trainer, make_trainer
from gpicl_bench import provenance
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
        folder: of the run; new, or with `resume` that of a run with the same settings.
        resume: go on from the last checkpoint, or start if there is none.
        report: called with each line of metrics.

    Returns:
        Whether anything was trained: False for a run that had finished.

    Raises:
        TrainingError: the folder holds another run, the batch does not fit, or the loss is no number.
        CheckpointError: a checkpoint is damaged.
    """
    with _locked(folder):
        _enter(settings, folder, resume)
        trainer = make_trainer(settings)
        state, about = _restored(trainer, folder)
        if about["step"] == settings.training.steps:
            return False
        _tidy(folder, about["step"])
        _train(settings, folder, trainer, state, about, report)
    return True


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a run, oldest first, as paths without suffix."""
    return [path.with_suffix("") for path in sorted(folder.glob("checkpoint-*.json"))]


def read_metrics(folder: Path) -> list[Row]:
    """The lines of metrics, without one that a crash cut off."""
    file = folder / "metrics.jsonl"
    lines = file.read_text().split("\n") if file.exists() else [""]
    return [json.loads(line) for line in lines[:-1]]


def _train(
    settings: Settings, folder: Path, trainer: Trainer, state: State, about: Row, report: Callable[[Row], None]
) -> None:
    training, suite = settings.training, settings.made_suite
    sampler = suite.meta_train.sampler(training.batch_size, training.num_tasks, training.seed)
    validation = jax.jit(lambda tasks: tasks(0))(suite.meta_validation.sampler(training.validation_tasks))
    look, compiled, said = jax.jit(trainer.look), {}, describe(settings)
    began, spent = time.monotonic(), about["seconds"]
    while about["step"] < training.steps:
        step = about["step"]
        count = min(training.every, training.steps - step)
        numbers = jnp.arange(step, step + count, dtype=jnp.int32)
        with _fitting(settings):
            if count not in compiled:
                compiled[count] = jax.jit(trainer.train, donate_argnums=1).lower(sampler, state, numbers).compile()
                _check_memory(compiled[count], settings)
            since = time.monotonic()
            state, measured = jax.block_until_ready(compiled[count](sampler, state, numbers))
            rate = count * training.batch_size / (time.monotonic() - since)
            _check_finite(measured, step, folder)
            looked = jax.block_until_ready(look(state.weights, validation))
        row = {
            "step": step + count,
            "loss": float(measured.loss.mean()),
            "gradient_norm": float(measured.gradient_norm.mean()),
            "seen_accuracy": float(measured.accuracy.mean()),
            "validation_loss": float(looked.loss),
            "validation_accuracy": float(looked.accuracy[-1]),
            "validation_curve": [round(float(a), 4) for a in looked.accuracy],
            "tasks_per_second": round(rate, 1),
            "seconds": round(spent + time.monotonic() - began, 2),
        }
        about = _kept(folder, state, {**about, **said}, row)
        report(row)


def _kept(folder: Path, state: State, about: Row, row: Row) -> Row:
    """After a look: the metrics, the best weights, and last the checkpoint that stands for all of it."""
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    count = sum(leaf.size for leaf in jax.tree.leaves(state.weights))
    now = {**about, "parameters": count, "step": row["step"], "seconds": row["seconds"]}
    if about["best"] is None or row["validation_loss"] < about["best"]["validation_loss"]:
        now["best"] = {name: row[name] for name in ("step", "validation_loss", "validation_accuracy")}
        write_checkpoint(folder / "best", State(state.weights, None), now)
    write_checkpoint(folder / f"checkpoint-{row['step']:010d}", state, now)
    for old in checkpoints(folder)[:-KEPT]:
        old.with_suffix(".json").unlink()
        old.with_suffix(".safetensors").unlink()
    return now


def describe(settings: Settings) -> Row:
    """What a run and a checkpoint say of themselves."""
    cores = f", {len(os.sched_getaffinity(0))} cores" if jax.default_backend() == "cpu" else ""
    return {
        "settings": settings.plain(),
        "info": asdict(settings.made_suite.info),
        "deterministic": "--xla_gpu_deterministic_ops=true" in os.environ.get("XLA_FLAGS", ""),
        "hardware": jax.devices()[0].device_kind + cores,
        "provenance": asdict(provenance()),
    }


def _restored(trainer: Trainer, folder: Path) -> tuple[State, Row]:
    """The last checkpoint that is whole, or the start."""
    found = checkpoints(folder)
    if not found:
        return trainer.start(), {"step": 0, "seconds": 0.0, "best": None}
    return read_arrays(found[-1], jax.eval_shape(trainer.start)), read_about(found[-1])


def _enter(settings: Settings, folder: Path, resume: bool) -> None:
    """Write run.json, or compare with the one that is there."""
    file = folder / "run.json"
    if not file.exists():
        write_json(file, describe(settings))
        return
    if not resume:
        raise TrainingError(
            "this folder holds a run", got=str(folder), hint="--resume to go on with it, or another --output"
        )
    try:
        found = json.loads(file.read_bytes())["settings"]
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError("run.json is damaged", got=str(error), where=str(file)) from error
    ours, theirs = _flat(settings.plain()), _flat(found)
    other = [name for name in ours | theirs if ours.get(name) != theirs.get(name)]
    if other:
        raise TrainingError(
            "the run in this folder has other settings",
            expected=", ".join(f"{name} = {theirs.get(name)}" for name in other),
            got=", ".join(f"{name} = {ours.get(name)}" for name in other),
            where=str(file),
            hint="the same options as at first, or another --output",
        )


def _flat(settings: Row) -> Row:
    return {
        k: v
        for name, value in settings.items()
        for k, v in (value if isinstance(value, dict) else {name: value}).items()
    }


def _tidy(folder: Path, step: int) -> None:
    """Forget what came after the checkpoint: it will be measured again; and files that a crash left behind."""
    rows = [row for row in read_metrics(folder) if row["step"] <= step]
    write_file(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode())
    whole = {path.name for path in checkpoints(folder)}
    for path in folder.glob("checkpoint-*.safetensors"):
        if path.stem not in whole:
            path.unlink()
    for path in folder.glob(".*.*.[0-9]*"):  # what `write_file` had not put in place
        path.unlink()


def _check_finite(measured: Measured, step: int, folder: Path) -> None:
    bad = ~(np.isfinite(measured.loss) & np.isfinite(measured.gradient_norm))
    if bad.any():
        first = int(bad.argmax())
        last = checkpoints(folder)[-1:]
        raise TrainingError(
            "the loss or its gradient is no number",
            got=f"loss {measured.loss[first]}, norm of the gradient {measured.gradient_norm[first]}",
            where=f"step {step + first}",
            hint=f"the last good checkpoint is {last[0] if last else 'the start'}; a lower --learning-rate, "
            "a longer --warmup, a larger --adam-epsilon, a smaller --clip or --compute float32 may help",
        )


def _check_memory(compiled: Any, settings: Settings) -> None:
    """Refuse, before it starts, what the device has no memory for."""
    wanted = compiled.memory_analysis()
    if wanted is None:
        return
    needed = wanted.temp_size_in_bytes + wanted.argument_size_in_bytes
    device = (jax.devices()[0].memory_stats() or {}).get("bytes_limit")
    there = device or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise _does_not_fit(settings, f"{needed / 1e9:.1f} GB", f"at most {there / 1e9:.1f} GB")


def _does_not_fit(settings: Settings, needed: str, there: str) -> TrainingError:
    return TrainingError(
        "the batch does not fit into the memory of the device",
        expected=there,
        got=f"{needed} for batch_size {settings.training.batch_size}",
        hint=f"--batch-size {max(settings.training.batch_size // 2, 1)} or less; --compute bfloat16; a smaller model",
    )


@contextmanager
def _fitting(settings: Settings) -> Iterator[None]:
    """What XLA says when the memory does not suffice, as advice."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise _does_not_fit(settings, "more than there is", str(error).splitlines()[0]) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time in a folder; the lock goes with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise TrainingError("another process trains in this folder", got=str(folder)) from error
        yield
