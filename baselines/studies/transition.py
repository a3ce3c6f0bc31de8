"""Number of tasks × size of the model: does it memorise, identify, or learn? (Kirsch et al. 2022, section 4)

Each cell is one learner and its diagnosis (docs/diagnosis.md): improvement within an episode on the tasks that it has
seen, on unseen tasks, and on unseen tasks of other base datasets, and the verdict that follows.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, takewhile
from typing import Any

import numpy as np

from baselines.studies.pictures import PHASES, blend
from baselines.studies.study import Finding, Record, Study, Table, Verdict, by, learners, shown
from baselines.studies.together import Trained
from gpicl_bench import diagnose
from gpicl_bench.diagnosing.cell import Cell
from gpicl_bench.diagnosing.phase import ABSENT, PRESENT

ORDER = ("instance memorisation", "task identification", "general learning")
# Read off the paper's figure: accuracy at the end of an episode less that at its start, by number of tasks.
PAPER_SEEN = {2**7: 0.01, 2**10: 0.11, 2**12: 0.33, 2**14: 0.46, 2**15: 0.60}
PAPER_UNSEEN = {2**13: 0.0, 2**14: 0.15, 2**15: 0.60}
PAPER_LEARNS = 2**14


def measure(run: Trained, asked: int) -> dict[str, Any]:
    """The diagnosis of a run."""
    suite = run.settings.made_suite
    found = diagnose(run.learner(suite.info), suite, num_episodes=asked)
    cells = [_plain(cell) for cell in found.cells]
    return {"verdict": found.phase.verdict, "reason": found.phase.reason, "cells": cells}


def tables(records: Sequence[Record]) -> list[Table]:
    """A line for each size and number of tasks."""
    head = ["size", "tasks", "seeds", "verdicts", "seen tasks", "unseen tasks", "other base datasets"]
    rows = []
    for (size, tasks), group in _by_place(records).items():
        gains = [_gain(group, kind) for kind in ("seen", "unseen", "other")]
        shares = [f"{_mean(gain):.2f}" if gain else "–" for gain in gains]
        rows.append([size, shown(tasks), str(len(group)), _counted(group), *shares])
    title = "Improvement within an episode, as a share of what is possible (held-out images), and verdicts"
    return [Table(title, head, rows)]


def findings(records: Sequence[Record]) -> list[Finding]:
    """The phases, their order, their boundaries, and what is learned for other datasets."""
    found = []
    for size, own in learners(records, "num_tasks").items():
        phases = {tasks: _majority(group) for (tasks,), group in by(own, "num_tasks").items()}
        told = " → ".join(f"{phase} at {shown(t)}" for t, phase in _changes(phases))
        claim = f"With more tasks: memorising, then identifying, then learning ({size})"
        found.append(Finding(claim, "in this order", told, _in_order(list(phases.values()))))
        claim = f"Learning begins at a number of tasks ({size})"
        found.append(Finding(claim, f"{shown(PAPER_LEARNS)} (MNIST)", *_beginning(phases)))
    return [*found, *_of_others(records)]


def _beginning(phases: dict[Any, str]) -> tuple[str, Verdict]:
    """The number of tasks from which on every larger one is learned from, unless it is the first that was asked."""
    pools = list(phases)
    learns = list(takewhile(lambda tasks: phases[tasks] == ORDER[2], reversed(pools)))
    if not learns:
        lasting = "lastingly " if ORDER[2] in phases.values() else ""
        return f"not {lasting}up to {shown(pools[-1])}", "open"
    return f"from {shown(learns[-1])} tasks on", "reproduced" if learns[-1] != pools[0] else "open"


def _of_others(records: Sequence[Record]) -> list[Finding]:
    """What those that improve on unseen tasks improve on other base datasets, by the bounds of the diagnosis.

    They are not chosen by their verdict: *general learning* asks for improvement on another base dataset itself.
    """
    gains = _gain([r for r in records if _improves(r)], "other")
    if not gains:
        return []
    gain = float(np.mean(gains))
    here = f"{gain:.2f} of what is possible, mean of {len(gains)} runs that do on unseen tasks"
    verdict: Verdict = "reproduced" if gain > PRESENT else "not reproduced" if gain < ABSENT else "open"
    claim = "What has learned to learn improves on other base datasets too"
    return [Finding(claim, ".42 (MNIST → Fashion-MNIST)", here, verdict)]


def draw(records: Sequence[Record], figure: Any) -> None:
    """The map of phases, and the curves of the last model beside the paper's."""
    figure.set_size_inches(11, 4.2)
    grid, curves = figure.subplots(1, 2, width_ratios=[1.1, 1])
    places = _by_place(records)
    sizes, pools = (list(dict.fromkeys(place[axis] for place in places)) for axis in (0, 1))
    pools.sort(key=lambda tasks: float("inf") if tasks is None else tasks)
    image = np.ones((len(sizes), len(pools), 3))
    for (size, tasks), group in places.items():
        row, column = sizes.index(size), pools.index(tasks)
        image[row, column] = blend([PHASES[r.measured["verdict"]] for r in group])
        gains = _gain(group, "unseen")
        text = f"{_mean(gains):.2f}" if gains else "–"
        grid.text(column, row, text, ha="center", va="center", fontsize="small", color="black")
    grid.imshow(image, aspect="auto")
    grid.set_xticks(range(len(pools)), [shown(tasks) for tasks in pools])
    grid.set_yticks(range(len(sizes)), sizes)
    grid.set(xlabel="meta-training tasks", title="Phase (colour) and improvement on unseen tasks")
    for name in (*ORDER, "no learning", "undetermined"):
        grid.plot([], [], "s", color=PHASES[name], markeredgecolor="grey", label=name)
    grid.legend(ncols=3, fontsize="x-small", loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False)
    _draw_curves(curves, {tasks: group for (size, tasks), group in places.items() if size == sizes[-1]}, sizes[-1])


