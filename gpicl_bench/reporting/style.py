"""How a learner looks: a colour for screens, light and dark; a dash and a mark for print without colours."""

from dataclasses import dataclass

INK = "#010203"  # text and axes: near black, and a colour that nothing else has
GREY = "#808080"  # of reference learners
# Each has a contrast of 3:1 or more with white and with #15181c (WCAG 2.2, 1.4.11).
_COLOURS = ("#2a78d2", "#d06a00", "#1a8f5c", "#c4479a", "#8a63d2", "#d3453d", "#14859c", "#8f7a1e")
_DASHES = ("", "7 2.5", "1.2 1.8", "6 2 1.2 2", "11 3", "3.5 2", "8 2 1.2 2 1.2 2")
_MARKS = ("", "o", "s", "^", "D", "v", "P")
_PATHS = {
    "o": "M14 5a3 3 0 1 0 6 0a3 3 0 1 0-6 0",
    "s": "M14.3 2.3h5.4v5.4h-5.4z",
    "^": "M17 1.6l3.4 6.4h-6.8z",
    "D": "M17 1.4l3.6 3.6l-3.6 3.6l-3.6-3.6z",
    "v": "M17 8.4l3.4-6.4h-6.8z",
    "P": "M15.8 2h2.4v1.8h1.8v2.4h-1.8v1.8h-2.4v-1.8h-1.8v-2.4h1.8z",
}
_GREY_DASHES = ("5 2", "1.2 1.8", "8 2 1.2 2", "1.2 4")


@dataclass(frozen=True)
class Style:
    """A line: its colour, its dashes in multiples of its width (as SVG writes them; empty: solid), its mark."""

    colour: str
    dashes: str
    mark: str = ""

    @property
    def line(self) -> str | tuple[int, list[float]]:
        """The dashes, as matplotlib takes them."""
        return (0, [float(length) for length in self.dashes.split()]) if self.dashes else "-"

    @property
    def svg_dashes(self) -> str:
        """The dashes of a line that is two units wide."""
        return " ".join(f"{2 * float(length):g}" for length in self.dashes.split())

    @property
    def svg_mark(self) -> str:
        """The mark as a path around (17, 5)."""
        return _PATHS.get(self.mark, "")


def style(number: int) -> Style:
    """Of the learner with this number, from 0 on. No two of the first 56 look the same."""
    colour, dashes = _COLOURS[number % len(_COLOURS)], _DASHES[number % len(_DASHES)]
    return Style(colour, dashes, _MARKS[number // len(_COLOURS) % len(_MARKS)])


def reference_style(number: int) -> Style:
    """Of a reference learner."""
    return Style(GREY, _GREY_DASHES[number % len(_GREY_DASHES)])
