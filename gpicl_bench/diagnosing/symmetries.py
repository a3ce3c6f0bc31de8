"""Symmetries: what a general learner should not care about, and how often its predictions do not.

Of tasks with projections and permuted labels no class, no order of the context, no direction and no coordinate of the
input space is special. A prediction is compared with the one that the changed episode should give:

- relabelling: labels y become π(y); the prediction should become π of it (equivariance);
- context order: the k examples before a query in another order; the same prediction;
- orthogonal maps: inputs x become Qx; the same prediction. Q = Q₀·S, Q₀ uniform over all orthogonal matrices (Mezzadri
  2007, Notices AMS 54(5)), S a random signed permutation for each task: each Q is uniform too;
- feature permutation: the coordinates of x in another order; the same prediction.

Of scores, a class agrees if its score is the largest up to a relative 1e-5: classes that a learner cannot tell apart
yet, such as those that no example has shown, are ties, and which of them is named is no difference.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from gpicl_bench.diagnosing.asking import answers
from gpicl_bench.diagnosing.diagnosis import Symmetry
from gpicl_bench.evaluation.metrics import ties
from gpicl_bench.learners import Adapter, Block
from gpicl_bench.learners.adapter import Labels, Scores
from gpicl_bench.learners.prediction import predicted

NUM_TASKS = 128
_TIE = 1e-5
_ASKED = (1, 2, 5, 10, 20, 50)  # and the last
_ORDERED = 2  # one example has one order


def symmetries(
    adapter: Adapter, block: Block, rng: np.random.Generator, advance: Callable[[int], None]
) -> tuple[Symmetry, ...]:
    """All four, on the episodes of a block."""
    rows, length, dimension = block.x.shape
    asked = _positions(length)
    shown = asked[asked >= _ORDERED]
    before = predicted(answers(adapter, block, asked))
    advance(rows)

    def followed(changed: Block, wanted: np.ndarray) -> Bool[np.ndarray, "B P"]:
        advance(rows)
        return _agree(answers(adapter, changed, asked), wanted)

    relabel = _permutations(rows, adapter.info.C, rng)
    relabelled = replace(block, y=_mapped(relabel, block.y).astype(np.int32))
    order = _permutations(rows, dimension, rng)
    permuted = np.take_along_axis(block.x, order[:, None, :], axis=2)
    signs = rng.choice(np.array([-1.0, 1.0]), size=(rows, 1, dimension))
    rotated = ((permuted * signs) @ _orthogonal(dimension, rng)).astype(np.float32)
    found = [
        Symmetry("relabelling", _plain(asked), followed(relabelled, _mapped(relabel, before))),
        *([_context_order(adapter, block, shown, before[:, asked >= _ORDERED], rng, advance)] if len(shown) else []),
        Symmetry("orthogonal maps", _plain(asked), followed(replace(block, x=rotated), before)),
        Symmetry("feature permutation", _plain(asked), followed(replace(block, x=permuted), before)),
    ]
    return tuple(found)


def asked_positions(num_examples: int) -> dict[str, tuple[int, ...]]:
    """The positions that `symmetries` asks, by the name of the symmetry, in its order."""
    every = _plain(_positions(num_examples))
    ordered = tuple(k for k in every if k >= _ORDERED)
    named = {"relabelling": every, "context order": ordered, "orthogonal maps": every, "feature permutation": every}
    return {name: positions for name, positions in named.items() if positions}


def calls(num_examples: int) -> int:
    """How many times `symmetries` advances by its number of rows."""
    return 4 + len(asked_positions(num_examples).get("context order", ()))


def _positions(num_examples: int) -> Int64[np.ndarray, " P"]:
    return np.array([k for k in _ASKED if k < num_examples - 1] + [num_examples - 1])


def _context_order(
    adapter: Adapter,
    block: Block,
    asked: Int64[np.ndarray, " P"],
    before: np.ndarray,
    rng: np.random.Generator,
    advance: Callable[[int], None],
) -> Symmetry:
    agree = np.empty(before.shape, bool)
    for column, k in enumerate(asked.tolist()):
        order = _permutations(len(block.y), k, rng)
        x, y = block.x.copy(), block.y.copy()
        x[:, :k] = np.take_along_axis(x[:, :k], order[:, :, None], axis=1)
        y[:, :k] = np.take_along_axis(y[:, :k], order, axis=1)
        after = answers(adapter, replace(block, x=x, y=y), np.array([k]))
        agree[:, column] = _agree(after, before[:, column : column + 1])[:, 0]
        advance(len(block.y))
    return Symmetry("context order", _plain(asked), agree)


def _agree(answers: Scores | Labels, wanted: np.ndarray) -> Bool[np.ndarray, "B P"]:
    if answers.ndim == 2:
        return answers == wanted
    return ties(answers, wanted, _TIE)


def _permutations(rows: int, size: int, rng: np.random.Generator) -> Int64[np.ndarray, "rows size"]:
    return rng.permuted(np.tile(np.arange(size), (rows, 1)), axis=1)


def _mapped(relabel: Int64[np.ndarray, "B C"], labels: np.ndarray) -> Int64[np.ndarray, "B n"]:
    return np.take_along_axis(relabel, labels.astype(np.int64), axis=1)


def _orthogonal(dimension: int, rng: np.random.Generator) -> Float64[np.ndarray, "D D"]:
    """A uniformly random orthogonal matrix: QR of normals, the signs of R's diagonal taken into Q."""
    q, r = np.linalg.qr(rng.normal(size=(dimension, dimension)))
    return q * np.sign(np.diag(r))


def _plain(asked: Int64[np.ndarray, " P"]) -> tuple[int, ...]:
    return tuple(asked.tolist())
