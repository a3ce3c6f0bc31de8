"""Figures of studies: without a display, the same bytes for the same cells, as PNG and as SVG."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from baselines.curve import new_figure

PHASES = {
    "instance memorisation": "#f2b8a0",
    "task identification": "#f5dd90",
    "general learning": "#9fcfa0",
    "no learning": "#d9d9d9",
    "undetermined": "#ffffff",
}


def blend(colours: Sequence[str]) -> np.ndarray:
    """The mean of colours, as red, green and blue from 0 to 1."""
    parts = [[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in colours]
    return np.mean(parts, axis=0)


def write_figure(draw: Callable[[Any], None], folder: Path) -> list[Path]:
    """`figure.png` and `figure.svg`.

    Raises:
        PictureError: matplotlib is not installed.
    """
    figure = new_figure(11.0, 4.0)
    import matplotlib as mpl  # is there: else there were no figure

    with mpl.rc_context({"svg.hashsalt": "gpicl-bench", "svg.fonttype": "path"}):
        draw(figure)
        written = []
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
            file = folder / f"figure.{kind}"
            scratch = file.with_name(f".{file.name}")
            figure.savefig(scratch, dpi=130, format=kind, metadata=metadata)
            written.append(scratch.replace(file))
    return written
