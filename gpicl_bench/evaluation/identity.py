"""Which results are of one learner: those of its meta-training runs, that a seed alone tells apart."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from gpicl_bench.errors import ResultError
from gpicl_bench.evaluation.results import LearnerRecord, Result

_OF_A_RUN = (
    "seed",
    "steps",
    "num_tasks",
    "seconds",
    "hardware",
)  # of meta_training: the seed, and what follows from it
_SEED = re.compile(r"[-_.]?seed[-_=]?\d+")


def by_learner(results: Iterable[Result]) -> dict[str, tuple[Result, ...]]:
    """The runs of each learner, by a name that no other has.

    Two results are of one learner if their `identity` is the same. Where a seed then has several results on one suite,
    they are of several learners: told apart by their steps, and where that does not suffice by their weights.
    """
    groups: dict[str, list[Result]] = {}
    for result in results:
        if not isinstance(result, Result):
            raise ResultError("this is no result", expected="what evaluate or load_result returns", got=repr(result))
        groups.setdefault(identity(result.learner), []).append(result)
    split = [part for group in groups.values() for part in _split(group)]
    alike: dict[str, list[list[Result]]] = {}
    for group in split:
        alike.setdefault(group[0].learner.name, []).append(group)
    named: dict[str, tuple[Result, ...]] = {}
    for group in split:
        label = name = _name(group, alike[group[0].learner.name])
        number = 1
        while label in named:  # a learner may be called as another is numbered
            number += 1
            label = f"{name} #{number}"
        named[label] = tuple(group)
    return named


def identity(learner: LearnerRecord) -> str:
    """Equal for two runs of one learner, and different for two learners.

    A run changes the seed of the card's `meta_training` and what follows from it: seconds, hardware, the hash of the
    weights, the step that validation selected, and the number of tasks met until then; and the arguments `seed` and
    `checkpoint`. A pool of tasks follows from no seed, nor does what else the name of a checkpoint says that names
    its seed: `net-paired-seed0` is no run of `net-shifted-seed1`.
    """
    training, card, args = learner.card.get("meta_training"), dict(learner.card), dict(learner.args)
    if isinstance(training, Mapping) and "seed" in training:
        kept = {key: value for key, value in training.items() if key not in _OF_A_RUN}
        card = {**card, "meta_training": {**kept, **_tasks(training)}}
        card.pop("weights_sha256", None)
        args = _lasting(args)
    return json.dumps([learner.name, learner.form, learner.source_sha256, args, card], sort_keys=True)


def seed_of(result: Result) -> object:
    """The meta-training seed, by the card; None if it has none."""
    return _training(result).get("seed")


def _training(result: Result) -> Mapping[str, Any]:
    training = result.learner.card.get("meta_training")
    return training if isinstance(training, Mapping) else {}


def _tasks(training: Mapping[str, Any]) -> dict[str, Any]:
    """The tasks of a pool; or those of a step, where each step met as many new ones."""
    tasks, steps = training.get("num_tasks"), training.get("steps")
    if isinstance(tasks, int) and isinstance(steps, int) and steps > 0 and tasks % steps == 0:
        return {"tasks a step": tasks // steps}
    return {} if tasks is None else {"num_tasks": tasks}


def _lasting(args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that all runs of a learner have; of the checkpoint the name, if it has one that names its seed."""
    kept = {key: value for key, value in args.items() if key not in ("seed", "checkpoint")}
    parts = re.split(r"[/\\]", str(args.get("checkpoint", "")))
    named = [rest for part in parts if (rest := _SEED.sub("", part)) != part and rest]
    return {**kept, "checkpoint": named[-1]} if named else kept


def _split(group: Sequence[Result]) -> list[list[Result]]:
    """The runs of one learner as they are; or apart, if one seed has several results on one suite."""
    keys: tuple[Callable[[Result], object], ...] = (
        lambda result: None,
        lambda result: (_training(result).get("steps"), _training(result).get("num_tasks")),
        lambda result: result.learner.card.get("weights_sha256"),
    )
    for key in keys:
        parts: dict[str, list[Result]] = {}
        for result in group:
            parts.setdefault(repr(key(result)), []).append(result)
        if all(
            max(Counter((r.setting.suite, repr(seed_of(r))) for r in part).values()) == 1 for part in parts.values()
        ):
            break
    return [*parts.values()]


def _name(group: Sequence[Result], alike: Sequence[Sequence[Result]]) -> str:
    """The name of the learner, with what tells it from the others of that name: arguments, then its source."""
    learner = group[0].learner
    if len(alike) == 1:
        return learner.name
    own, of_each = _told(group), [_told(other) for other in alike]
    different = {key: value for key, value in own.items() if any(each.get(key, ...) != value for each in of_each)}
    told = [f"{value}" if key == "checkpoint" else f"{key}={value}" for key, value in different.items()]
    arguments = f"({', '.join(told)})" if told else ""
    sources = {other[0].learner.source_sha256 for other in alike}
    source = f" {(learner.source_sha256 or '')[:6]}" if len(sources) > 1 else ""
    return f"{learner.name}{arguments}{source}".strip()


def _told(group: Sequence[Result]) -> dict[str, Any]:
    """The arguments that all results of a learner have; of its checkpoints what they have in common."""
    first, *others = (result.learner.args for result in group)
    same = {key: value for key, value in first.items() if all(args.get(key, ...) == value for args in others)}
    return {**_lasting(first), **same}
