"""Episodes changed where an honest learner cannot see it, and where its predictions must not follow.

Cut t splits an episode. What is predicted at positions up to t may depend on x up to t and on y before t.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int32

Kind = Literal["original", "label at t", "later labels", "later inputs", "honeypot"]
CUTS: tuple[Kind, ...] = ("label at t", "later labels", "later inputs")


@dataclass(frozen=True)
class Variant:
    """A kind of change and the cut of each row."""

    kind: Kind
    cuts: tuple[int, ...] = ()


def plan(rows: int, length: int, cuts: int, rng: np.random.Generator) -> list[Variant]:
    """The original, `cuts` variants of each kind, and a honeypot. The cuts of a kind fall on all positions alike."""
    variants = [Variant("original")]
    for kind in CUTS:
        last = length if kind == "label at t" else length - 1  # after the last position nothing comes
        spread = np.arange(rows * cuts) * last // (rows * cuts) if rows * cuts >= last else rng.permutation(last)
        chosen = rng.permutation(np.resize(spread, rows * cuts)).reshape(cuts, rows)
        variants += [Variant(kind, tuple(row)) for row in chosen.tolist()]
    return [*variants, Variant("honeypot")]


def apply(
    kind: Kind,
    t: int,
    x: Float32[np.ndarray, "T D"],
    y: Int32[np.ndarray, " T"],
    donor: Float32[np.ndarray, "T D"],
    num_classes: int,
    rng: np.random.Generator,
) -> tuple[Float32[np.ndarray, "T D"], Int32[np.ndarray, " T"]]:
    """The changed episode. Labels change to other labels, inputs to those of another task, `donor`.

    A honeypot is the donor's inputs alone, under labels drawn independently of them.
    """
    if kind == "original":
        return x, y
    if kind == "honeypot":
        return donor, rng.integers(num_classes, size=len(y)).astype(np.int32)
    if kind == "later inputs":
        return np.concatenate([x[: t + 1], donor[t + 1 :]]), y
    changed = y.copy()
    where = slice(t, t + 1) if kind == "label at t" else slice(t + 1, None)
    changed[where] = (y[where] + rng.integers(1, num_classes, size=y[where].shape)) % num_classes
    return x, changed
