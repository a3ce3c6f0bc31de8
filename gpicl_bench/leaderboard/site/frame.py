"""Where values stand in a picture, for the pages as they are made and for their program alike."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

WIDTH, HEIGHT = 560, 330
LEFT, RIGHT, TOP, BOTTOM = 50, 20, 14, 46  # margins


@dataclass(frozen=True)
class Frame:
    """The axes of a picture.

    Attributes:
        x, y: the least and the largest value; of a logarithmic axis, their decimal logarithms.
        logarithmic: whether the horizontal axis is.
        across, up: titles.
    """

    x: tuple[float, float]
    y: tuple[float, float]
    across: str
    up: str
    logarithmic: bool = False

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The place of a pair of values, rounded to a tenth."""
        x = math.log10(x) if self.logarithmic else x
        right = LEFT + (WIDTH - LEFT - RIGHT) * (x - self.x[0]) / (self.x[1] - self.x[0])
        down = TOP + (HEIGHT - TOP - BOTTOM) * (self.y[1] - y) / (self.y[1] - self.y[0])
        return round(right, 1), round(down, 1)

    @property
    def x_ticks(self) -> list[tuple[float, str]]:
        """Places and labels."""
        low, high = self.x
        if self.logarithmic:
            step = max(1, math.ceil((high - low) / 7))
            powers = range(round(low), round(high) + 1, step)
            return [(self.at(10.0**power, 0)[0], _power(power)) for power in powers]
        step = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**6) if (high - low) / s <= 6)
        return [(self.at(k, 0)[0], f"{k:g}") for k in np.arange(math.ceil(low / step) * step, high + 1e-9, step)]

    @property
    def y_ticks(self) -> list[tuple[float, str]]:
        """Places and labels."""
        values = [n / 5 for n in range(math.ceil(self.y[0] * 5 - 1e-9), math.floor(self.y[1] * 5 + 1e-9) + 1)]
        return [(self.at(1, value)[1], f"{value:.1f}".replace("-", "−")) for value in values]

    def path(self, curve: Sequence[float] | Float64[np.ndarray, " position"]) -> str:
        """A line through the values at 0, 1, …, as SVG writes it."""
        return "M" + "L".join("{:g} {:g}".format(*self.at(k, value)) for k, value in enumerate(curve))

    def area(self, band: Float64[np.ndarray, "position 2"]) -> str:
        """A band, as SVG writes it."""
        low, high = band.T
        back = [self.at(k, low[k]) for k in range(len(low) - 1, -1, -1)]
        return self.path(high) + "".join(f"L{x:g} {y:g}" for x, y in back) + "Z"


def curves_frame(last: int) -> Frame:
    """Of accuracy@k, k = 0 … last."""
    return Frame((0, last), (0, 1), "labelled examples k", "accuracy@k")


def points_frame(xs: Iterable[float], ys: Iterable[float], across: str) -> Frame | None:
    """Of scores against something positive; None where there is nothing to show."""
    known = [math.log10(x) for x in xs]
    if not known:
        return None
    low, high = math.floor(min(known)), math.ceil(max(known))
    bottom = min(0.0, math.floor(min(ys) * 5) / 5)
    return Frame((low, max(high, low + 1)), (bottom, 1), across, "score", logarithmic=True)


def _power(power: int) -> str:
    names = {0: "1", 1: "10", 2: "100", 3: "1k", 4: "10k", 5: "100k", 6: "1M", 7: "10M", 8: "100M", 9: "1G"}
    return names.get(power, f"1e{power}")
