"""Which results are of one learner: those of its meta-training runs, that a seed alone tells apart."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gpicl_bench.errors import ResultError
from gpicl_bench.evaluation.results import LearnerRecord, Result

_OF_A_RUN = ("seed", "steps", "seconds", "hardware")  # of meta_training: the seed, and what follows from it
_SEED = re.compile(r"[-_.]?seed[-_=]?\d+")


def by_learner(results: Iterable[Result]) -> dict[str, tuple[Result, ...]]:
    """The runs of each learner, those whose `identity` is the same, by a name that no other has."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        if not isinstance(result, Result):
            raise ResultError("this is no result", expected="what evaluate or load_result returns", got=repr(result))
        groups.setdefault(identity(result.learner), []).append(result)
    alike: dict[str, list[list[Result]]] = {}
    for group in groups.values():
        alike.setdefault(group[0].learner.name, []).append(group)
    named: dict[str, tuple[Result, ...]] = {}
    for group in groups.values():
        label = name = _name(group, alike[group[0].learner.name])
        number = 1
        while label in named:  # a learner may be called as another is numbered
            number += 1
            label = f"{name} #{number}"
        named[label] = tuple(group)
    return named


def identity(learner: LearnerRecord) -> str:
    """Equal for two runs of one learner, and different for two learners.

    A run changes the seed of the card's `meta_training` and what follows from it: steps, seconds, hardware, the number
    of tasks that an unbounded pool has given in so many steps, and `weights_sha256`; the argument `seed`; and in the
    path of the argument `checkpoint` what names the seed. What no seed explains is another learner.
    """
    training, card, args = learner.card.get("meta_training"), dict(learner.card), dict(learner.args)
    if isinstance(training, Mapping) and "seed" in training:
        kept = {key: value for key, value in training.items() if key not in _OF_A_RUN}
        card = {**card, "meta_training": {**kept, "num_tasks": _tasks(training)}}
        card.pop("weights_sha256", None)
        args = _lasting(args)
    return json.dumps([learner.name, learner.form, learner.source_sha256, args, card], sort_keys=True)


def seed_of(result: Result) -> object:
    """The meta-training seed, by the card; None if it has none."""
    training = result.learner.card.get("meta_training")
    return training.get("seed") if isinstance(training, Mapping) else None


def _tasks(training: Mapping[str, Any]) -> object:
    """The tasks of a pool, a choice; where they are a multiple of the steps, how many new ones each step met."""
    tasks, steps = training.get("num_tasks"), training.get("steps")
    if isinstance(tasks, int) and isinstance(steps, int) and steps > 0 and tasks % steps == 0:
        return f"{tasks // steps} a step"
    return tasks


def _lasting(args: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments that all runs of a learner have; of the checkpoint's path all but the seed."""
    kept = {key: value for key, value in args.items() if key != "seed"}
    return {**kept, "checkpoint": _SEED.sub("", str(args["checkpoint"]))} if "checkpoint" in args else kept


def _name(group: Sequence[Result], alike: Sequence[Sequence[Result]]) -> str:
    """The name of the learner, with what tells it from the others of that name: arguments, then its source."""
    learner = group[0].learner
    if len(alike) == 1:
        return learner.name
    own, of_each = _told(group), [_told(other) for other in alike]
    different = {key: value for key, value in own.items() if any(each.get(key, ...) != value for each in of_each)}
    if "checkpoint" in different:
        paths = {str(each["checkpoint"]) for each in of_each if "checkpoint" in each}
        if len({*map(_last, paths)}) == len(paths):  # else only whole paths tell
            different["checkpoint"] = _last(str(different["checkpoint"]))
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


def _last(path: str) -> str:
    """The last part of a path that says something."""
    return next((part for part in reversed(re.split(r"[/\\]", path)) if part), path)
