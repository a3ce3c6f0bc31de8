"""Ranks, tie groups and means of benchmarks, against what NumPy and SciPy give for the same scores."""

import json
import math
import random

import numpy as np
import pytest
import scipy.stats

from gpicl_bench.errors import EntryError
from gpicl_bench.evaluation.statistics import two_level, wilson
from gpicl_bench.leaderboard.boards import SuiteBoard, benchmark_board, read_boards, suite_board
from gpicl_bench.leaderboard.entry import Marks
from gpicl_bench.leaderboard.evidence import Evidence, read_evidence
from gpicl_bench.leaderboard.ranking import Contender, contrast, places
from gpicl_bench.leaderboard.reading import bundle, read_entry, write_entry
from tests.synthetic import SUITE
from tests.synthetic_board import write

SUITES = ("a-proj-perm-v0", "b-proj-perm-v0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranking") / "leaderboards"
    write(folder, "one", 0.8, num_tasks=64)
    write(folder, "three", 0.6, "open", 3, num_tasks=64, spread=0.01)
    write(folder, "refuted", 0.9, num_tasks=64, verified={"verdict": "refuted"})
    return folder


@pytest.fixture(scope="module")
def template(folder):
    return read_entry(folder / SUITE / "three.yaml")


@pytest.fixture
def contender(template):
    """A contender with these scores `[run, task]`."""

    def make(name, scores, track="open", **fields):
        scores = np.atleast_2d(np.asarray(scores, np.float64))
        entry = template.model_copy(
            update={"name": name, "track": track, "runs": template.runs[:1] * len(scores), **fields}
        )
        return Contender(entry, Evidence(10, np.zeros((len(scores), 100), np.int64), scores, ()))

    return make


