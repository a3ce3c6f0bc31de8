"""Asks a learner about many variants of the same episodes, mixed so that it cannot tell them apart.

Rows keep their index from call to call, so that equal inputs at one shape must give equal bits. Each row
goes through the variants in an order of its own: in every call originals, changed episodes and honeypots
stand side by side, after different histories and beside different neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64, UInt32

from gpicl_bench.auditing.perturbation import Kind, Variant, apply, single
from gpicl_bench.learners import Adapter, Block
from gpicl_bench.learners.sequence import BLOCK
from gpicl_bench.streams import child_key, root_key
from gpicl_bench.suite import Split

Answers = np.ndarray  # scores float64 [B, P, C], or labels int64 [B, P]


@dataclass(frozen=True, eq=False)
class Bench:
    """64 episodes, one a row: `of_record` tells public tasks from those of a set drawn at the time."""

    x: Float32[np.ndarray, "B T D"]
    y: Int32[np.ndarray, "B T"]
    keys: UInt32[np.ndarray, "B 2"]
    tasks: tuple[int, ...]
    of_record: Bool[np.ndarray, " B"]
    num_classes: int

    def name(self, row: int) -> str:
        """A row's task, for people."""
        return f"task {self.tasks[row]} of {'meta_test' if self.of_record[row] else 'the set drawn for this audit'}"

    def rows(self, chosen: list[int]) -> "Bench":
        """These rows, in this order."""
        return Bench(
            self.x[chosen],
            self.y[chosen],
            self.keys[chosen],
            tuple(self.tasks[row] for row in chosen),
            self.of_record[chosen],
            self.num_classes,
        )

    @cached_property
    def donors(self) -> Float32[np.ndarray, "B T D"]:
        """For each row the inputs of another."""
        return np.roll(self.x, 1, axis=0)


def draw_bench(record: Split, fresh: Split, learner_seed: int, rng: np.random.Generator) -> Bench:
    """Rows of record and fresh rows, in random order. Tasks of record are drawn from all 4,096."""
    of_record = rng.permutation(np.arange(BLOCK) < BLOCK // 2)
    tasks = tuple(int(i) for i in rng.choice(4096, size=BLOCK, replace=False))
    episodes = [(record if known else fresh).episode(i) for i, known in zip(tasks, of_record, strict=True)]
    root = root_key(f"gpicl-bench/learner/{learner_seed}")
    return Bench(
        np.stack([episode.x for episode in episodes]),
        np.stack([episode.y for episode in episodes]),
        np.stack([child_key(root, i) for i in tasks]),
        tasks,
        of_record,
        record.info.C,
    )


def ask(
    adapter: Adapter,
    bench: Bench,
    positions: Int64[np.ndarray, " P"],
    x: Float32[np.ndarray, "B T D"] | None = None,
    y: Int32[np.ndarray, "B T"] | None = None,
) -> Answers:
    """The answers of one call, at the bench's episodes or at changed ones."""
    x, y = bench.x if x is None else x, bench.y if y is None else y
    return adapter.predict(Block(range(len(x)), x, y, bench.keys[: len(x)]), positions)


@dataclass(frozen=True, eq=False)
class Mixed:
    """What was answered to each variant, by row, and the labels it was shown with."""

    answers: list[Answers]
    labels: list[Int32[np.ndarray, "B T"]]


def ask_mixed(
    adapter: Adapter,
    bench: Bench,
    positions: Int64[np.ndarray, " P"],
    variants: list[Variant],
    rng: np.random.Generator,
    advance: Callable[[int], None],
) -> Mixed:
    """One call for each variant; in each call every row is another variant than its neighbours."""
    rows, count = len(bench.tasks), len(variants)
    order = rng.permuted(np.tile(np.arange(count), (rows, 1)), axis=1)  # [row, call] -> variant
    gathered: list[list[np.ndarray]] = [[np.empty(0)] * rows for _ in variants]
    labels = [np.empty_like(bench.y) for _ in variants]
    for call in range(count):
        x, y = bench.x.copy(), bench.y.copy()
        for row in range(rows):
            variant = variants[order[row, call]]
            t = variant.cuts[row] if variant.cuts else 0
            x[row], y[row] = apply(
                variant.kind, t, bench.x[row], bench.y[row], bench.donors[row], bench.num_classes, rng
            )
            labels[order[row, call]][row] = y[row]
        answers = ask(adapter, bench, positions, x, y)
        for row in range(rows):
            gathered[order[row, call]][row] = answers[row]
        advance(1)
    return Mixed([np.stack(rows) for rows in gathered], labels)


def sources(
    adapter: Adapter, bench: Bench, positions: Int64[np.ndarray, " P"], kind: Kind, row: int, t: int, column: int
) -> list[int]:
    """Which single labels or inputs from cut t on change the answer of a row at one position."""
    rows, length = bench.y.shape
    first = t if kind == "label at t" else t + 1
    last = t + 1 if kind == "label at t" else length
    x, y = (np.repeat(array[row : row + 1], rows, axis=0) for array in (bench.x, bench.y))
    before = ask(adapter, bench, positions, x, y)
    found = []
    for start in range(first, last, rows):
        chosen = range(start, min(start + rows, last))
        for r, source in enumerate(chosen):
            x[r], y[r] = single(kind, source, bench.x[row], bench.y[row], bench.donors[row], bench.num_classes)
        after = ask(adapter, bench, positions, x, y)
        found += [s for r, s in enumerate(chosen) if not np.array_equal(after[r, column], before[r, column])]
    return found
