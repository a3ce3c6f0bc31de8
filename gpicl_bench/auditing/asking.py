"""Asks a learner about many variants of the same episodes, mixed so that it cannot tell them apart.

Rows keep their index from call to call, so that equal inputs at one shape must give equal bits. Each row
goes through the variants in an order of its own: in every call originals, changed episodes and honeypots
stand side by side, after different histories and beside different neighbours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt32

from gpicl_bench.auditing.perturbation import Variant, apply
from gpicl_bench.learners import Adapter, Block
from gpicl_bench.learners.sequence import BLOCK
from gpicl_bench.streams import child_key, root_key
from gpicl_bench.suite import Split

RECORD, QUICK = 4096, 1024  # public tasks of the evaluation of record and of its quick form
Answers = np.ndarray  # scores float64 [B, P, C], or labels int64 [B, P]


@dataclass(frozen=True, eq=False)
class Bench:
    """Episodes, one a row.

    Attributes:
        x, y, keys: what the learner is shown.
        tasks: their numbers.
        stratum: 0 for tasks drawn at the time, 1 for the first 1,024 public tasks, 2 for the others of record.
        spare: inputs of further tasks, which are never shown with their labels.
        num_classes: C.
    """

    x: Float32[np.ndarray, "B T D"]
    y: Int32[np.ndarray, "B T"]
    keys: UInt32[np.ndarray, "B 2"]
    tasks: tuple[int, ...]
    stratum: Int64[np.ndarray, " B"]
    spare: Float32[np.ndarray, "B T D"]
    num_classes: int

    def name(self, row: int) -> str:
        """A row's task, for people."""
        return f"task {self.tasks[row]} of {'meta_test' if self.stratum[row] else 'the set drawn for this audit'}"

    def rows(self, chosen: list[int]) -> "Bench":
        """These rows, in this order."""
        return Bench(
            self.x[chosen],
            self.y[chosen],
            self.keys[chosen],
            tuple(self.tasks[row] for row in chosen),
            self.stratum[chosen],
            self.spare[chosen],
            self.num_classes,
        )

    @cached_property
    def donors(self) -> Float32[np.ndarray, "B T D"]:
        """For each row the inputs of another."""
        return np.roll(self.x, 1, axis=0)


def draw_bench(record: Split, fresh: Split, learner_seed: int, rng: np.random.Generator) -> Bench:
    """Half the rows fresh, a quarter of each public stratum, in random order; the numbers are random too."""
    stratum = rng.permutation(np.arange(BLOCK) % 4)
    stratum[stratum == 3] = 0
    ranges = {0: (0, RECORD), 1: (0, QUICK), 2: (QUICK, RECORD)}
    tasks = tuple(int(rng.integers(*ranges[int(kind)])) for kind in stratum)
    episodes = [(record if kind else fresh).episode(i) for i, kind in zip(tasks, stratum, strict=True)]
    spare = [fresh.episode(int(i)) for i in rng.integers(RECORD, 2**32, size=BLOCK)]
    root = root_key(f"gpicl-bench/learner/{learner_seed}")
    return Bench(
        np.stack([episode.x for episode in episodes]),
        np.stack([episode.y for episode in episodes]),
        np.stack([child_key(root, i) for i in tasks]),
        tasks,
        stratum,
        np.stack([episode.x for episode in spare]),
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
    return adapter.predict(Block(bench.tasks, x, y, bench.keys), positions)


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
            donor = (bench.spare if variant.kind == "honeypot" else bench.donors)[row]
            x[row], y[row] = apply(variant.kind, t, bench.x[row], bench.y[row], donor, bench.num_classes, rng)
            labels[order[row, call]][row] = y[row]
        answers = ask(adapter, bench, positions, x, y)
        for row in range(rows):
            gathered[order[row, call]][row] = answers[row]
        advance(1)
    return Mixed([np.stack(rows) for rows in gathered], labels)


def first_source(
    adapter: Adapter,
    bench: Bench,
    positions: Int64[np.ndarray, " P"],
    row: int,
    t: int,
    column: int,
    changed: Int32[np.ndarray, " T"] | None,
) -> int | None:
    """The first single label after t (of those in `changed`), or input, that changes a row's answer at a position."""
    rows, length = bench.y.shape
    x, y = (np.repeat(array[row : row + 1], rows, axis=0) for array in (bench.x, bench.y))
    before = ask(adapter, bench, positions, x, y)
    for start in range(t + 1, length, rows):
        x[:], y[:] = bench.x[row], bench.y[row]
        chosen = range(start, min(start + rows, length))
        for r, source in enumerate(chosen):
            if changed is None:
                x[r, source] = bench.donors[row, source]
            else:
                y[r, source] = changed[source]
        after = ask(adapter, bench, positions, x, y)
        for r, source in enumerate(chosen):
            if not np.array_equal(after[r, column], before[r, column]):
                return source
    return None
