"""What an evaluation is going to ask, and whom: settled and checked before the first question."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from types import SimpleNamespace
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Int64

from gpicl_bench.auditing.report import Level
from gpicl_bench.errors import InvalidArgument, check_integer
from gpicl_bench.evaluation.results import LearnerRecord, Provenance, Result, Setting
from gpicl_bench.learners import Adapter, LoadedLearner, adapt, named
from gpicl_bench.learners.card import check_card
from gpicl_bench.learners.prediction import calling
from gpicl_bench.registration import make
from gpicl_bench.suite import PROTOCOL, Split, Suite

AuditLevel = Level | Literal["off"]


@dataclass(frozen=True, eq=False)
class Plan:
    """One evaluation.

    Attributes:
        loaded, adapter, learner: who is asked, in which form, and the record of it.
        split, positions, setting: what is asked, and the record of it.
        audit: how much evidence is gathered.
    """

    loaded: LoadedLearner
    adapter: Adapter
    learner: LearnerRecord
    split: Split
    positions: Int64[np.ndarray, " P"]
    setting: Setting
    audit: AuditLevel

    @property
    def about(self) -> dict[str, Any]:
        """What two evaluations with equal answers have in common, as plain values."""
        return _plain(self.setting, self.learner, self.audit)


def plan(
    learner: Any,
    suite: str | Suite | Split,
    num_tasks: int,
    positions: Iterable[int] | None,
    learner_seed: int,
    audit: AuditLevel | None,
) -> Plan:
    """The plan of `evaluate` with these arguments.

    Raises:
        InvalidArgument, LearnerError, DataUnavailable, DataCorrupt, CacheError: as `evaluate` does.
    """
    split = _split(suite)
    asked = _positions(positions, split.info.T)
    num_tasks = check_integer("num_tasks", num_tasks, 1, 2**32)
    learner_seed = check_integer("learner_seed", learner_seed, 0, 2**64 - 1)
    levels = (*get_args(Level), "off")
    if audit is not None and audit not in levels:
        raise InvalidArgument("there is no such level of audit", expected=", ".join(levels), got=repr(audit))
    loaded = named(learner)
    adapter = adapt(loaded.learner, split.info, loaded.name)
    setting = asked_of(split, num_tasks, tuple(asked.tolist()), learner_seed)
    usual: AuditLevel = "off" if adapter.withholds_labels else "quick"
    return Plan(
        loaded, adapter, learner_record(loaded, adapter), split, asked, setting, usual if audit is None else audit
    )


def asked_of(split: Split, num_tasks: int, positions: tuple[int, ...] | None = None, learner_seed: int = 0) -> Setting:
    """The record of what is asked: tasks 0 … num_tasks-1 of a split; positions=None: all of them."""
    return Setting(
        suite=split.spec.id,
        task_set=split.task_set,
        images=split.images,
        fingerprint=split.fingerprint,
        num_examples=split.info.T,
        num_classes=split.info.C,
        num_tasks=num_tasks,
        positions=tuple(range(split.info.T)) if positions is None else positions,
        learner_seed=learner_seed,
        protocol=PROTOCOL,
    )


def learner_record(loaded: LoadedLearner, adapter: Adapter) -> LearnerRecord:
    """Who answers, as files keep it. The card is a checked copy: what it becomes later is in no file.

    Raises:
        LearnerError: the card cannot be read, or is no card any more.
    """
    with calling(f"{loaded.name}.card"):
        card = json.loads(json.dumps(dict(getattr(loaded.learner, "card", {}))))
    check_card(SimpleNamespace(card=card), adapter.info, loaded.name)
    return LearnerRecord(
        name=loaded.name,
        form=adapter.form,
        withholds_labels=adapter.withholds_labels,
        source_sha256=loaded.source_sha256,
        args=dict(loaded.args),
        card=card,
    )


def origin(provenance: Provenance) -> dict[str, Any]:
    """Versions, platform and commit, as plain values: what answers of one result have in common. Devices may differ."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(provenance)))
    return {name: value for name, value in plain.items() if name != "device"}


def about_result(result: Result) -> dict[str, Any]:
    """The same of a result: equal to that of the plan that it came from."""
    return _plain(result.setting, result.learner, "off" if result.audit is None else result.audit.level)


def differing(expected: dict[str, Any], got: dict[str, Any]) -> dict[str, str] | None:
    """The fields in which two such descriptions differ, as the arguments of an error; None if there are none."""
    theirs, ours = _flat(expected), _flat(got)
    fields = [name for name in theirs | ours if theirs.get(name) != ours.get(name)]
    if not fields:
        return None
    told = [", ".join(f"{name} = {_short(side.get(name))}" for name in fields) for side in (theirs, ours)]
    return dict(zip(("expected", "got"), told, strict=True))


def _plain(setting: Setting, learner: LearnerRecord, level: AuditLevel) -> dict[str, Any]:
    parts: dict[str, Any] = {"setting": asdict(setting), "learner": asdict(learner), "audit": level}
    plain: dict[str, Any] = json.loads(json.dumps(parts))
    return plain


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, names joined by dots."""
    if not isinstance(value, dict) or not value:
        return {name: value}
    parts = (_flat(part, f"{name}.{key}" if name else key) for key, part in value.items())
    return {key: part for flat in parts for key, part in flat.items()}


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _split(suite: str | Suite | Split) -> Split:
    if isinstance(suite, Split):
        return suite
    chosen = make(suite) if isinstance(suite, str) else suite
    if not isinstance(chosen, Suite):
        raise InvalidArgument("this is no suite", expected="a suite, its id, or a split", got=type(suite).__name__)
    return chosen.meta_test


def _positions(positions: Iterable[int] | None, num_examples: int) -> Int64[np.ndarray, " P"]:
    if positions is None:
        return np.arange(num_examples)
    if not isinstance(positions, Iterable):
        raise InvalidArgument("positions are no sequence", expected="such as [0, 10, 99]", got=repr(positions))
    asked = {check_integer("a position", position, 0, num_examples - 1) for position in positions}
    if not asked:
        raise InvalidArgument("there is no position to ask", expected=f"some of 0 … {num_examples - 1}", got="none")
    return np.array(sorted(asked), np.int64)