def field(count, tasks=200, step=0.004, seed=0):
    """Scores of one run each, from good to bad, of tasks that are hard or easy for all."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(0, 0.1, tasks)
    return {f"n{n:03}": 0.9 - step * n + hard + rng.normal(0, 0.05, tasks) for n in range(count)}


def expected_groups(ordered):
    """By SciPy's paired t test, each against its group's first."""
    groups, first = [1], ordered[0]
    for scores in ordered[1:]:
        if (
            scipy.stats.ttest_rel(first, scores).pvalue < 0.05 / math.comb(len(ordered), 2)
            and first.mean() > scores.mean()
        ):
            first = scores
            groups.append(groups[-1] + 1)
        else:
            groups.append(groups[-1])
    return groups


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_those_of_the_paired_t_test(contender, seed):
    scores = field(30, seed=seed)
    found = places([contender(name, values) for name, values in scores.items()])
    ordered = sorted(scores.values(), key=lambda values: -values.mean())
    assert [place.group for place in found] == expected_groups(ordered)
    assert 1 < found[-1].group < 30
    assert [place.rank for place in found] == [*range(1, 31)]
    assert [place.contender.score for place in found] == pytest.approx([values.mean() for values in ordered])


def test_the_order_of_the_entries_is_no_matter_and_equal_scores_stand_by_name(contender):
    scores = [*field(12).items(), ("b", np.full(200, 0.5)), ("a", np.full(200, 0.5))]
    found = [
        [(p.contender.entry.name, p.rank, p.group) for p in places([contender(*pair) for pair in order])]
        for order in (scores, scores[::-1], random.Random(0).sample(scores, len(scores)))
    ]
    assert found[0] == found[1] == found[2]
    assert [name for name, _, _ in found[0] if name in "ab"] == ["a", "b"]


def test_several_runs_are_tested_over_runs_and_tasks(contender):
    rng = np.random.default_rng(1)
    hard = rng.normal(0, 0.1, 300)
    a, b = (
        level + shift[:, None] + hard + rng.normal(0, 0.05, (3, 300))
        for level, shift in ((0.7, np.array([-0.02, 0, 0.02])), (0.6, np.array([-0.01, 0, 0.01])))
    )
    per_task = a.mean(axis=0) - b.mean(axis=0)
    error = math.sqrt(a.mean(axis=1).var(ddof=1) / 3 + b.mean(axis=1).var(ddof=1) / 3 + per_task.var(ddof=1) / 300)
    p = 2 * scipy.stats.t.sf(per_task.mean() / error, 2)
    found = contrast(contender("a", a), contender("b", b))
    assert found.error == pytest.approx(error)
    assert found.p == pytest.approx(p) == pytest.approx(two_level(per_task, a.mean(axis=1), b.mean(axis=1))[1])
    # A learner that needs no other run has no variance between runs.
    untrained = contrast(contender("a", a), contender("b", b[:1], track="none"))
    per_task = a.mean(axis=0) - b[0]
    assert untrained.error == pytest.approx(math.sqrt(a.mean(axis=1).var(ddof=1) / 3 + per_task.var(ddof=1) / 300))
    assert untrained.freedom == 2
    # One that was trained once can be compared over tasks only.
    single = contrast(contender("a", a), contender("b", b[:1]))
    assert single.p == pytest.approx(scipy.stats.ttest_rel(a.mean(axis=0), b[0]).pvalue)


def test_entries_with_more_tasks_are_compared_on_the_common_ones(contender):
    a, b = field(2, tasks=400).values()
    found = contrast(contender("a", a), contender("b", b[:100]))
    assert found.p == pytest.approx(scipy.stats.ttest_rel(a[:100], b[:100]).pvalue)


def test_how_often_equal_entries_are_told_apart(contender):
    """Of two entries on one board of 20; of 20 that are alike on no more, though the best leads."""
    rng, opened = np.random.default_rng(3), {2: 0, 20: 0}
    for _ in range(200):
        scores = 0.5 + rng.normal(0, 0.1, 100) + rng.normal(0, 0.05, (20, 100))
        for count in opened:
            found = places([contender(f"n{n}", values) for n, values in enumerate(scores[:count])])
            opened[count] += found[-1].group > 1
    assert scipy.stats.binomtest(opened[2], 200, 0.05).pvalue > 0.001
    assert scipy.stats.binomtest(opened[20], 200, 0.05, "greater").pvalue > 0.001


def test_a_thousand_entries_can_be_told_apart(contender):
    found = places([contender(name, values) for name, values in field(1000, step=0.0005).items()])
    assert found[-1].group > 10


def test_what_is_refuted_or_marked_stands_apart_and_leads_nobody(contender, folder, template):
    verified = read_entry(folder / SUITE / "refuted.yaml").verified
    digests = {"entry": template.digest, "digest": "0" * 64}
    marks = {
        "unreliable": Marks(unreliable="why", superseded_by=None, **digests),
        "old": Marks(unreliable=None, superseded_by="n000", **digests),
    }
    scores = field(8)
    others = [contender(name, values) for name, values in scores.items()]
    best = np.full(200, 0.99)
    bad = [
        contender("refuted", best, verified=verified),
        contender("leaky", best, claimed=template.claimed.model_copy(update={"audit": "failed"})),
        *(contender(name, best, marks=mark) for name, mark in marks.items()),
    ]
    found, without = places([*bad, *others]), places(others)
    assert [(p.contender.entry.name, p.rank, p.group) for p in found[:8]] == [
        (p.contender.entry.name, p.rank, p.group) for p in without
    ]
    assert {p.contender.entry.name: p.contender.apart for p in found[8:]} == {
        "refuted": "refuted",
        "unreliable": "unreliable",
        "old": "superseded by n000",
        "leaky": "audit: failed",
    }
    assert {(p.rank, p.group) for p in found[8:]} == {(None, None)}


def test_another_entry_changes_no_score(contender):
    scores = field(10)
    before = {p.contender.entry.name: p.contender.score for p in places([contender(*pair) for pair in scores.items()])}
    after = {
        p.contender.entry.name: p.contender.score
        for p in places([contender(*pair) for pair in [*scores.items(), ("new", np.full(200, 0.85))]])
    }
    assert after.pop("new") == pytest.approx(0.85)
    assert after == before


def test_tracks_are_ranked_apart(contender):
    scores = [*field(8).items()]
    board = suite_board(
        SUITE, [contender(name, values, track="open" if n % 2 else "mnist") for n, (name, values) in enumerate(scores)]
    )
    tracks = [p.contender.entry.track for p in board.places]
    assert tracks == ["mnist"] * 4 + ["open"] * 4
    assert [p.rank for p in board.places] == [1, 2, 3, 4] * 2


def mean_board(*parts):
    """The board of a benchmark of two suites."""
    boards = {
        suite: SuiteBoard(suite, suite_board(suite, here).places) for suite, here in zip(SUITES, parts, strict=True)
    }
    return benchmark_board("both-v0", SUITES, boards)


def test_a_mean_is_given_only_where_all_suites_are_there(contender):
    ours, theirs = field(2).values()
    both = [contender("ours", ours), contender("theirs", theirs)]
    board = mean_board(both, [contender("ours", ours - 0.2)])
    assert [(m.name, m.rank) for m in board.means] == [("ours", 1), ("theirs", None)]
    assert board.means[0].score == pytest.approx((ours.mean() + (ours - 0.2).mean()) / 2)
    assert (board.means[1].score, board.means[1].interval) == (None, None)
    assert board.means[1].missing == "missing: b-proj-perm-v0"


def test_a_mean_is_of_one_learner_of_one_track_asked_as_much(contender, template):
    (ours,) = field(1).values()
    first = [contender("ours", ours)]
    other_file = {**template.files, "learner.py": "0" * 64}
    fewer = template.claimed.model_copy(update={"num_tasks": 32})
    assert "learner file" in mean_board(first, [contender("ours", ours, files=other_file)]).means[0].missing
    assert "equally many tasks" in mean_board(first, [contender("ours", ours, claimed=fewer)]).means[0].missing
    assert [m.missing for m in mean_board(first, [contender("ours", ours, track="mnist")]).means] == [
        "missing: a-proj-perm-v0",
        "missing: b-proj-perm-v0",
    ]
    marks = Marks(unreliable="why", superseded_by=None, entry=template.digest, digest="0" * 64)
    assert mean_board(first, [contender("ours", ours, marks=marks)]).means[0].missing == "missing: b-proj-perm-v0"


def test_groups_of_means_allow_for_suites_that_depend_on_each_other(contender):
    scores = field(6, step=0.01)
    board = mean_board(*([contender(name, values) for name, values in scores.items()] for _ in SUITES))
    groups, first = [1], "n000"
    for name in [*scores][1:]:
        difference = scores[first] - scores[name]
        p = 2 * scipy.stats.t.sf(difference.mean() / (difference.std(ddof=1) / math.sqrt(200)), 199)
        opens = p * 15 * 2 < 0.05  # 15 pairs of six entries, two suites
        groups.append(groups[-1] + opens)
        first = name if opens else first
    assert [mean.group for mean in board.means] == groups
    assert groups[-1] > 1


def test_evidence_is_that_of_the_files(folder):
    for name in ("one", "three"):
        path = folder / SUITE / f"{name}.yaml"
        entry = read_entry(path)
        found = read_evidence(entry, bundle(path))
        assert found.score == pytest.approx(entry.claimed.score)
        assert found.accuracy[99] == pytest.approx(entry.claimed.accuracy)
        assert found.band[99] == pytest.approx(entry.claimed.accuracy_interval)
        summary = json.loads((bundle(path) / "diagnosis0.json").read_text())["summary"]
        assert found.reasons[0] == (summary["verdict"], summary["reason"])
    two = Evidence(10, found.right[:2], found.scores[:2], ())
    assert two.band[5] == pytest.approx(wilson(np.array(round(found.right[:2, 5].mean())), 64))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda place: (place / "result0.json").unlink(), ["cannot be read", "result0.json"]),
        (lambda place: (place / "diagnosis0.json").unlink(), ["cannot be read", "diagnosis0.json"]),
        (
            lambda place: (place / "result0.json").write_bytes((place / "result0.json").read_bytes() + b" "),
            ["altered", "result0.json"],
        ),
        (lambda place: (place / "diagnosis0.json").write_text("{}"), ["altered", "diagnosis0.json"]),
    ],
)
def test_a_file_that_is_missing_or_altered_is_named(damage, says, tmp_path):
    path = write(tmp_path / "leaderboards", "one", num_tasks=16)
    damage(bundle(path))
    with pytest.raises(EntryError) as caught:
        read_boards(tmp_path / "leaderboards")
    assert all(part in str(caught.value) for part in [*says, f"{SUITE}/one"])


@pytest.mark.parametrize(("claim", "value"), [("score", 0.99), ("accuracy", 0.99), ("last", 98), ("num_tasks", 17)])
def test_a_claim_that_the_results_do_not_support_is_refused(claim, value, tmp_path):
    write(tmp_path / "leaderboards", "one", num_tasks=16, claims={claim: value})
    with pytest.raises(EntryError) as caught:
        read_boards(tmp_path / "leaderboards")
    assert f"entry {SUITE}/one" in str(caught.value)
    assert claim in str(caught.value)


def test_results_of_another_suite_are_refused(tmp_path, folder):
    entry = read_entry(folder / SUITE / "one.yaml")
    with pytest.raises(EntryError, match="another suite"):
        read_evidence(entry.model_copy(update={"suite": "digits-none-perm-v0"}), folder / SUITE / "one")


def test_a_suite_that_is_not_of_record_has_no_board(tmp_path, folder):
    entry = read_entry(folder / SUITE / "one.yaml")
    (tmp_path / "mine-proj-perm-v0").mkdir()
    write_entry(entry, tmp_path / "mine-proj-perm-v0" / "one.yaml")
    with pytest.raises(EntryError, match="no board"):
        read_boards(tmp_path)
