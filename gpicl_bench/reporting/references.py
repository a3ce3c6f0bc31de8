"""The learning curves of the reference learners: grey lines that say what a curve is to be compared with.

`references.json` holds how many of its tasks each was right on after k labelled examples, by suite. It is made of the
files in `baselines/results/classical`, by `python -m baselines table`.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gpicl_bench.evaluation.comparison import Runs
from gpicl_bench.evaluation.results import Setting
from gpicl_bench.reporting.curve import Curve

FILE = Path(__file__).with_name("references.json")
NAMES = {"nearest_neighbour": "1-NN", "ridge": "ridge", "nearest_centroid": "nearest centroid"}
CHANCE = "chance"


def references(learners: Sequence[Runs]) -> list[Curve]:
    """What belongs beside these learners on one split: chance, and the reference learners that are not among them.

    Theirs are the first tasks of `meta_test`. A learner without meta-training does as well on any other tasks with the
    same images, and an episode of another T has the same law as far as both reach; on training images there is none.
    """
    setting = learners[0].results[0].setting
    known = _read().get(setting.suite) if setting.images == "test" else None
    names = {runs.name for runs in learners}
    curves = [] if CHANCE in names else [_chance(setting)]
    if known is not None and setting.num_classes == known["num_classes"]:
        there = [k for k in setting.positions if k < known["num_examples"]]
        for name, right in known["right"].items():
            if there and name not in names:
                accuracy = np.array(right, np.float64)[there] / known["num_tasks"]
                curves.append(Curve(NAMES[name], tuple(there), accuracy))
    return curves


def _chance(setting: Setting) -> Curve:
    ends = (setting.positions[0], setting.positions[-1])
    return Curve(CHANCE, ends, np.full(2, 1 / setting.num_classes))


@cache
def _read() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FILE.read_text())
    return content
