"""Tracks: entries are ranked among those with the same kind of meta-training, by their cards."""

from collections.abc import Iterable, Mapping
from typing import Any

from gpicl_bench.errors import MalformedId, SuiteNotFound
from gpicl_bench.leaderboard.entry import Track
from gpicl_bench.registration import spec

_MNIST = "mnist"


def track(suite: str, cards: Iterable[Mapping[str, Any]]) -> Track:
    """The track of a learner on a suite, by the cards of all its runs; what is unknown is `open`.

    >>> track("mnist-proj-perm-v0", [{"meta_training": "none"}])
    'none'
    >>> track("fashion_mnist-proj-perm-v0", [{"meta_training": {"suite": "mnist-proj-perm-v0"}}])
    'mnist'
    """
    trainings = [card.get("meta_training") for card in cards]
    if all(training == "none" for training in trainings):
        return "none"
    bases = {_base(training) for training in trainings}
    if bases == {_MNIST}:
        return "mnist"
    return "same" if bases == {spec(suite).base} else "open"


def _base(training: Any) -> str | None:
    """The base dataset of a meta-training; None if it is unknown, or of no suite that there is."""
    try:
        return spec(training["suite"]).base
    except (KeyError, TypeError, MalformedId, SuiteNotFound):
        return None
