"""One picture in three forms: inside a page, and as SVG and PNG files for other places."""

import io
import warnings
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from gpicl_bench.evaluation.comparison import Runs
from gpicl_bench.reporting.curve import curve
from gpicl_bench.reporting.curves import draw, figure
from gpicl_bench.reporting.references import references
from gpicl_bench.reporting.style import INK, Style

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_HREF = f"{{{_XLINK}}}href"
_DPI = 150
_JOINS = "stroke-linejoin: round; stroke-linecap: butt"
for _prefix, _space in (("", _SVG), ("xlink", _XLINK)):
    ElementTree.register_namespace(_prefix, _space)
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        inline: an `svg` element in the colour of the text around it; its ids begin with the picture's own name.
        svg, png: `data:` addresses of files on white.
    """

    inline: str
    svg: str
    png: str


def learning_curves(learners: Sequence[Runs], styles: Sequence[Style], name: str, about: str) -> Picture:
    """The learning curves on one suite.

    Args:
        learners: on this suite.
        styles: of each.
        name: of the picture, which no other picture of the page has.
        about: the picture in a sentence, for those who cannot see it.

    Raises:
        PictureError: matplotlib is not installed.
    """
    grey = references(learners)
    axes = figure(len(learners) + len(grey))  # first: it says what to do where matplotlib is missing
    with _usual_settings():
        axes = figure(len(learners) + len(grey))
        draw(axes, learners[0].results[0].setting.suite, [curve(runs) for runs in learners], grey, styles)
        axes.patch.set_visible(False)
        svg, png = io.BytesIO(), io.BytesIO()
        axes.figure.savefig(svg, format="svg", metadata=_NO_METADATA, transparent=True)
        axes.figure.savefig(png, format="png", metadata={"Software": None}, dpi=_DPI, facecolor="white")
    root = ElementTree.fromstring(svg.getvalue())
    _tidy(root)
    file = ElementTree.tostring(_on_white(root), encoding="utf-8", xml_declaration=True)
    return Picture(_inline(root, name, about), _address("image/svg+xml", file), _address("image/png", png.getvalue()))


@contextmanager
def _usual_settings() -> Iterator[None]:
    """matplotlib as it comes, whatever its user has set; text stays text, and ids follow from the content."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # names may be in any script
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({"svg.hashsalt": "gpicl_bench", "svg.fonttype": "none"})
        yield


def _tidy(root: Any) -> None:
    """Without a style sheet: inside a page it would be one for all of the page."""
    for parent in root.iter():
        for sheet in parent.findall(f"{{{_SVG}}}style"):
            parent.remove(sheet)
    root.set("style", _JOINS)


def _on_white(root: Any) -> Any:
    copy = ElementTree.fromstring(ElementTree.tostring(root))
    copy.insert(0, ElementTree.Element(f"{{{_SVG}}}rect", {"width": "100%", "height": "100%", "fill": "white"}))
    return copy


def _inline(root: Any, name: str, about: str) -> str:
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == _HREF:
                element.set(key, value.replace("#", f"#{name}-"))
            else:
                element.set(key, value.replace("url(#", f"url(#{name}-").replace(INK, "currentColor"))
    for size in ("width", "height"):
        del root.attrib[size]  # of the page's choice
    title = ElementTree.Element(f"{{{_SVG}}}title", {"id": f"{name}-title"})
    title.text = about
    root.insert(0, title)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title")
    return ElementTree.tostring(root, encoding="unicode")


def _address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"
