"""Accuracy past the trained length of an episode, where a model allows it, and against the trained length."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from baselines.studies.study import Finding, Record, Study, Table, by, learners
from baselines.studies.together import Trained
from gpicl_bench import evaluate, make

LONGEST = 200
POSITIONS = (0, 1, 2, 5, 10, 20, 24, 49, 99, 149, 199)


def measure(run: Trained, asked: int) -> dict[str, Any]:
    """accuracy@k on unseen tasks, up to 199 labelled examples or to where the model ends."""
    settings = run.settings
    suite = make(settings.suite, num_examples=LONGEST)
    longest = run.learner(suite.info).card.get("max_examples")
    if longest is not None and longest < LONGEST:
        suite = make(settings.suite, num_examples=longest)
    positions = sorted({k for k in (*POSITIONS, settings.num_examples - 1) if k < suite.info.T})
    result = evaluate(run.learner(suite.info), suite, asked, positions, audit="off")
    return {
        "positions": positions,
        "accuracy": [round(float(v), 4) for v in result.accuracy],
        "max_examples": longest,
    }


def tables(records: Sequence[Record]) -> list[Table]:
    """A line for each model and trained length; the mean over seeds."""
    asked = sorted({k for r in records for k in r.measured["positions"] if k in (0, *POSITIONS[3:])})
    rows = []
    for model, own in learners(records, "num_examples").items():
        for (trained,), group in by(own, "num_examples").items():
            values = [_at(group, k) for k in asked]
            rows.append([model, str(trained), str(len(group)), *[f"{v:.3f}" if v is not None else "–" for v in values]])
    title = "accuracy@k on unseen tasks, held-out images, by the trained T"
    return [Table(title, ["model", "trained T", "seeds", *[f"@{k}" for k in asked]], rows)]


def findings(records: Sequence[Record]) -> list[Finding]:
    """What more examples than were ever seen in training are worth."""
    found = []
    for model, group in learners(records, "num_examples").items():
        told, gains = [], []
        for (trained,), runs in by(group, "num_examples").items():
            at_end, beyond = _at(runs, trained - 1), _at(runs, LONGEST - 1)
            if at_end is not None and beyond is not None and trained < LONGEST:
                told.append(f"T = {trained}: {at_end:.3f} → {beyond:.3f}")
                gains.append(beyond - at_end)
        here = "; ".join(told) or "the model ends at its trained length"
        claim = f"Past the trained length, accuracy@T-1 → accuracy@{LONGEST - 1} ({model})"
        found.append(Finding(claim, "not stated", f"{here}: {_judged(gains)}", "open"))
    return found


def _judged(gains: Sequence[float]) -> str:
    """What two points of accuracy more or less are called."""
    if not gains:
        return "not possible"
    return "it goes on learning" if min(gains) > 0.02 else "it falls off" if min(gains) < -0.02 else "it stays"


def draw(records: Sequence[Record], figure: Any) -> None:
    """Learning curves by trained length, solid up to it and dashed past it; one panel a model."""
    models = learners(records, "num_examples")
    figure.set_size_inches(4.2 * len(models), 3.8)
    for panel, model in zip(figure.subplots(1, len(models), squeeze=False, sharey=True)[0], models, strict=True):
        own = models[model]
        for number, ((trained,), group) in enumerate(by(own, "num_examples").items()):
            points = [(k, _at(group, k)) for k in group[0].measured["positions"]]
            within, past = [p for p in points if p[0] < trained], [p for p in points if p[0] >= trained - 1]
            panel.plot(*zip(*within, strict=True), "o-", color=f"C{number}", label=f"T = {trained}", markersize=3)
            if len(past) > 1:
                panel.plot(*zip(*past, strict=True), "o--", color=f"C{number}", markersize=3, markerfacecolor="none")
        panel.set(xlabel="labelled examples k", ylabel="accuracy@k", title=model, ylim=(0, 1))
        panel.legend(title="trained with", frameon=False, fontsize="x-small")
        panel.grid(alpha=0.3)


def _at(group: Sequence[Record], k: int) -> float | None:
    """The mean accuracy@k over seeds; None where it was not asked."""
    found = [r.measured["accuracy"][r.measured["positions"].index(k)] for r in group if k in r.measured["positions"]]
    return float(np.mean(found)) if found else None


STUDY = Study(
    name="length",
    version=1,
    question="What are more examples than were ever seen in training worth, and how long should training episodes be?",
    measure=measure,
    tables=tables,
    draw=draw,
    findings=findings,
)
