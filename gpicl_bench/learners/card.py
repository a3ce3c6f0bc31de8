"""The card: what a learner says of itself. What it leaves out is unknown."""

import json
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from gpicl_bench.errors import LearnerError
from gpicl_bench.learners.prediction import calling
from gpicl_bench.suite import Info

FIELDS = {
    "meta_training": "the string 'none', or an object with any of suite, num_tasks, seed, steps",
    "stochastic": "whether it takes a key: true or false",
    "max_examples": "the longest episode it can take, T",
    "licence": "of code and weights",
    "weights_sha256": "of the file of its weights: 64 hex digits",
    "link": "a page or a paper",
}
_META_TRAINING = {"suite", "num_tasks", "seed", "steps"}
_TYPES: dict[str, type | tuple[type, ...]] = {
    "meta_training": (str, dict),
    "stochastic": bool,
    "max_examples": int,
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
        if not isinstance(value, _TYPES[field]) or (field == "max_examples" and isinstance(value, bool)):
            raise LearnerError(f"the card's {field} is malformed", expected=FIELDS[field], got=repr(value), where=name)
    training = card.get("meta_training", {})
    malformed = set(training) - _META_TRAINING if isinstance(training, dict) else training != "none"
    if malformed:
        raise LearnerError(
            "the card's meta_training is malformed", expected=FIELDS["meta_training"], got=training, where=name
        )
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


def is_stochastic(learner: Any) -> bool:
    """Whether a learner says that it draws random numbers, and so takes a key."""
    return bool(getattr(learner, "card", {}).get("stochastic"))
