"""One label permutation for a fraction of each batch: does it remove the plateau, and what does it cost?

Kirsch et al. 2022, section 5: a biased distribution of tasks, where the labels of most episodes mean the same, gives
the model something to learn at once. Measured are the length of the plateau on unbiased tasks and the accuracy at the
end of their episodes after training.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from baselines.studies.plateau import draw_lengths, halved, plateau
from baselines.studies.study import Finding, Record, Study, Table, Verdict, by, learners
from baselines.studies.together import Trained
from gpicl_bench import evaluate

AXIS, LABEL = "fixed_permutation", "fraction of each batch with one permutation"


def measure(run: Trained, asked: int) -> dict[str, Any]:
    """The plateau in steps, or None, and accuracy on unseen tasks after T - 1 labelled examples."""
    suite = run.settings.made_suite
    result = evaluate(run.learner(suite.info), suite, asked, [0, suite.info.T - 1], audit="off")
    low, high = result.accuracy_interval[-1]
    return {
        "plateau": plateau(run.rows, suite.info.C),
        "steps": run.rows[-1]["step"],
        "accuracy": [round(float(v), 4) for v in (result.accuracy[-1], low, high)],
    }


def tables(records: Sequence[Record]) -> list[Table]:
    """A line for each fraction, a table for each learner."""
    head = ["fraction fixed", "seeds", "plateau", "final accuracy"]
    title = "Unseen tasks, held-out images: median steps on the plateau, final accuracy (least to most of the seeds)"
    found = []
    for learner, own in learners(records, AXIS).items():
        rows = []
        for (fraction,), group in by(own, AXIS).items():
            accuracies = [r.measured["accuracy"][0] for r in group]
            spread = f"{np.mean(accuracies):.3f} ({min(accuracies):.3f} to {max(accuracies):.3f})"
            rows.append([f"{fraction:g}", str(len(group)), _median(group), spread])
        found.append(Table(f"{title}: {learner}", head, rows))
    return found


def findings(records: Sequence[Record]) -> list[Finding]:
    """Shorter or not, and at what price, for each learner."""
    found = []
    for learner, own in learners(records, AXIS).items():
        groups = {fraction: group for (fraction,), group in by(own, AXIS).items()}
        claim = f"One fixed permutation for a fraction of every batch removes the plateau ({learner})"
        found.append(Finding(claim, "removed", *_removed(groups)))
        price = ", ".join(f"{np.mean([r.measured['accuracy'][0] for r in g]):.3f} at {f:g}" for f, g in groups.items())
        claim = f"What it costs in final accuracy on unbiased tasks ({learner})"
        found.append(Finding(claim, "not stated", price, "open"))
    return found


def _removed(groups: dict[float, list[Record]]) -> tuple[str, Verdict]:
    """What the fraction with the least median says beside none; a plateau that did not end without is longer."""
    lengths = {f: [r.measured["plateau"] or np.inf for r in group] for f, group in groups.items() if f}
    if not lengths or 0.0 not in groups:
        return "cells with it and cells without it are needed", "open"
    best = min(lengths, key=lambda f: np.median(lengths[f]))
    told = f"{_median(groups[0.0])} steps without, {_median(groups[best])} at a fraction of {best:g}"
    return told, halved(lengths[best], [r.measured["plateau"] or r.measured["steps"] for r in groups[0.0]])


def _median(group: Sequence[Record]) -> str:
    """Of the lengths of plateaus."""
    median = np.median([r.measured["plateau"] or np.inf for r in group])
    return f"{median:,.0f}" if np.isfinite(median) else f"> {min(r.measured['steps'] for r in group):,}"


def draw(records: Sequence[Record], figure: Any) -> None:
    """Plateau and accuracy against the fraction, a line of panels for each learner."""
    apart = learners(records, AXIS)
    figure.set_size_inches(9, 3.6 * len(apart))
    for (lengths, accuracies), (learner, own) in zip(
        figure.subplots(len(apart), 2, squeeze=False), apart.items(), strict=True
    ):
        draw_lengths(lengths, own, AXIS)
        lengths.set(xlabel=LABEL, title=learner)
        lengths.legend(frameon=False, fontsize="x-small")
        groups = {fraction: [r.measured["accuracy"][0] for r in group] for (fraction,), group in by(own, AXIS).items()}
        accuracies.plot(list(groups), [np.mean(values) for values in groups.values()], "o-", color="C0")
        for fraction, values in groups.items():
            accuracies.plot([fraction] * len(values), values, ".", color="C0", alpha=0.4)
        accuracies.set(xlabel=LABEL, ylabel="final accuracy, unseen tasks", ylim=(0, 1))
        accuracies.grid(alpha=0.3)


STUDY = Study(
    name="bias",
    version=1,
    question="Does one fixed permutation for part of each batch remove the plateau, and what does it cost?",
    measure=measure,
    tables=tables,
    draw=draw,
    findings=findings,
)
