"""Learning curves as pictures: what is drawn, where the names stand, and what is grey."""

import builtins
import io
import sys
import warnings
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baselines.reference import RESULTS
from baselines.references import DRAWN, FILE, references
from baselines.table import read_classical
from gpicl_bench import compare, errors, load_result
from gpicl_bench.evaluation.comparison import Runs
from gpicl_bench.reporting.curves import plot, spread
from gpicl_bench.reporting.references import NAMES
from gpicl_bench.reporting.style import reference_style, style
from tests.synthetic import SUITE, result, trained

GREY = ["chance", "1-NN", "ridge", "nearest centroid"]


def names(axes):
    """From the highest to the lowest."""
    return [text.get_text() for text in sorted(axes.texts, key=lambda text: -text.get_position()[1])]


def lines(axes):
    """The curves themselves: lines in the coordinates of the data."""
    return [line for line in axes.lines if line.get_transform() == axes.transData]


def test_a_result_beside_the_reference_learners():
    found = result("mine", 0.8)
    axes = found.plot()
    assert set(names(axes)) == {"mine", *GREY}
    mine = next(line for line in lines(axes) if line.get_color() == style(0).colour)
    assert mine.get_xydata().tolist() == [[k, found.accuracy[k]] for k in range(100)]
    (band,) = axes.collections
    low, high = found.accuracy_interval.T
    corners = {tuple(corner) for corner in band.get_paths()[0].vertices}
    assert corners >= {(k, bound) for k in range(100) for bound in (low[k], high[k])}
    grey = [line for line in lines(axes) if line.get_color() == reference_style(0).colour]
    assert len(grey) == len(GREY)
    assert "matplotlib.pyplot" not in sys.modules, "no global state"


def test_a_comparison_by_the_order_at_the_end():
    levels = {"good": 0.95, "fair": 0.6, "bad": 0.3}
    axes = compare([result(name, level, num_tasks=200) for name, level in levels.items()]).plot()
    assert [name for name in names(axes) if name in levels] == ["good", "fair", "bad"]
    assert names(axes)[-1] == "chance"


def test_it_draws_into_axes_that_are_given():
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    assert result().plot(axes) is axes
    assert axes.get_title(loc="left") == SUITE
    axes.figure.savefig(io.BytesIO())


@pytest.mark.parametrize(
    ("asked", "grey"),
    [
        ({"suite": "digits-none-perm-v0"}, ["chance"]),  # no reference learner was asked
        ({"suite": "mine-proj-perm-v0"}, ["chance"]),
        ({"images": "train", "task_set": "meta_train"}, ["chance"]),
        ({"num_examples": 20}, GREY),
        ({"num_examples": 200}, GREY),
        ({"asked": [0, 50, 99]}, GREY),
        ({"num_examples": 300, "asked": [150, 299]}, ["chance"]),
        ({"asked": [7]}, GREY),
    ],
)
def test_references_are_drawn_as_far_as_they_fit(asked, grey):
    found = result(**asked)
    axes = found.plot()
    assert sorted(names(axes)) == sorted(["a", *grey])
    fit = set(found.setting.positions)
    for line in lines(axes):
        assert set(line.get_xdata().astype(int)) <= fit
    axes.figure.savefig(io.BytesIO())


def test_a_reference_learner_is_not_drawn_twice():
    assert sorted(names(result("ridge").plot())) == sorted(["ridge", "1-NN", "nearest centroid", "chance"])


def test_bands_of_several_runs():
    runs = [result("net", 0.8, seed=s, card=trained(s)) for s in range(3)]
    two, three = Runs("net", tuple(runs[:2])), Runs("net", tuple(runs))
    for several in (two, three):
        low, high = several.accuracy_interval.T
        assert ((low <= several.accuracy) & (several.accuracy <= high)).all()
        assert several.accuracy == pytest.approx(np.mean([r.accuracy for r in several.results], axis=0))
    assert np.diff(three.accuracy_interval).mean() != pytest.approx(np.diff(two.accuracy_interval).mean())
    assert Runs("net", (runs[0],)).accuracy_interval is runs[0].accuracy_interval


@pytest.mark.parametrize("name", ["$x_{", "a\nb", "\ud800", "x" * 500, "", "<b>&", "名前", "_hidden", "\\alpha"])
def test_any_name_can_be_drawn(name):
    axes = plot([Runs(name, (result("b"),))])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        axes.figure.savefig(io.BytesIO(), format="svg")
    assert len(names(axes)) == 5


def test_twenty_learners_look_different_and_their_names_do_not_touch():
    assert len({style(n) for n in range(56)}) == 56
    axes = compare([result(f"learner {n:02}", 0.8, num_tasks=8) for n in range(20)]).plot()
    axes.figure.savefig(io.BytesIO())
    boxes = sorted((text.get_window_extent() for text in axes.texts), key=lambda box: box.y0)
    assert all(below.y1 <= above.y0 + 1 for below, above in zip(boxes, boxes[1:], strict=False))
    width, height = axes.figure.bbox.size
    assert all(min(box.x0, box.y0) >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0.001, 0.2))
def test_names_are_spread(ends, gap):
    ends = sorted(ends, reverse=True)
    places = spread(ends, gap)
    least = min(gap, 1 / max(1, len(ends) - 1))
    assert all(0 <= place <= 1 for place in places)
    assert all(a - b >= least - 3e-6 for a, b in zip(places, places[1:], strict=False))
    if all(a - b >= gap for a, b in zip(ends, ends[1:], strict=False)):
        assert places == pytest.approx(ends, abs=1e-6)


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    return np.dot(
        [0.2126, 0.7152, 0.0722], [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    )


@pytest.mark.parametrize("paper", ["#ffffff", "#15181c"])
def test_colours_show_on_light_and_on_dark(paper):
    for look in [*map(style, range(8)), reference_style(0)]:
        light, dark = sorted((luminance(look.colour), luminance(paper)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 3


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    usual = builtins.__import__

    def missing(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(errors.PictureError, match=r"(?s)matplotlib.*pip install 'gpicl-bench\[plot\]'"):
        result().plot()


def test_the_package_carries_the_current_reference_curves():
    carried = files("gpicl_bench") / "reporting" / FILE.name
    assert references(read_classical(RESULTS / "classical")) == carried.read_text(), "run `python -m baselines table`"
    assert set(DRAWN) == set(NAMES)


def test_reference_curves_are_those_of_the_results():
    axes = result("mine").plot()
    committed = load_result(RESULTS / "classical" / "ridge" / f"{SUITE}.json")
    assert any(np.array_equal(line.get_ydata(), committed.accuracy) for line in lines(axes))


def test_reference_learners_must_have_been_asked_alike():
    some, others = result("ridge"), result("nearest_neighbour", num_tasks=32)
    with pytest.raises(errors.ResultError, match="other tasks"):
        references({SUITE: {"ridge": some, "nearest_neighbour": others}})
    with pytest.raises(errors.ResultError, match="not at every position"):
        references({SUITE: {"ridge": result("ridge", asked=[1])}})
