"""Pictures: what a run did, and learning curves side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from baselines.references import DRAWN
from baselines.run import Row, read_metrics
from gpicl_bench import Result, compare
from gpicl_bench.errors import PictureError


def draw(folder: Path) -> Path:
    """How the loss of a run fell, and how its learning curve within an episode grew: `curve.png` in its folder.

    Raises:
        PictureError: there are no metrics, or matplotlib is not installed.
    """
    rows = read_metrics(folder)
    if not rows:
        raise PictureError("no picture: there are no metrics", where=str(folder))
    steps, last = [row["step"] for row in rows], len(rows[0]["validation_curve"]) - 1
    figure = new_figure(11.0, 3.4)
    panels = figure.subplots(1, 3)
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
    """accuracy@k of learners on one suite, with 95% bands; the reference learners that the package carries in grey."""
    coloured = {name: runs for name, runs in results.items() if name not in (*DRAWN, "chance")}
    return _write(compare(coloured or results).plot().figure, file)


def new_figure(width: float, height: float) -> Any:
    """A figure that needs no display; its size in inches.

    Raises:
        PictureError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        what, hint = "no picture: matplotlib is not installed", "pip install 'gpicl-bench[plot]'"
        raise PictureError(what, hint=hint) from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


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
