"""Asking a learner about chosen episodes, and what its predictions would be worth if inputs said nothing."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float64, Int16, Int32, Int64

from gpicl_bench import tasks
from gpicl_bench.diagnosing.cell import Cell, Tasks
from gpicl_bench.learners import Adapter, Block
from gpicl_bench.learners.adapter import Labels, Scores
from gpicl_bench.learners.prediction import predicted
from gpicl_bench.learners.sequence import BLOCK
from gpicl_bench.streams import Key, child_key
from gpicl_bench.suite import Split

_EARLY, _LATE = 20, 10  # the first twentieth and the last tenth of an episode, one position at least


def positions(num_examples: int) -> tuple[Int64[np.ndarray, " P"], int]:
    """The positions that a cell asks, and how many of them are early: 0 … 4 and 90 … 99 for T = 100."""
    early, late = max(1, num_examples // _EARLY), max(1, num_examples // _LATE)
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
    return np.concatenate([adapter.predict(part, asked) for part in each])


def ask_cell(
    adapter: Adapter,
    kind: Tasks,
    split: Split,
    episodes: Sequence[tuple[int, int]],
    key: Key,
    advance: Callable[[int], None],
) -> Cell:
    """One cell: these episodes of a split, pairs (i, e)."""
    asked, early = positions(split.info.T)
    outcome, expected = [], []
    for start in range(0, len(episodes), BLOCK):
        part = episodes[start : start + BLOCK]
        block = drawn(split, part, child_key(key, start))
        prediction = predicted(adapter.predict(block, asked))
        outcome.append(prediction == block.y[:, asked])
        expected += [_expected(split, i, y, p, asked) for (i, _), y, p in zip(part, block.y, prediction, strict=True)]
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
    )


def _expected(
    split: Split,
    task: int,
    y: Int32[np.ndarray, " T"],
    prediction: Int16[np.ndarray, " P"],
    asked: Int64[np.ndarray, " P"],
) -> Float64[np.ndarray, " P"]:
    """The probability of each predicted label among what the task has left to draw, after k examples."""
    num_classes, left = split.info.C, np.zeros((len(asked), split.info.C))
    left[:, _label_map(split, task)] = np.bincount(split.part.labels, minlength=num_classes)
    if not split.dataset.replacement:
        shown = np.eye(num_classes)[y].cumsum(axis=0) - np.eye(num_classes)[y]  # of each label before position t
        left -= shown[asked]
    return left[np.arange(len(asked)), prediction] / left.sum(axis=1)


def _label_map(split: Split, task: int) -> Int32[np.ndarray, " C"]:
    """The label of each class, without drawing the task's projection."""
    if split.spec.label == "none":
        return np.arange(split.info.C, dtype=np.int32)
    return tasks.label_map(child_key(split.key("label"), task), split.info.C)
