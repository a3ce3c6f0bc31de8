"""The picture of a run: how its loss falls, and how the learning curve within an episode grows."""

from pathlib import Path

import numpy as np

from baselines.run import read_metrics
from gpicl_bench.errors import GpiclBenchError


class PictureError(GpiclBenchError):
    """A picture cannot be drawn."""


def draw(folder: Path) -> Path:
    """Write `curve.png` into the folder of a run.

    Raises:
        PictureError: there are no metrics, or matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PictureError("no picture: matplotlib is not installed", hint="pip install matplotlib") from error
    rows = read_metrics(folder)
    if not rows:
        raise PictureError("no picture: there are no metrics", where=str(folder))
    steps = [row["step"] for row in rows]
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    losses, accuracies, curves = figure.subplots(1, 3)
    losses.plot(steps, [row["loss"] for row in rows], label="meta-training")
    losses.plot(steps, [row["validation_loss"] for row in rows], "--", label="meta-validation")
    losses.set(xlabel="step", ylabel="cross-entropy, nats", title="Loss")
    last = len(rows[0]["validation_curve"]) - 1
    accuracies.plot(steps, [row["seen_accuracy"] for row in rows], label="meta-training tasks")
    accuracies.plot(steps, [row["validation_accuracy"] for row in rows], "--", label="meta-validation tasks")
    accuracies.set(xlabel="step", ylabel=f"accuracy@{last}", title="During meta-training", ylim=(0, 1))
    for fraction, row in zip(np.linspace(0.15, 0.95, 6), _spread(rows, 6), strict=False):
        curves.plot(row["validation_curve"], color=_shade(fraction), label=f"step {row['step']:,}")
    curves.set(xlabel="labelled examples k", ylabel="accuracy@k", title="Within an episode", ylim=(0, 1))
    for axes in (losses, accuracies, curves):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize="small")
    scratch = folder / ".curve.png"
    figure.savefig(scratch, dpi=150)
    return scratch.replace(folder / "curve.png")


def _spread(rows: list[dict], count: int) -> list[dict]:
    """At most `count` rows, the first and the last among them."""
    return [rows[i] for i in sorted({round(i) for i in np.linspace(0, len(rows) - 1, count)})]


def _shade(fraction: float) -> tuple[float, float, float]:
    """From light to dark blue: also in print without colours."""
    return tuple(float(light + fraction * (dark - light)) for light, dark in ((0.8, 0.0), (0.88, 0.15), (1.0, 0.45)))
