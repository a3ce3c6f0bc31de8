"""What the harness sees of a learner, whatever its form."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, UInt32

from gpicl_bench.errors import LearnerError
from gpicl_bench.learners.card import check_card, is_stochastic
from gpicl_bench.learners.torch_module import is_torch_module, sequence_form
from gpicl_bench.suite import Info

Scores = Float64[np.ndarray, "B P C"]
Labels = Int64[np.ndarray, "B P"]


@dataclass(frozen=True, eq=False)
class Block:
    """Episodes to predict, with the numbers of their tasks and a key each for stochastic learners."""

    tasks: Sequence[int]
    x: Float32[np.ndarray, "B T D"]
    y: Int32[np.ndarray, "B T"]
    keys: UInt32[np.ndarray, "B 2"]


@runtime_checkable
class Adapter(Protocol):
    """A learner in one of its forms.

    Attributes:
        info: of the suite.
        name: of the learner, for errors.
        stochastic: whether it takes a key, by its card.
        form: `callable`, `step`, `sequence` or `scikit-learn`.
        block: episodes a call: 64 for learners that are compiled for a batch, else 1.
        withholds_labels: whether the learner gets y_t only after it has predicted at t.
    """

    @property
    def info(self) -> Info: ...

    @property
    def name(self) -> str: ...

    @property
    def stochastic(self) -> bool: ...

    @property
    def form(self) -> str: ...

    @property
    def block(self) -> int: ...

    @property
    def withholds_labels(self) -> bool: ...

    def predict(self, block: Block, positions: Int64[np.ndarray, " P"]) -> Scores | Labels:
        """Scores, or class labels, at the given positions, ascending; checked.

        Raises:
            LearnerError: the learner raised, or returned something that is no prediction.
        """
        ...


def adapt(learner: Any, info: Info, name: str) -> Adapter:
    """The adapter for a learner, by what it offers: a mark, `init` and `step`, `fit`, or a call.

    A torch module is in the sequence form unless it has `init` and `step` and no mark.

    Raises:
        LearnerError: it is in none of the known forms, or its card is malformed.
    """
    from gpicl_bench.learners.callable import CallableAdapter
    from gpicl_bench.learners.classifier import ClassifierAdapter
    from gpicl_bench.learners.sequence import SequenceAdapter, is_sequence_learner
    from gpicl_bench.learners.step import has_step_form, step_adapter

    check_card(learner, info, name)
    stochastic = is_stochastic(learner)
    if isinstance(learner, type):
        raise LearnerError(
            "this learner is a class, not an object", got=learner.__name__, hint="make an instance of it"
        )
    if is_torch_module(learner) and (is_sequence_learner(learner) or not has_step_form(learner)):
        return SequenceAdapter(sequence_form(learner), info, name, stochastic)
    if is_sequence_learner(learner):
        return SequenceAdapter(learner, info, name, stochastic)
    if has_step_form(learner):
        return step_adapter(learner, info, name, stochastic)
    if callable(getattr(learner, "fit", None)) and callable(getattr(learner, "predict", None)):
        return ClassifierAdapter(learner, info, name)
    if callable(learner):
        return CallableAdapter(learner, info, name, stochastic)
    raise LearnerError(
        "this is no learner",
        expected="a callable, a @sequence_learner, an object with init and step, a classifier, or a torch module",
        got=type(learner).__name__,
        where=name,
    )
