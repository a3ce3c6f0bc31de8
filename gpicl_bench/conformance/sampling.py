"""The check of a suite's JAX sampler against its NumPy episodes."""

from typing import Any

import numpy as np

from gpicl_bench.conformance.outcome import require, require_same
from gpicl_bench.conformance.places import PLACES, POOLS, STEP, Looked
from gpicl_bench.suite import Split

_FIELDS = ("x", "y", "label_map")


def same_bytes(looked: Looked) -> None:
    """Any episode of any split, under `jit`, and the numbers of a meta-training batch."""
    import jax

    compiled = jax.jit(lambda sampler, task, episode: sampler.episodes(task, episode))
    for split in looked.splits:
        numbers = [np.array([_pair(n) for n in column], np.uint32) for column in zip(*PLACES, strict=True)]
        batch = compiled(split.sampler(len(PLACES)), *numbers)
        for slot, (i, e) in enumerate(PLACES):
            episode = looked.episode(split, i, e)
            _compare(split, batch, slot, (episode.x, episode.y, split.label_map(i)), f"task {i}, episode {e}")
    train = looked.suite.meta_train
    for num_tasks, seed in POOLS:
        host = looked.batch(num_tasks, seed)
        task, episode = jax.jit(lambda sampler: sampler.numbers(STEP))(train.sampler(2, num_tasks, seed))
        found = [np.asarray(task).tolist(), np.asarray(episode).tolist()]
        wanted = [[_pair(int(n)) for n in column] for column in (host.task, host.episode)]
        require_same("the sampler draws other tasks", found, wanted, f"{looked.id}, batch {STEP}, pool {num_tasks}")


def _compare(split: Split, batch: Any, slot: int, expected: tuple[np.ndarray, ...], place: str) -> None:
    for field, wanted in zip(_FIELDS, expected, strict=True):
        got = np.asarray(getattr(batch, field))[slot]
        where = f"{split.spec.id}, {split.name}, {place}, {field}"
        kind = (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
        said = f"{(got != wanted).sum()} other numbers" if kind else f"{got.dtype} of shape {got.shape}"
        same = kind and got.tobytes() == wanted.tobytes()
        require(same, "the JAX sampler differs from NumPy", expected="the same bytes", got=said, where=where)


def _pair(number: int) -> list[int]:
    return [number >> 32, number & 0xFFFFFFFF]
