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
    """The original, `cuts` variants of each kind with cuts spread over the whole episode, and a honeypot."""
    variants = [Variant("original")]
    for kind in CUTS:
        last = length if kind == "label at t" else length - 1  # after the last position nothing comes
        spread = [(np.arange(rows) * last // rows + n * last // cuts + rng.integers(last)) % last for n in range(cuts)]
        variants += [Variant(kind, tuple(rng.permutation(row).tolist())) for row in spread]
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
    """The changed episode. Labels change to other labels; inputs to those of another task, `donor`."""
    if kind == "original":
        return x, y
    if kind == "honeypot":
        return x, rng.integers(num_classes, size=len(y)).astype(np.int32)
    if kind == "later inputs":
        return np.concatenate([x[: t + 1], donor[t + 1 :]]), y
    changed = y.copy()
    where = slice(t, t + 1) if kind == "label at t" else slice(t + 1, None)
    changed[where] = (y[where] + rng.integers(1, num_classes, size=y[where].shape)) % num_classes
    return x, changed


def single(
    kind: Kind,
    source: int,
    x: Float32[np.ndarray, "T D"],
    y: Int32[np.ndarray, " T"],
    donor: Float32[np.ndarray, "T D"],
    num_classes: int,
) -> tuple[Float32[np.ndarray, "T D"], Int32[np.ndarray, " T"]]:
    """The episode with its one label, or its one input, at `source` changed."""
    x, y = x.copy(), y.copy()
    if kind == "later inputs":
        x[source] = donor[source]
    else:
        y[source] = (y[source] + 1) % num_classes
    return x, y
