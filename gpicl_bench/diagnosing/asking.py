"""Asking a learner about chosen episodes, and what its predictions would be worth if inputs said nothing."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64, Int16, Int32, Int64

from gpicl_bench.diagnosing.cell import Cell, Tasks
from gpicl_bench.errors import LearnerError
from gpicl_bench.learners import Adapter, Block
from gpicl_bench.learners.adapter import Labels, Scores
from gpicl_bench.learners.prediction import predicted
from gpicl_bench.learners.sequence import BLOCK
from gpicl_bench.streams import Key, child_key
from gpicl_bench.suite import Split

_EARLY, _LATE = 20, 10  # the first twentieth and the last tenth of an episode, one position at least
_MOST_EARLY = 5  # more labelled examples can teach much


def positions(num_examples: int) -> tuple[Int64[np.ndarray, " P"], int]:
    """The positions that a cell asks, and how many of them are early: 0 … 4 and 90 … 99 for T = 100."""
    early, late = min(max(1, num_examples // _EARLY), _MOST_EARLY), max(1, num_examples // _LATE)
    return np.concatenate([np.arange(early), np.arange(num_examples - late, num_examples)]), early


def drawn(split: Split, episodes: Sequence[tuple[int, int]], key: Key) -> Block:
    """Episodes e of tasks i, pairs (i, e), as a block; row r has child r of the key."""
    found = [split.episode(i, e) for i, e in episodes]
    keys = np.stack([child_key(key, row) for row in range(len(episodes))])
    return Block([i for i, _ in episodes], np.stack([f.x for f in found]), np.stack([f.y for f in found]), keys)


def answers(adapter: Adapter, block: Block, asked: Int64[np.ndarray, " P"]) -> Scores | Labels:
    """Scores or labels, asked in parts of 64 episodes: memory is bounded."""
    parts = [slice(start, start + BLOCK) for start in range(0, len(block.tasks), BLOCK)]
    each = [Block(block.tasks[p], block.x[p], block.y[p], block.keys[p]) for p in parts]
    found = [adapter.predict(part, asked) for part in each]
    if len({part.ndim for part in found}) > 1:
        raise LearnerError(
            "the learner returns scores for some tasks and labels for others",
            expected="one of the two, always",
            where=adapter.name,
        )
    return np.concatenate(found)


def ask_cell(
    adapter: Adapter | None,
    kind: Tasks,
    split: Split,
    episodes: Sequence[tuple[int, int]],
    key: Key,
    advance: Callable[[int], None],
) -> Cell:
    """One cell: these episodes of a split, pairs (i, e). Without an adapter 1-NN answers."""
    asked, early = positions(split.info.T)
    images = np.bincount(split.part.labels, minlength=split.info.C)  # of each class
    outcome, expected, attainable = [], [], []
    for start in range(0, len(episodes), BLOCK):
        part = episodes[start : start + BLOCK]
        block = drawn(split, part, child_key(key, start))
        prediction = nearest(block, asked) if adapter is None else predicted(adapter.predict(block, asked))
        outcome.append(prediction == block.y[:, asked])
        for (i, _), y, labels in zip(part, block.y, prediction, strict=True):
            left = np.empty_like(images)
            left[split.label_map(i)] = images
            expected.append(_share(left, y, labels, asked, split.dataset.replacement))
            attainable.append(1 - _share(left, y, y[asked], asked, split.dataset.replacement))
        advance(len(part))
    return Cell(
        tasks=kind,
        images=split.images,
        suite=split.spec.id,
        task_set=split.task_set,
        num_tasks=len({i for i, _ in episodes}),
        positions=tuple(asked.tolist()),
        early=early,
        outcome=np.concatenate(outcome),
        expected=np.stack(expected).astype(np.float32),
        attainable=np.stack(attainable).astype(np.float32),
    )


def nearest(block: Block, asked: Int64[np.ndarray, " P"]) -> Int16[np.ndarray, "B P"]:
    """1-NN: the label of the nearest example before each query; 0 where there is none."""
    found = np.zeros((len(block.y), len(asked)), np.int16)
    for row, (x, y) in enumerate(zip(block.x, block.y, strict=True)):
        distances = np.square(x).sum(axis=1) - 2 * x[asked] @ x.T  # less the query's own square
        distances[np.arange(len(x)) >= asked[:, None]] = np.inf
        found[row] = np.where(asked > 0, y[distances.argmin(axis=1)], 0)
    return found


def _share(
    left: Int64[np.ndarray, " C"],
    y: Int32[np.ndarray, " T"],
    labels: Int16[np.ndarray, " P"] | Int32[np.ndarray, " P"],
    asked: Int64[np.ndarray, " P"],
    replacement: bool,
) -> Float64[np.ndarray, " P"]:
    """The share of each label among what a task has left to draw after k examples; `left`: images of each at first."""
    if replacement:
        return left[labels] / left.sum()
    shown = (y == labels[:, None]) & (np.arange(len(y)) < asked[:, None])
    return (left[labels] - shown.sum(axis=1)) / (left.sum() - asked)
