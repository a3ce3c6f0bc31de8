"""The card: what a learner says of itself. What it leaves out is unknown."""

import json
import math
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

from gpicl_bench.errors import LearnerError
from gpicl_bench.learners.prediction import calling
from gpicl_bench.suite import Info


class Field(NamedTuple):
    """A field of a card: what it means, for people, and whether a value can be one."""

    means: str
    holds: Callable[[Any], bool]


def _integer(least: int, most: int = 2**64) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _text(value: Any) -> bool:
    """A string that a file can hold: half of a surrogate pair is none."""
    return isinstance(value, str) and value == value.encode(errors="replace").decode()


def _duration(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


META_TRAINING = {
    "suite": Field("the id of a suite", _text),
    "num_tasks": Field("how many tasks it met: from 1 to 2^64", _integer(1)),
    "seed": Field("of its tasks: from 0 to 2^64 - 1", _integer(0, 2**64 - 1)),
    "steps": Field("of the meta-optimiser: 0 or more", _integer(0)),
    "seconds": Field("of meta-training: 0 or more", _duration),
    "hardware": Field("what it was meta-trained on", _text),
}
FIELDS = {
    "meta_training": Field(
        f"the string 'none', or an object with any of {', '.join(META_TRAINING)}",
        lambda value: value == "none" or isinstance(value, dict),
    ),
    "parameters": Field("how many numbers meta-training has set: 0 or more", _integer(0)),
    "stochastic": Field("whether it takes a key: true or false", lambda value: isinstance(value, bool)),
    "max_examples": Field("the longest episode it can take, T: 1 or more", _integer(1)),
    "licence": Field("of code and weights", _text),
    "weights_sha256": Field(
        "of the file of its weights: 64 lower-case hex digits",
        lambda value: _text(value) and re.fullmatch("[0-9a-f]{64}", value) is not None,
    ),
    "link": Field("a page or a paper", _text),
}


def check_card(learner: Any, info: Info, name: str) -> None:
    """Check the learner's card, `learner.card`, if it has one.

    Raises:
        LearnerError: a field is unknown or malformed, the card contradicts itself, or the episodes are too long for
            the learner.
    """
    with calling(f"{name}.card"):
        card = getattr(learner, "card", {})
    if not isinstance(card, Mapping):
        raise LearnerError("a card is a dictionary", got=type(card).__name__, where=name)
    _check_fields(card, FIELDS, "", name)
    training = card.get("meta_training")
    if isinstance(training, dict):
        _check_fields(training, META_TRAINING, "meta_training.", name)
    try:
        json.dumps(dict(card), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LearnerError("a card holds plain values only", got=str(error), where=name) from error
    if training == "none" and card.get("parameters"):
        raise LearnerError(
            "the card contradicts itself",
            expected="no parameters, where nothing was meta-trained",
            got=f"parameters: {card['parameters']}",
            where=f"{name}.card",
        )
    longest = card.get("max_examples")
    if longest is not None and longest < info.T:
        raise LearnerError(
            "the episodes are longer than this learner can take",
            expected=f"T ≤ {longest}, by its card",
            got=f"T = {info.T}",
            where=name,
        )


def _check_fields(values: Mapping[Any, Any], fields: Mapping[str, Field], inside: str, name: str) -> None:
    for field, value in values.items():
        if field not in fields:
            near = get_close_matches(str(field), fields, n=1)
            raise LearnerError(
                "a card has an unknown field",
                expected=", ".join(f"{inside}{known}" for known in fields),
                got=f"{inside}{field}",
                where=name,
                hint=f"did you mean {near[0]}?" if near else None,
            )
        if not fields[field].holds(value):
            raise LearnerError(
                f"the card's {inside}{field} is malformed",
                expected=fields[field].means,
                got=_shown(value),
                where=name,
            )


def _shown(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 100:  # str() refuses very long ones
        return f"about 2^{value.bit_length() - 1}"
    return repr(value)


def is_stochastic(learner: Any) -> bool:
    """Whether a learner says that it draws random numbers, and so takes a key."""
    return bool(getattr(learner, "card", {}).get("stochastic"))