def _draw_curves(axes: Any, groups: dict[Any, list[Record]], size: str) -> None:
    for kind, colour in (("seen", "C0"), ("unseen", "C3"), ("other", "C2")):
        points = [(tasks, _gain(group, kind)) for tasks, group in groups.items() if tasks]
        points = [(tasks, gains) for tasks, gains in points if gains]
        if points:
            label = {"other": "other base datasets"}.get(kind, f"{kind} tasks")
            axes.plot([t for t, _ in points], [np.mean(g) for _, g in points], "o-", color=colour, label=label)
            for tasks, gains in points:
                axes.plot([tasks] * len(gains), gains, ".", color=colour, alpha=0.4)
    for label, values, colour in (("paper, seen", PAPER_SEEN, "C0"), ("paper, unseen", PAPER_UNSEEN, "C3")):
        axes.plot(list(values), list(values.values()), "--", color=colour, alpha=0.5, label=label)
    axes.set_xscale("log", base=2)
    axes.set(xlabel="meta-training tasks", ylabel="improvement within an episode", title=size, ylim=(-0.1, 1))
    axes.legend(frameon=False, fontsize="x-small")
    axes.grid(alpha=0.3)


def _plain(cell: Cell) -> dict[str, Any]:
    return {
        "tasks": cell.tasks,
        "images": cell.images,
        "suite": cell.suite,
        "improvement": [round(v, 4) for v in cell.improvement],
        "knowledge": [round(v, 4) for v in cell.knowledge],
        "late": [round(v, 4) for v in cell.accuracy_late],
    }


def _by_place(records: Sequence[Record]) -> dict[tuple[str, Any], list[Record]]:
    """By what the model is, in words, and by the number of tasks."""
    apart = learners(records, "num_tasks").items()
    return {(size, tasks): group for size, own in apart for (tasks,), group in by(own, "num_tasks").items()}


def _gain(group: Sequence[Record], kind: str) -> list[float]:
    """Improvement of each learner on held-out images; on other base datasets, the mean over these."""
    gains = []
    for record in group:
        cells = [c for c in record.measured["cells"] if c["tasks"] == kind and c["images"] == "test"]
        if cells:
            gains.append(float(np.mean([cell["improvement"][0] for cell in cells])))
    return gains


def _improves(record: Record) -> bool:
    """On unseen tasks, held-out images: the whole interval lies above what counts as present."""
    cells = [c for c in record.measured["cells"] if c["tasks"] == "unseen" and c["images"] == "test"]
    return bool(cells) and all(cell["improvement"][1] > PRESENT for cell in cells)


def _mean(gains: list[float]) -> float:
    """Without the minus sign of a zero."""
    return round(float(np.mean(gains)), 2) + 0.0


def _counted(group: Sequence[Record]) -> str:
    counts = Counter(record.measured["verdict"] for record in group).most_common()
    return ", ".join(f"{name} × {count}" if len(group) > 1 else name for name, count in counts)


def _majority(group: Sequence[Record]) -> str:
    """What more than half of the seeds are; else they are mixed."""
    name, count = Counter(record.measured["verdict"] for record in group).most_common(1)[0]
    return name if 2 * count > len(group) else "mixed"


def _changes(phases: dict[Any, str]) -> list[tuple[Any, str]]:
    listed = list(phases.items())
    return [listed[0], *[after for before, after in pairwise(listed) if before[1] != after[1]]]


def _in_order(phases: list[str]) -> Any:
    """All three, never one before an earlier one; what is mixed or undetermined lies between."""
    ranks = [ORDER.index(phase) for phase in phases if phase in ORDER]
    if any(before > after for before, after in pairwise(ranks)):
        return "not reproduced"
    return "reproduced" if set(ranks) == {0, 1, 2} else "open"


STUDY = Study(
    name="transition",
    version=1,
    question="At how many tasks does a model of which size stop memorising and begin to learn?",
    measure=measure,
    tables=tables,
    draw=draw,
    findings=findings,
)
