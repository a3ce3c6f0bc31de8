"""Checks of tasks and episodes against the formulas of the protocol, written a second time and plainly."""

import math
from statistics import NormalDist

import numpy as np

from gpicl_bench.conformance.outcome import require, require_range, require_same
from gpicl_bench.conformance.places import PLACES, Looked
from gpicl_bench.streams import child_key, random_bytes, words
from gpicl_bench.suite import Split, Task

TABLE = np.array([round(20 * NormalDist().inv_cdf((b + 0.5) / 256)) for b in range(256)], np.int8)
SIGMA = math.sqrt(sum(int(t) ** 2 for t in TABLE) / 256)
_ENTRIES, _TASKS = 2**16, 64  # of projections that are pooled, and at most of so many tasks
_ERRORS = 6.0  # standard errors that a mean or a variance may be off: once in 10^9


def shapes(looked: Looked) -> None:
    """Arrays of the right shapes and types, finite, in range."""
    for split in looked.splits:
        info, size = split.info, split.dataset.size[split.images]
        for i, e in PLACES:
            episode, where = looked.episode(split, i, e), _where(split, i, e)
            expected = {"x": ((info.T, info.D), "float32"), "y": ((info.T,), "int32"), "indices": ((info.T,), "int32")}
            got = {name: (getattr(episode, name).shape, str(getattr(episode, name).dtype)) for name in expected}
            require_same("an episode has other arrays", got, expected, where)
            require_same("x is not finite", bool(np.isfinite(episode.x).all()), True, where)
            require_range("y", episode.y, info.C, where)
            require_range("indices", episode.indices, size, where)
            if not split.dataset.replacement:
                require_same("an image comes twice", len(np.unique(episode.indices)), info.T, where)


def label_maps(looked: Looked) -> None:
    """Each a permutation of the classes, by the protocol's words; the labels of an episode are those of its images."""
    for split in looked.splits:
        for i, e in PLACES:
            task, where, count = looked.task(split, i), _where(split, i, e), split.info.C
            if split.spec.label == "none":
                expected = np.arange(count)
            else:
                expected = np.argsort(words(child_key(split.key("label"), i), count), kind="stable")
            _equal("the label map", task.label_map, expected, where)
            _equal("label_map(i)", split.label_map(i), expected, where)
            _equal("sorted label map", np.sort(task.label_map), np.arange(count), where)
            episode = looked.episode(split, i, e)
            _equal("y", episode.y, expected[split.part.labels[episode.indices]], where)
            _equal("labels(i, e)", split.labels(i, e), episode.y, where)


def inputs(looked: Looked) -> None:
    """x of each episode, from its images and its task."""
    for split in looked.splits:
        for i, e in PLACES:
            task, episode = looked.task(split, i), looked.episode(split, i, e)
            expected = _expected_inputs(split, task, split.part.pixels[episode.indices], _where(split, i, e))
            _equal("x", episode.x, expected, _where(split, i, e))


def spread(looked: Looked) -> str | None:
    """Entries of A have mean 0 and variance 1/D, over the tasks of meta_test."""
    split, drawn = looked.suite.meta_test, []
    if split.spec.input != "proj":
        return "there are no projections"
    size = split.info.D**2
    for i in range(min(_TASKS, max(1, math.ceil(_ENTRIES / size)))):
        projection = looked.task(split, i).projection
        drawn.append(np.asarray(projection, np.float64).reshape(-1) / SIGMA)
    entries, where = np.concatenate(drawn), f"{split.spec.id}, meta_test, {len(drawn)} tasks"
    error = _ERRORS / math.sqrt(len(entries))
    mean, variance = float(entries.mean()), float(np.square(entries).mean())
    for name, got, about, off in (("mean", mean, 0, error), ("variance", variance, 1, math.sqrt(2) * error)):
        bound = f"{about} ± {off:.2g}, where 1 is the variance 1/D"
        require(abs(got - about) <= off, f"the {name} of A is another", expected=bound, got=got, where=where)
    return None


def _expected_inputs(split: Split, task: Task, pixels: np.ndarray, where: str) -> np.ndarray:
    known, key, size = split.dataset, child_key(split.key("input"), task.number), split.info.D
    centred = pixels.astype(np.float64) - known.center
    if split.spec.input == "proj":
        matrix = TABLE[random_bytes(key, size * size)].reshape(size, size)
        _equal("A_int", task.projection, matrix, where)
        whole = centred @ matrix.T.astype(np.float64)  # exact: below 2^53
        return whole.astype(np.float32) * np.float32(1 / ((SIGMA * math.sqrt(size)) * known.std))
    order = np.arange(size)
    if split.spec.input == "pixperm":
        order = np.argsort(words(key, size), kind="stable")
        _equal("q", task.pixel_order, order, where)
    return centred[:, order].astype(np.float32) * np.float32(1 / known.std)


def _where(split: Split, i: int, e: int) -> str:
    return f"{split.spec.id}, {split.name}, task {i}, episode {e}"


def _equal(name: str, got: np.ndarray | None, expected: np.ndarray, where: str) -> None:
    """The same numbers; the error shows the first that differs."""
    require_same(f"{name} has another shape", None if got is None else got.shape, expected.shape, where)
    for index in np.argwhere(got != expected)[:1]:
        first = tuple(index.tolist())
        require_same(f"{name} is another", np.asarray(got)[first], expected[first], f"{where}, index {list(first)}")
