"""How long does the loss stay where it is at first? Against meta-batch, Adam's ε and number of tasks.

Kirsch et al. 2022, section 5: the plateau ends sooner with larger batches, as a power law, and with a smaller ε.
The plateau ends at the first look where the loss on meta-validation tasks is below 0.95 ln C, found by linear
interpolation between looks; where the first look is below, it is that look, the latest that it can be. A run that
never gets there is longer than its steps: the fit counts it as that.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from baselines.studies.power_law import PowerLaw, fit
from baselines.studies.study import Finding, Record, Study, Table, Verdict, by, shown
from baselines.studies.together import Row, Trained

BELOW = 0.95  # of ln C
USUAL = "batch_size"
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
    """One for each model and axis, the others at the value that most cells have."""
    return [_table(model, own, axis) for (model,), own in by(records, "model").items() for axis in _axes(own)]


def _table(model: str, records: Sequence[Record], axis: str) -> Table:
    name, law, rows = AXES.get(axis, axis), _law(records, axis), []
    for value, lengths in _lengths(records, axis).items():
        known = sorted(v for v in lengths if np.isfinite(v))
        median = f"{np.median(known):,.0f}" if known else "–"
        longer = [r.measured for r in _along(records, axis) if r.axes[axis] == value and r.measured["plateau"] is None]
        rows.append([shown(value), str(len(lengths)), median, ", ".join(f"{v:,.0f}" for v in known) or "–",
                     ", ".join(f"> {m['steps']:,}" for m in longer) or "–"])  # fmt: skip
    title = f"Steps on the plateau by {name} ({model})" + (f"; exponent {law}" if law else "")
    return Table(title, [name, "runs", "median of those that left", "all", "not left"], rows)


def findings(records: Sequence[Record]) -> list[Finding]:
    """The power law, ε, and the number of tasks, for each model."""
    found = []
    for (model,), own in by(records, "model").items():
        law = _law(own, "batch_size")
        if law:
            claim = f"The plateau is shorter with a larger meta-batch, by a power law ({model})"
            found.append(Finding(claim, "a power law, exponent not stated", f"exponent {law}", _falls(law)))
        found += _of_epsilon(own, model)
        law = _law(own, "num_tasks")
        if law:
            told = f"exponent {law} in the number of tasks"
            found.append(Finding(f"More tasks, a shorter plateau ({model})", "not stated", told, "open"))
    return found


def _falls(law: PowerLaw) -> Verdict:
    """Of two places any law is a power law, and one run a place has no interval."""
    if law.low >= 0:
        return "not reproduced"
    return "reproduced" if law.high < 0 and law.places > 2 else "open"


def _of_epsilon(records: Sequence[Record], model: str) -> list[Finding]:
    """Of the least and the largest ε, whose runs count with the steps that they had where they did not leave."""
    lengths = _lengths(records, "adam_epsilon")
    if len(lengths) < 2:
        return []
    waited = {value: min(r.measured["steps"] for r in records if r.axes["adam_epsilon"] == value) for value in lengths}
    medians = {value: float(np.median(found)) for value, found in lengths.items()}
    told = [
        f"ε = {value:g}: " + (f"{median:,.0f}" if np.isfinite(median) else f"more than {waited[value]:,}")
        for value, median in medians.items()
    ]
    large = max(lengths)
    verdict = halved(lengths[min(lengths)], [min(length, waited[large]) for length in lengths[large]])
    claim = f"A smaller ε of Adam more than halves the plateau ({model})"
    return [Finding(claim, "more than halved", "median steps at " + "; ".join(told), verdict)]


def halved(less: Sequence[float], more: Sequence[float]) -> Verdict:
    """Whether plateaus are less than half as long as others: by their medians, each shorter than each of the others.

    What did not end is infinite in `less`, and in `more` the steps that were waited for. One run alone is none.
    """
    ratio = np.median(less) / np.median(more)
    if min(len(less), len(more)) < 2 or not np.isfinite(ratio):
        return "open"
    if ratio > 0.9:
        return "not reproduced"
    return "reproduced" if ratio < 0.5 and max(less) < min(more) else "open"


def draw(records: Sequence[Record], figure: Any) -> None:
    """Length against each axis of numbers, both logarithmic, with the fitted law; a line of panels for each model."""
    models = by(records, "model")
    axes = {model: [axis for axis in _axes(own) if _is_scale(own, axis)] or [USUAL] for (model,), own in models.items()}
    columns = max(map(len, axes.values()))
    figure.set_size_inches(3.7 * columns, 3.6 * len(models))
    panels = figure.subplots(len(models), columns, squeeze=False)
    for line, ((model,), own) in zip(panels, models.items(), strict=True):
        for panel, axis in zip(line, axes[model], strict=False):
            _draw_axis(panel, own, axis, model)
        for panel in line[len(axes[model]) :]:
            panel.set_axis_off()


def _draw_axis(panel: Any, records: Sequence[Record], axis: str, model: str) -> None:
    draw_lengths(panel, _along(records, axis), axis)
    law = _law(records, axis)
    if law:
        values = sorted({float(r.axes[axis]) for r in _along(records, axis) if r.axes[axis] is not None})
        panel.plot(values, [law.factor * v**law.exponent for v in values], "k-", label=f"exponent {law}")
    panel.set_xscale("log", base=10 if axis == "adam_epsilon" else 2)
    panel.set_title(model, fontsize="small")
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
    """The axes other than the seed on which the cells of a model differ."""
    return [axis for axis in records[0].axes if axis != "seed" and len({r.axes[axis] for r in records}) > 1]


def _is_scale(records: Sequence[Record], axis: str) -> bool:
    """Whether it has positive numbers, besides an unbounded pool."""
    values = [r.axes[axis] for r in records if r.axes[axis] is not None]
    return all(isinstance(value, int | float) and value > 0 for value in values)


def _along(records: Sequence[Record], axis: str) -> list[Record]:
    """Those that differ from most cells on this axis alone."""
    kept = list(records)
    for other in _axes(records):
        if other != axis:
            values = [r.axes[other] for r in records]
            usual = max(dict.fromkeys(values), key=values.count)
            kept = [r for r in kept if r.axes[other] == usual]
    return kept


def _law(records: Sequence[Record], axis: str) -> PowerLaw | None:
    if axis == "adam_epsilon" or axis not in _axes(records) or not _is_scale(records, axis):
        return None  # ε has a threshold, not a law: above it no run leaves its plateau, far below it nothing changes
    runs = [r for r in _along(records, axis) if r.axes[axis] is not None]
    lengths = [r.measured["plateau"] or r.measured["steps"] for r in runs]
    return fit([float(r.axes[axis]) for r in runs], lengths, [r.measured["plateau"] is not None for r in runs])


def _lengths(records: Sequence[Record], axis: str) -> dict[Any, list[float]]:
    """The lengths by value, infinite where a run did not leave its plateau."""
    if axis not in _axes(records):
        return {}
    groups = by(_along(records, axis), axis)
    return {value: [r.measured["plateau"] or np.inf for r in group] for (value,), group in groups.items()}


STUDY = Study(
    name="plateau",
    version=1,
    question="What shortens the plateau on which the loss stays before a model begins to learn to learn?",
    measure=measure,
    tables=tables,
    draw=draw,
    findings=findings,
    enough=over,
)
