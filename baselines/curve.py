"""Pictures: what a run did, and learning curves side by side."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from baselines.run import Row, read_metrics
from gpicl_bench import Result
from gpicl_bench.errors import GpiclBenchError

_COLOURS = [f"C{n}" for n in range(10) if n != 7]  # C7 is grey
_DASHES = ("--", ":", "-.", (0, (1, 3)), (0, (5, 4)), (0, (8, 2, 1, 2)))


class PictureError(GpiclBenchError):
    """A picture cannot be drawn."""


def draw(folder: Path) -> Path:
    """How the loss of a run fell, and how its learning curve within an episode grew: `curve.png` in its folder.

    Raises:
        PictureError: there are no metrics, or matplotlib is not installed.
    """
    rows = read_metrics(folder)
    if not rows:
        raise PictureError("no picture: there are no metrics", where=str(folder))
    steps, last = [row["step"] for row in rows], len(rows[0]["validation_curve"]) - 1
    figure, panels = _figure(3)
    losses, accuracies, curves = panels
    losses.plot(steps, [row["loss"] for row in rows], label="meta-training tasks")
    losses.plot(steps, [row["validation_loss"] for row in rows], "--", label="meta-validation tasks")
    losses.set(xlabel="step", ylabel="cross-entropy, nats", title="Loss")
    accuracies.plot(steps, [row["seen_accuracy"] for row in rows], label="meta-training tasks")
    accuracies.plot(steps, [row["validation_accuracy"] for row in rows], "--", label="meta-validation tasks")
    accuracies.set(xlabel="step", ylabel=f"accuracy@{last}", title="During meta-training", ylim=(0, 1))
    shown = _spread(rows, 6)
    for fraction, row in zip(np.linspace(0.1, 1, len(shown)), shown, strict=True):
        curves.plot(row["validation_curve"], color=_shade(float(fraction)), label=f"step {row['step']:,}")
    curves.set(xlabel="labelled examples k", ylabel="accuracy@k", title="Within an episode", ylim=(0, 1))
    return _save(figure, panels, folder / "curve.png")


def draw_learning_curves(results: Mapping[str, Sequence[Result]], file: Path) -> Path:
    """accuracy@k of learners on one suite: the mean over their runs, the range of the runs as a band.

    Named from the highest at the end to the lowest. Learners that were not meta-trained are grey.
    """
    figure, panels = _figure(1)
    axes, dashes, colours = panels[0], iter(_DASHES), cycle(_COLOURS)
    for name, runs in sorted(results.items(), key=lambda item: -_last(item[1])):
        curves, k = np.stack([run.accuracy for run in runs]), runs[0].setting.positions
        untrained = runs[0].learner.card.get("meta_training") == "none"
        style = {"color": "0.55", "linestyle": next(dashes)} if untrained else {"color": next(colours)}
        (line,) = axes.plot(k, curves.mean(axis=0), label=name, **style)
        axes.fill_between(k, curves.min(axis=0), curves.max(axis=0), color=line.get_color(), alpha=0.2, linewidth=0)
        axes.set(xlabel="labelled examples k", ylabel="accuracy@k", title=runs[0].setting.suite, ylim=(0, 1))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", frameon=False, fontsize="small")
    return _write(figure, file)


def _last(runs: Sequence[Result]) -> float:
    return float(np.mean([run.accuracy[-1] for run in runs]))


def _figure(panels: int) -> tuple[Any, Any]:
    """A figure that needs no display, and its axes."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PictureError("no picture: matplotlib is not installed", hint="pip install matplotlib") from error
    figure = Figure(figsize=(11, 3.4) if panels > 1 else (9, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, panels, squeeze=False)[0]


def _save(figure: Any, panels: Any, file: Path) -> Path:
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize="small")
    return _write(figure, file)


def _write(figure: Any, file: Path) -> Path:
    scratch = file.with_name(f".{file.name}")
    figure.savefig(scratch, dpi=150, format="png", metadata={"Software": None})
    return scratch.replace(file)


def _spread(rows: list[Row], count: int) -> list[Row]:
    """At most `count` rows, the first and the last among them."""
    return [rows[i] for i in sorted({round(i) for i in np.linspace(0, len(rows) - 1, count)})]


def _shade(fraction: float) -> tuple[float, float, float]:
    """From light to dark blue: also in print without colours."""
    return tuple(light + fraction * (dark - light) for light, dark in ((0.8, 0.0), (0.88, 0.15), (1.0, 0.45)))  # type: ignore[return-value]
