"""One label permutation for a fraction of each batch: does it remove the plateau, and what does it cost?

Kirsch et al. 2022, section 5: a biased distribution of tasks, where the labels of most episodes mean the same, gives
the model something to learn at once. Measured are the length of the plateau on unbiased tasks and the accuracy at the
end of their episodes after training.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from baselines.studies.plateau import draw_lengths, plateau
from baselines.studies.study import Finding, Record, Study, Table, by
from baselines.studies.together import Trained
from gpicl_bench import evaluate

AXIS = "fixed_permutation"


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
    """A line for each fraction."""
    rows = []
    for (fraction,), group in by(records, AXIS).items():
        lengths = [r.measured["plateau"] or float("inf") for r in group]
        median = float(np.median(lengths))
        accuracies = [r.measured["accuracy"][0] for r in group]
        shown = f"{median:,.0f}" if np.isfinite(median) else f"> {group[0].measured['steps']:,}"
        spread = f"{np.mean(accuracies):.3f} ({min(accuracies):.3f} to {max(accuracies):.3f})"
        rows.append([f"{fraction:g}", str(len(group)), shown, spread])
    title = (
        "Unseen tasks, held-out images: median steps on the plateau, and final accuracy (least to most of the seeds)"
    )
    return [Table(title, ["fraction fixed", "seeds", "plateau", "final accuracy"], rows)]


def findings(records: Sequence[Record]) -> list[Finding]:
    """Shorter or not, and at what price."""
    groups = {fraction: group for (fraction,), group in by(records, AXIS).items()}
    medians = {f: float(np.median([r.measured["plateau"] or np.inf for r in g])) for f, g in groups.items()}
    accuracy = {f: float(np.mean([r.measured["accuracy"][0] for r in g])) for f, g in groups.items()}
    none, best = medians.get(0.0, np.inf), min(medians, key=lambda f: medians[f])
    steps = max(r.measured["steps"] for r in records)
    before = f"{none:,.0f} steps" if np.isfinite(none) else f"more than {steps:,} steps"
    told = f"{before} without, {medians[best]:,.0f} at a fraction of {best:g}"
    ratio = medians[best] / none if np.isfinite(none) else 0.0 if np.isfinite(medians[best]) else 1.0
    claim = "One fixed permutation for a fraction of every batch removes the plateau"
    verdict: Any = "reproduced" if ratio < 0.5 else "open" if ratio < 0.8 else "not reproduced"
    price = ", ".join(f"{accuracy[f]:.3f} at {f:g}" for f in accuracy)
    return [
        Finding(claim, "removed", told, verdict),
        Finding("What it costs in final accuracy on unbiased tasks", "not stated", price, "open"),
    ]


def draw(records: Sequence[Record], figure: Any) -> None:
    """Plateau and accuracy against the fraction."""
    figure.set_size_inches(9, 3.6)
    lengths, accuracies = figure.subplots(1, 2)
    draw_lengths(lengths, records, AXIS)
    lengths.set_xlabel("fraction of each batch with one permutation")
    lengths.legend(frameon=False, fontsize="x-small")
    groups = {fraction: [r.measured["accuracy"][0] for r in group] for (fraction,), group in by(records, AXIS).items()}
    accuracies.plot(list(groups), [np.mean(values) for values in groups.values()], "o-", color="C0")
    for fraction, values in groups.items():
        accuracies.plot([fraction] * len(values), values, ".", color="C0", alpha=0.4)
    accuracies.set(
        xlabel="fraction of each batch with one permutation", ylabel="final accuracy, unseen tasks", ylim=(0, 1)
    )
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
