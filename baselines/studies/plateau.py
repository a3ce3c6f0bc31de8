"""How long does the loss stay where it is at first? Against meta-batch, Adam's ε and number of tasks.

Kirsch et al. 2022, section 5: the plateau ends sooner with larger batches, as a power law, and with a smaller ε.
The plateau ends at the first look where the loss on meta-validation tasks is below 0.95 ln C, found by linear
interpolation between looks. A run that never gets there is longer than its steps: the fit counts it as that.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from baselines.studies.power_law import PowerLaw, fit
from baselines.studies.study import Finding, Record, Study, Table, by, shown
from baselines.studies.together import Row, Trained

BELOW = 0.95  # of ln C
AXES = {"batch_size": "meta-batch", "adam_epsilon": "Adam's ε", "num_tasks": "meta-training tasks"}


def plateau(rows: Sequence[Row], classes: int) -> float | None:
    """The step at which the plateau ends; None: not in these metrics."""
    threshold, before = BELOW * np.log(classes), None
    for row in rows:
        if row["validation_loss"] is not None and row["validation_loss"] < threshold:
            if before is None:
                return float(row["step"])
            fall = before["validation_loss"] - row["validation_loss"]
            share = (before["validation_loss"] - threshold) / fall
            return float(before["step"] + share * (row["step"] - before["step"]))
        before = row if row["validation_loss"] is not None else None
    return None


def over(rows: Sequence[Row], classes: int) -> bool:
    """Whether the plateau has ended."""
    return plateau(rows, classes) is not None


def measure(run: Trained, asked: int) -> dict[str, Any]:
    """The length of the plateau in steps, or None, and the steps that were waited for."""
    info = run.settings.made_suite.info
    return {"plateau": plateau(run.rows, info.C), "steps": run.rows[-1]["step"]}


def tables(records: Sequence[Record]) -> list[Table]:
    """One for each axis, the others at the value that most cells have."""
    found = []
    for axis in _axes(records):
        rows = []
        for (value,), group in by(_along(records, axis), axis).items():
            known = [r.measured["plateau"] for r in group if r.measured["plateau"] is not None]
            median = f"{np.median(known):,.0f}" if known else "–"
            longer = [f"> {r.measured['steps']:,}" for r in group if r.measured["plateau"] is None]
            rows.append([shown(value), str(len(group)), median, ", ".join(f"{v:,.0f}" for v in sorted(known)) or "–",
                         ", ".join(longer) or "–"])  # fmt: skip
        title = f"Steps on the plateau by {AXES.get(axis, axis)}"
        law = _law(records, axis)
        title += f"; exponent {law}" if law else ""
        found.append(Table(title, [AXES.get(axis, axis), "runs", "median", "all", "not left"], rows))
    return found


def findings(records: Sequence[Record]) -> list[Finding]:
    """The power law, ε, and the number of tasks."""
    found = []
    law = _law(records, "batch_size")
    if law:
        found.append(
            Finding(
                "The plateau's length falls as a power law in the meta-batch",
                "a power law, exponent not stated",
                f"exponent {law}",
                "reproduced" if law.high < 0 else "open" if law.low < 0 else "not reproduced",
            )
        )
    medians = _medians(records, "adam_epsilon")
    if len(medians) > 1:
        small, large = min(medians), max(medians)
        ratio = medians[small] / medians[large]
        found.append(
            Finding(
                "A smaller ε of Adam more than halves the plateau",
                "more than halved",
                f"× {ratio:.2f} from ε = {large:g} to {small:g}",
                "reproduced" if ratio < 0.5 else "not reproduced" if ratio > 0.9 else "open",
            )
        )
    law = _law(records, "num_tasks")
    if law:
        found.append(
            Finding("More tasks, a shorter plateau", "not stated", f"exponent {law} in the number of tasks", "open")
        )
    return found


def draw(records: Sequence[Record], figure: Any) -> None:
    """Length against each axis, both logarithmic, with the fitted law."""
    axes = _axes(records)
    figure.set_size_inches(3.7 * max(len(axes), 1), 3.6)
    for panel, axis in zip(figure.subplots(1, len(axes), squeeze=False)[0], axes, strict=True):
        draw_lengths(panel, _along(records, axis), axis)
        law = _law(records, axis)
        if law:
            values = sorted({float(r.axes[axis]) for r in _along(records, axis) if r.axes[axis] is not None})
            panel.plot(values, [law.factor * v**law.exponent for v in values], "k-", label=f"exponent {law}")
        panel.set_xscale("log", base=10 if axis == "adam_epsilon" else 2)
        panel.legend(frameon=False, fontsize="x-small")


def draw_lengths(panel: Any, records: Sequence[Record], axis: str) -> None:
    """Dots for plateaus that ended, arrows up for those that did not."""
    points = [(float(r.axes[axis]), r.measured) for r in records if r.axes[axis] is not None]
    left = [(x, m["plateau"]) for x, m in points if m["plateau"] is not None]
    stayed = [(x, m["steps"]) for x, m in points if m["plateau"] is None]
    panel.plot([x for x, _ in left], [y for _, y in left], "o", color="C0", alpha=0.7, label="one run")
    if stayed:
        panel.plot([x for x, _ in stayed], [y for _, y in stayed], "^", color="C3", label="not left: longer")
    panel.set_yscale("log")
    panel.set(xlabel=AXES.get(axis, axis), ylabel="steps on the plateau")
    panel.grid(alpha=0.3)


def _axes(records: Sequence[Record]) -> list[str]:
    """The axes other than the seed on which the cells differ."""
    names = [axis for axis in records[0].axes if axis not in ("seed", "model")]
    return [axis for axis in names if len({r.axes[axis] for r in records}) > 1]


def _along(records: Sequence[Record], axis: str) -> list[Record]:
    """Those that differ from most cells on this axis alone."""
    kept = list(records)
    for other in _axes(records):
        if other != axis:
            values = [r.axes[other] for r in records]
            usual = max(set(values), key=values.count)
            kept = [r for r in kept if r.axes[other] == usual]
    return kept


def _law(records: Sequence[Record], axis: str) -> PowerLaw | None:
    if axis not in _axes(records):
        return None
    runs = [r for r in _along(records, axis) if r.axes[axis] is not None]
    lengths = [r.measured["plateau"] or r.measured["steps"] for r in runs]
    return fit([float(r.axes[axis]) for r in runs], lengths, [r.measured["plateau"] is not None for r in runs])


def _medians(records: Sequence[Record], axis: str) -> dict[float, float]:
    """The median length by value, where more than half of the runs left their plateau."""
    if axis not in _axes(records):
        return {}
    found = {}
    for (value,), group in by(_along(records, axis), axis).items():
        lengths = sorted(r.measured["plateau"] or float("inf") for r in group)
        if np.isfinite(np.median(lengths)):
            found[value] = float(np.median(lengths))
    return found


STUDY = Study(
    name="plateau",
    version=1,
    question="What shortens the plateau on which the loss stays before a model begins to learn to learn?",
    measure=measure,
    tables=tables,
    draw=draw,
    findings=findings,
    enough=partial(over, classes=10),
)
