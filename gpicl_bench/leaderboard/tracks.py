"""Tracks: entries are ranked among those with the same kind of meta-training, by their cards."""

from collections.abc import Iterable, Mapping
from typing import Any

from gpicl_bench.errors import MalformedId
from gpicl_bench.leaderboard.entry import Track
from gpicl_bench.registration import SuiteSpec

_MNIST = "mnist"


def track(suite: str, cards: Iterable[Mapping[str, Any]]) -> Track:
    """The track of a learner on a suite, by the cards of all its runs; what is unknown is `open`.

    >>> track("mnist-proj-perm-v0", [{"meta_training": "none"}])
    'none'
    >>> track("fashion_mnist-proj-perm-v0", [{"meta_training": {"suite": "mnist-proj-perm-v0"}}])
    'mnist'
    """
    bases = {_base(card.get("meta_training")) for card in cards}
    if bases == {"none"}:
        return "none"
    if bases == {_MNIST}:
        return "mnist"
    return "same" if bases == {SuiteSpec(suite).base} else "open"


def _base(training: Any) -> str | None:
    if training == "none":
        return "none"
    try:
        return SuiteSpec(training["suite"]).base
    except (KeyError, TypeError, MalformedId):
        return None
