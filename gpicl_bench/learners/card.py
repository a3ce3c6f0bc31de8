"""The card: what a learner says of itself. What it leaves out is unknown."""

import json
import math
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

from gpicl_bench.errors import LearnerError
from gpicl_bench.learners.prediction import calling
from gpicl_bench.suite import Info

FIELDS = {
    "meta_training": "the string 'none', or an object with any of suite, num_tasks, seed, steps, seconds, hardware",
    "stochastic": "whether it takes a key: true or false",
    "max_examples": "the longest episode it can take, T",
    "parameters": "how many numbers meta-training has set, a whole number",
    "licence": "of code and weights",
    "weights_sha256": "of the file of its weights: 64 hex digits",
    "link": "a page or a paper",
}
_META_TRAINING: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "suite": ("the id of a suite", lambda value: isinstance(value, str)),
    "num_tasks": ("how many tasks it met, 1 or more", lambda value: _whole(value) and value >= 1),
    "seed": ("0 … 2^64 - 1", lambda value: _whole(value) and 0 <= value < 2**64),
    "steps": ("0 or more", lambda value: _whole(value) and value >= 0),
    "seconds": ("its wall time, 0 or more", lambda value: isinstance(value, int | float) and 0 <= value < math.inf),
    "hardware": ("such as 'one GPU'", lambda value: isinstance(value, str)),
}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "meta_training": (str, dict),
    "stochastic": bool,
    "max_examples": int,
    "parameters": int,
    "licence": str,
    "weights_sha256": str,
    "link": str,
}


def check_card(learner: Any, info: Info, name: str) -> None:
    """Check the learner's card, `learner.card`, if it has one.

    Raises:
        LearnerError: a field is unknown or of the wrong type, or the episodes are too long for the learner.
    """
    with calling(f"{name}.card"):
        card = getattr(learner, "card", {})
    if not isinstance(card, Mapping):
        raise LearnerError("a card is a dictionary", got=type(card).__name__, where=name)
    for field, value in card.items():
        if field not in FIELDS:
            near = get_close_matches(str(field), FIELDS, n=1)
            hint = f"did you mean {near[0]}?" if near else None
            raise LearnerError(
                "a card has an unknown field", expected=", ".join(FIELDS), got=field, where=name, hint=hint
            )
        if not isinstance(value, _TYPES[field]) or (_TYPES[field] is int and not _whole(value)):
            raise LearnerError(f"the card's {field} is malformed", expected=FIELDS[field], got=repr(value), where=name)
    _check_meta_training(card.get("meta_training", {}), name)
    try:
        json.dumps(dict(card))
    except TypeError as error:
        raise LearnerError("a card holds plain values only", got=str(error), where=name) from error
    longest = card.get("max_examples")
    if longest is not None and longest < info.T:
        raise LearnerError(
            "the episodes are longer than this learner can take",
            expected=f"T ≤ {longest}, by its card",
            got=f"T = {info.T}",
            where=name,
        )


def _check_meta_training(training: Any, name: str) -> None:
    if training == "none":
        return
    if isinstance(training, str) or set(training) - set(_META_TRAINING):
        raise LearnerError(
            "the card's meta_training is malformed", expected=FIELDS["meta_training"], got=training, where=name
        )
    for field, value in training.items():
        expected, holds = _META_TRAINING[field]
        if not holds(value):
            raise LearnerError(
                f"the card's meta_training.{field} is malformed", expected=expected, got=repr(value), where=name
            )


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_stochastic(learner: Any) -> bool:
    """Whether a learner says that it draws random numbers, and so takes a key."""
    return bool(getattr(learner, "card", {}).get("stochastic"))
