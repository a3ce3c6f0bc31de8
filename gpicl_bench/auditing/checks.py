"""The checks: each asks the learner and says whether a property held."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from gpicl_bench.auditing.asking import Answers, Bench, Mixed, ask, first_source
from gpicl_bench.auditing.perturbation import CUTS, Kind, Variant
from gpicl_bench.auditing.report import Check, Status
from gpicl_bench.errors import LearnerError
from gpicl_bench.learners import Adapter
from gpicl_bench.learners.callable import CallableAdapter
from gpicl_bench.learners.prediction import calling
from gpicl_bench.learners.sequence import SequenceAdapter
from gpicl_bench.learners.step import StepAdapter

BUDGET = 1e-5  # of false alarms an audit, over all statistical checks
STATISTICAL = 3  # tests that share it
TOLERANCE = 1e-2  # of the spread of a row's scores, where shapes differ and float sums may take another order
ROUNDING = 1e-5  # of the largest score
LABELS = 0.01  # share of labels that may differ there, where a learner gives no scores and nearly ties

Positions = Int64[np.ndarray, " P"]


def equal_bits(name: str, bench: Bench, positions: Positions, a: Answers, b: Answers, blame: str) -> Check:
    """Two answers to the same question, at one shape."""
    differ = _differ(a, b)
    return _check(name, differ.size, "bits", _first(differ, bench, positions, blame))


def perturbed(
    adapter: Adapter, bench: Bench, positions: Positions, variants: list[Variant], mixed: Mixed
) -> list[Check]:
    """Nothing at or before the cut may follow a change after it."""
    checks = []
    for kind in CUTS:
        compared, offence = 0, ""
        for variant, answers, labels in zip(variants, mixed.answers, mixed.labels, strict=True):
            if variant.kind != kind:
                continue
            early = positions[None, :] <= np.array(variant.cuts)[:, None]
            differ = _differ(answers, mixed.answers[0]) & early
            compared += int(early.sum())
            if differ.any() and not offence:
                row, column = (int(i) for i in np.argwhere(differ)[0])
                source = _source(adapter, bench, positions, kind, row, variant.cuts[row], column, labels[row])
                offence = f"position {positions[column]} follows {source}, in {bench.name(row)}"
        checks.append(_check(kind, compared, "bits", offence))
    return checks


def _source(
    adapter: Adapter, bench: Bench, positions: Positions, kind: Kind, row: int, t: int, column: int, labels: Any
) -> str:
    """What an answer follows, found by changing one thing at a time."""
    if kind == "label at t":
        return f"the label at {t}"
    what, changed = ("the input", None) if kind == "later inputs" else ("the label", labels)
    found = first_source(adapter, bench, positions, row, t, column, changed)
    return f"{what}s from {t + 1} on together" if found is None else f"{what} at {found}"


def other_shape(name: str, bench: Bench, positions: Positions, a: Answers, b: Answers, blame: str) -> Check:
    """Two answers to the same question, asked in calls of different shapes."""
    if a.ndim == 2:
        differ = a != b
        offence = _first(differ, bench, positions, blame) if differ.mean() > LABELS else ""
        return _check(name, differ.size, f"{LABELS:.0%} of labels", offence)
    allowed = TOLERANCE * np.ptp(a, axis=-1, keepdims=True) + ROUNDING * np.abs(a).max(axis=-1, keepdims=True)
    differ = (np.abs(a - b) > allowed).any(axis=-1)
    return _check(name, differ.size, f"{TOLERANCE:g} of spread", _first(differ, bench, positions, blame))


def shorter(adapter: Adapter, bench: Bench, positions: Positions, length: int, whole: Answers) -> Check:
    """The first `length` examples alone give the same predictions as within the whole episode."""
    if adapter.stochastic:
        return _inapplicable("length", "what a stochastic learner draws may depend on the length")
    asked = positions[positions < length]
    try:
        alone = ask(adapter, bench, asked, bench.x[:, :length].copy(), bench.y[:, :length].copy())
    except LearnerError as error:
        return _inapplicable("length", f"the learner takes no {length} examples: {error.got}")
    return other_shape("length", bench, asked, whole[:, : len(asked)], alone, f"with {length} examples instead of all")


def batch(
    adapter: Adapter, bench: Bench, positions: Positions, whole: Answers, rng: np.random.Generator
) -> list[Check]:
    """The same rows in another order, and in another batch size."""
    order = rng.permutation(len(bench.tasks)).tolist()
    moved = bench.rows(order)
    checks = [other_shape("task order", moved, positions, whole[order], ask(adapter, moved, positions), "when moved")]
    if not isinstance(adapter, SequenceAdapter):
        return [*checks, _inapplicable("batch size", "the harness asks one task at a time or in whole blocks")]
    few = bench.rows(list(range(5)))
    try:
        small = adapter.scores(few.x, few.y, few.keys)[:, positions]
    except LearnerError as error:
        return [*checks, _inapplicable("batch size", f"the learner takes no batch of 5: {error.got}")]
    return [*checks, other_shape("batch size", few, positions, whole[:5], small, "in a batch of 5")]


def queries(adapter: Adapter, bench: Bench, positions: Positions) -> Check:
    """Four queries in one call are answered as one by one."""
    name = "queries apart"
    if not isinstance(adapter, CallableAdapter) or adapter.stochastic:
        return _inapplicable(name, "this form is asked one query at a time, with a key for each")
    asked = [(row, k) for row in range(8) for k in positions.tolist() if k + 4 <= bench.y.shape[1]]
    together, alone = [], []
    try:
        for row, k in asked:
            context, query = (bench.x[row, :k].copy(), bench.y[row, :k].copy()), bench.x[row, k : k + 4].copy()
            with calling(adapter.name):
                together.append(np.asarray(adapter.learner(*context, query)))
                single = [np.asarray(adapter.learner(*context, query[q : q + 1])) for q in range(4)]
            alone.append(np.concatenate(single))
    except LearnerError as error:  # a learner that was only promised single queries
        return _inapplicable(name, f"the learner takes one query a call: {error.got}")
    if not asked or any(a.shape != b.shape for a, b in zip(together, alone, strict=True)):
        return _inapplicable(name, "the learner takes one query a call")
    dtype = np.int64 if alone[0].ndim == 1 else np.float64
    a, b = np.stack(alone).astype(dtype), np.stack(together).astype(dtype)
    each = bench.rows([row for row, _ in asked])
    return other_shape(name, each, np.arange(4), a, b, "in a call with other queries")


def untouched(adapter: Adapter, bench: Bench) -> Check:
    """The arrays that the learner is handed are as they were; here they can be written."""
    name = "inputs untouched"
    x, y, key = bench.x.copy(), bench.y.copy(), bench.keys.copy()
    if isinstance(adapter, SequenceAdapter):
        handed: list[Any] = [x, y, key][: 2 + adapter.stochastic]
    elif isinstance(adapter, CallableAdapter):
        handed = [x[0, :-1], y[0, :-1], x[0, -1:], key[0]][: 3 + adapter.stochastic]
    elif isinstance(adapter, StepAdapter):
        handed = [x[0, 0]]
    else:
        return _inapplicable(name, "this form is handed copies")
    kept = [array.copy() for array in handed]
    with calling(adapter.name):
        if isinstance(adapter, StepAdapter):
            adapter.learner.step(adapter.learner.init(*[key[0]] * adapter.stochastic), handed[0], -1)
        else:
            adapter.learner(*handed)
    changed = [not np.array_equal(a, b) for a, b in zip(handed, kept, strict=True)]
    return _check(
        name, len(changed), "bits", f"the learner wrote into argument {changed.index(True)}" if any(changed) else ""
    )


def forms_agree(step: Adapter | None, bench: Bench, positions: Positions, whole: Answers) -> Check:
    """Where a learner has both forms: the same predictions from each."""
    if step is None or step.stochastic:
        reason = "the learner has one form" if step is None else "the forms of a stochastic learner may draw otherwise"
        return _inapplicable("forms agree", reason)
    return other_shape("forms agree", bench, positions, whole, ask(step, bench, positions), "in the step form")


def honeypots(correct: int, asked: int, num_classes: int) -> Check:
    """Labels drawn independently of x and of each other: right with probability 1/C exactly, whoever answers.

    The number of right answers is then binomial; both tails are bounded by half of this check's share of the budget.
    """
    from scipy.stats import binom

    bound = BUDGET / STATISTICAL
    chance = 1 / num_classes
    tail = float(min(binom.sf(correct - 1, asked, chance), binom.cdf(correct, asked, chance)))
    said = f"{correct} of {asked} right where chance is {chance:.3g}"
    return _statistical("honeypots", asked, bound, tail, 2 * tail < bound, said)


def public_tasks(accuracy: np.ndarray, stratum: Int64[np.ndarray, " task"]) -> Check:
    """Accuracy on public tasks against tasks that were drawn now: one distribution, for whoever knows neither.

    Mann–Whitney's test over tasks (1947), two-sided, by its normal approximation; once for the first 1,024 public
    tasks and once for the others.
    """
    from scipy.stats import mannwhitneyu

    bound, drawn, said, p = BUDGET / STATISTICAL, accuracy[stratum == 0], [], 1.0
    for kind, name in ((1, "of the first 1,024"), (2, "of the other public")):
        known = accuracy[stratum == kind]
        said.append(f"{known.mean():.3f} on {len(known)} {name} tasks")
        if np.ptp(np.concatenate([known, drawn])) > 0:
            p = min(p, float(mannwhitneyu(known, drawn, method="asymptotic").pvalue))
    said.append(f"{drawn.mean():.3f} on {len(drawn)} drawn now")
    return _statistical("public tasks", len(accuracy), bound, p, p < bound, "accuracy " + ", ".join(said))


def _statistical(name: str, compared: int, bound: float, p: float, failed: bool, said: str) -> Check:
    return Check(name, "failed" if failed else "passed", compared, f"p ≥ {bound:g}", f"{said} (p = {p:.2g})")


def _differ(a: Answers, b: Answers) -> Bool[np.ndarray, "B P"]:
    return (a != b).any(axis=-1) if a.ndim == 3 else a != b


def _first(differ: Bool[np.ndarray, "B P"], bench: Bench, positions: Positions, blame: str) -> str:
    if not differ.any():
        return ""
    row, column = (int(i) for i in np.argwhere(differ)[0])
    return f"position {positions[column]} differs {blame}, in {bench.name(row)}; {differ.mean():.1%} of answers do"


def _check(name: str, compared: int, tolerance: str, offence: str) -> Check:
    status: Status = "failed" if offence else "passed"
    return Check(name, status, compared, tolerance, offence)


def _inapplicable(name: str, reason: str) -> Check:
    return Check(name, "not applicable", 0, "", reason)
