"""What a diagnosis found, and the verdict that follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from gpicl_bench.diagnosing.cell import Cell, Estimate
from gpicl_bench.diagnosing.ledger import Ledger
from gpicl_bench.diagnosing.phase import Phase, Seen, phase
from gpicl_bench.errors import InvalidArgument
from gpicl_bench.evaluation.results import LearnerRecord, Provenance
from gpicl_bench.evaluation.statistics import bootstrap, wilson


@dataclass(frozen=True)
class Question:
    """What was asked.

    Attributes:
        suite: its id.
        num_examples, num_classes: T and C.
        num_episodes: of each cell.
        seed: of the unseen tasks and of every other choice.
        learner_seed: of the keys that a stochastic learner gets.
        protocol: the version of the task protocol.
        rule: the version of the rule of the verdict.
    """

    __pydantic_config__ = {"extra": "forbid"}

    suite: str
    num_examples: int
    num_classes: int
    num_episodes: int
    seed: int
    learner_seed: int
    protocol: int
    rule: str


@dataclass(frozen=True, eq=False)
class Symmetry:
    """How often predictions agree when an episode is changed in a way that says nothing new.

    Attributes:
        name: what was changed.
        positions: k, the number of labelled examples before each query.
        agree: whether the prediction followed the change.
    """

    name: str
    positions: tuple[int, ...]
    agree: Bool[np.ndarray, "task position"]

    @cached_property
    def share(self) -> Estimate:
        """The share of predictions that agree: BCa over tasks; where all tasks are alike, Wilson's interval."""
        values = self.agree.mean(axis=1)
        low, high = bootstrap(values[:, None])[0]
        if np.ptp(values) == 0:
            low, high = wilson(np.array([round(values[0] * len(values))]), len(values))[0]
        return Estimate(float(values.mean()), float(low), float(high))


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """The answers to all questions of a diagnosis; the verdict is derived from them.

    Attributes:
        question, learner, provenance: what was asked, who answered, and where.
        seen: whether the tasks of meta-training are known.
        unmeasured: what was not measured, and why: `seen tasks`, or the id of another suite.
        cells: unseen tasks first, then the yardstick, seen tasks, and other base datasets.
        symmetries: relabelling, context order, orthogonal maps, feature permutation.
        ledger: state, parameters and time.
    """

    question: Question
    learner: LearnerRecord
    provenance: Provenance
    seen: Seen
    unmeasured: Mapping[str, str]
    cells: tuple[Cell, ...]
    symmetries: tuple[Symmetry, ...]
    ledger: Ledger

    @cached_property
    def phase(self) -> Phase:
        """The verdict with its reason, by the rule in `diagnosing/phase.py`."""
        return phase(self.cells, self.seen, self.unmeasured.get("seen tasks", ""))

    @property
    def verdict(self) -> str:
        """One of the phases, or `undetermined`; it says where the seen side is unknown."""
        unknown = " (seen tasks unknown)" if self.seen == "unknown" else ""
        return f"{self.phase.verdict}{unknown}"

    @property
    def spans(self) -> tuple[str, str]:
        """The early and the late positions of every cell, for people."""
        first = self.cells[0]
        parts = first.positions[: first.early], first.positions[first.early :]
        early, late = (f"k = {p[0]} … {p[-1]}" if len(p) > 1 else f"k = {p[0]}" for p in parts)
        return early, late

    @property
    def costs(self) -> dict[str, str]:
        """The ledger, and what the card says of meta-training, for people."""
        ledger, training = self.ledger, self.learner.card.get("meta_training", {})
        carried = "unknown" if ledger.state_bytes is None else f"{ledger.state_bytes:,} bytes"
        first = f"the first call of {ledger.episodes_a_call} {ledger.first_seconds:.2f} s"
        known = isinstance(training, Mapping)
        told = ", ".join(f"{name} {value}" for name, value in training.items()) if known else str(training)
        return {
            "state": f"{carried} ({ledger.state})",
            "parameters": "unknown" if ledger.parameters is None else f"{ledger.parameters:,}",
            "time": f"{1000 * ledger.episode_seconds:.2f} ms an episode on {ledger.device}, {first}",
            "meta-training": told or "unknown",
        }

    def symmetry(self, name: str) -> Symmetry:
        """The symmetry of this name.

        Raises:
            InvalidArgument: there is none.
        """
        found = {symmetry.name: symmetry for symmetry in self.symmetries}
        if name not in found:
            raise InvalidArgument("there is no such symmetry", expected=", ".join(found), got=repr(name))
        return found[name]

    def __repr__(self) -> str:
        return f"<Diagnosis: {self.learner.name} on {self.question.suite}, {self.verdict}>"

    def save(self, path: str | Path) -> None:
        """Write the diagnosis to a JSON file, whole or not at all."""
        from gpicl_bench.diagnosing.storage import save_diagnosis

        save_diagnosis(self, Path(path))
