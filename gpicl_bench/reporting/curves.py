"""Learning curves side by side: accuracy@k over k, with 95% bands, and the names beside the ends of the lines."""

from collections.abc import Iterable, Sequence
from typing import Any

from gpicl_bench.errors import PictureError
from gpicl_bench.evaluation.comparison import Runs
from gpicl_bench.reporting.curve import Curve, curve
from gpicl_bench.reporting.references import references
from gpicl_bench.reporting.style import INK, Style, reference_style, style
from gpicl_bench.reporting.text import plain, shortened

_WIDTH, _HEIGHT, _LINE = 9.0, 4.5, 0.17  # inches: of the picture, and of a line of names
_FONT = 8.5  # points
_FEW = 8  # learners whose bands may be strong
_LONGEST = 38  # characters of a name


def plot(learners: Sequence[Runs], ax: Any = None) -> Any:
    """Learners on one split, beside the reference learners of its suite.

    Args:
        learners: in the order of their colours.
        ax: matplotlib's Axes to draw into; None: those of a new Figure.

    Raises:
        PictureError: matplotlib is not installed.
    """
    setting = learners[0].results[0].setting
    return draw(ax, setting.suite, [curve(runs) for runs in learners], references(learners))


def figure(lines: int) -> Any:
    """The axes of a new picture that needs no display, high enough for so many names.

    Raises:
        PictureError: matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        what = "pictures need matplotlib, which is not installed"
        raise PictureError(what, hint="pip install 'gpicl-bench[plot]'") from error
    made = Figure(figsize=(_WIDTH, max(_HEIGHT, _LINE * (lines + 1) + 1)), layout="constrained")
    FigureCanvasAgg(made)
    return made.subplots()


def draw(
    axes: Any, title: str, learners: Sequence[Curve], grey: Iterable[Curve], styles: Sequence[Style] | None = None
) -> Any:
    """Draw learning curves into `axes`, and give it back.

    Args:
        axes: of matplotlib; None: a new picture.
        title: above it.
        learners: in the order of their colours.
        grey: of reference learners.
        styles: of the learners; None: in the usual order.
    """
    chosen = [style(n) for n in range(len(learners))] if styles is None else styles
    lines = [*zip(learners, chosen, strict=True), *((c, reference_style(n)) for n, c in enumerate(grey))]
    axes = figure(len(lines)) if axes is None else axes
    first, last = min(c.positions[0] for c, _ in lines), max(c.positions[-1] for c, _ in lines)
    axes.set(xlim=(first, max(last, first + 1)), ylim=(0, 1.01), xlabel="labelled examples k", ylabel="accuracy@k")
    axes.set_title(title, loc="left", fontsize=10, color=INK, parse_math=False)
    for line, look in reversed(lines):  # the first learner on top
        _draw_line(axes, line, look, 0.18 if len(learners) <= _FEW else 0.1)
    _write_names(axes, lines)
    axes.grid(color=INK, alpha=0.12, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["bottom", "left"]].set_color(INK)
    axes.tick_params(colors=INK, labelsize=_FONT)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=INK, fontsize=9)
    return axes


def _draw_line(axes: Any, line: Curve, look: Style, band: float) -> None:
    width = 1.0 if line.interval is None else 1.7
    axes.plot(
        line.positions,
        line.accuracy,
        color=look.colour,
        linewidth=width,
        linestyle=look.line,
        marker="o" if len(line.positions) == 1 else look.mark or None,
        markersize=4,
        markevery=max(1, len(line.positions) // 10),
        clip_on=False,
    )
    if line.interval is not None:
        low, high = line.interval.T
        axes.fill_between(line.positions, low, high, color=look.colour, alpha=band, linewidth=0)


def _write_names(axes: Any, lines: Sequence[tuple[Curve, Style]]) -> None:
    """The name of each line to the right of its end, as near as the other names let it be."""
    left, right = axes.get_xlim()
    height = 0.85 * axes.figure.get_figheight() * axes.get_position().height / 0.77  # of the axes, in inches
    ordered = sorted(lines, key=lambda line: -line[0].accuracy[-1])
    ends = [float(line.accuracy[-1]) / axes.get_ylim()[1] for line, _ in ordered]
    for (line, look), end, place in zip(ordered, ends, spread(ends, _LINE / height), strict=True):
        x = (line.positions[-1] - left) / (right - left)
        common = {"color": look.colour, "transform": axes.transAxes, "clip_on": False}
        axes.plot([x, 1.025], [end, place], linewidth=0.6, alpha=0.6, **common)
        axes.plot(
            [1.025, 1.055, 1.085],
            [place] * 3,
            linewidth=1.0 if line.interval is None else 1.7,
            linestyle=look.line,
            marker=look.mark or None,
            markersize=4,
            markevery=[1],
            **common,
        )
        axes.text(
            1.095,
            place,
            shortened(plain(line.name), _LONGEST),
            fontsize=_FONT,
            color=INK,
            va="center_baseline",
            transform=axes.transAxes,
            parse_math=False,
        )


def spread(ends: Sequence[float], gap: float) -> list[float]:
    """Places on 0 … 1 for names, `gap` apart and as near to the ends of their lines as that allows, in least squares.

    Args:
        ends: descending.
        gap: between two places; it shrinks where there is no room.

    >>> spread([0.5, 0.5, 0.1], 0.1)
    [0.55, 0.45, 0.1]
    """
    count = len(ends)
    gap = min(gap, 1 / max(1, count - 1))
    blocks: list[
        list[float]
    ] = []  # of neighbours that touch: sum and number of ends, each raised by the gaps before it
    for number, end in enumerate(ends):
        blocks.append([end + number * gap, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] < blocks[-1][0] / blocks[-1][1]:
            total, size = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += size
    raised = [total / size for total, size in blocks for _ in range(round(size))]
    places = [value - number * gap for number, value in enumerate(raised)]
    return [round(max(min(place, 1 - n * gap), (count - 1 - n) * gap), 6) for n, place in enumerate(places)]
