"""Boards: the entries of a suite, and the means of a benchmark, each track ranked by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpicl_bench.builtin import BENCHMARKS
from gpicl_bench.errors import EntryError
from gpicl_bench.leaderboard.entry import TRACKS, Track
from gpicl_bench.leaderboard.evidence import read_evidence
from gpicl_bench.leaderboard.ranking import Contender, Contrast, Place, contrast, places, tie_groups
from gpicl_bench.leaderboard.reading import bundle, entry_paths, read_entry
from gpicl_bench.registration import registry


@dataclass(frozen=True, eq=False)
class SuiteBoard:
    """The entries of a suite by track, in the order of `TRACKS`, and by place."""

    suite: str
    places: tuple[Place, ...]


@dataclass(frozen=True, eq=False)
class Mean:
    """A name in a track of a benchmark.

    Attributes:
        parts: what counts, by suite.
        missing: why it has no score; empty if it has one.
        rank, group: None without a score.
    """

    name: str
    track: Track
    parts: Mapping[str, Contender]
    missing: str
    rank: int | None = None
    group: int | None = None

    @property
    def score(self) -> float | None:
        """The mean over all suites of the benchmark; None if one is missing."""
        return None if self.missing else sum(part.score for part in self.parts.values()) / len(self.parts)

    @property
    def accuracy(self) -> float | None:
        """The mean of the last accuracies; None if a suite is missing."""
        last = [part.entry.claimed.accuracy for part in self.parts.values()]
        return None if self.missing else sum(last) / len(last)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The means of the suites' bounds: right where their errors go together, and else too wide."""
        if self.missing:
            return None
        lows, highs = zip(*(part.entry.claimed.score_interval for part in self.parts.values()), strict=True)
        return sum(lows) / len(lows), sum(highs) / len(highs)


@dataclass(frozen=True, eq=False)
class BenchmarkBoard:
    """The names of a benchmark by track: those with a score by score, then the incomplete ones by name."""

    benchmark: str
    suites: tuple[str, ...]
    means: tuple[Mean, ...]


def read_boards(folder: Path) -> dict[str, SuiteBoard]:
    """The boards of a folder `<suite>/<name>.yaml`, in the registry's order.

    Raises:
        EntryError: there is no such folder; or an entry, or a file of one, cannot be read, was altered, or is of a
            suite without a board.
    """
    if not folder.is_dir():
        raise EntryError("there is no such folder", expected="a folder of entries", got=str(folder), hint="--folder")
    found: dict[str, list[Contender]] = {}
    for path in entry_paths(folder):
        suite = path.parent.name
        if suite not in registry or not registry[suite].of_record:
            raise EntryError("entries of this suite have no board", expected="a suite of record", where=str(path))
        entry = read_entry(path)
        found.setdefault(suite, []).append(Contender(entry, read_evidence(entry, bundle(path))))
    return {suite: suite_board(suite, found[suite]) for suite in registry if suite in found}


def suite_board(suite: str, contenders: Sequence[Contender]) -> SuiteBoard:
    """Each track by itself."""
    tracks = ([c for c in contenders if c.entry.track == track] for track in TRACKS)
    return SuiteBoard(suite, tuple(place for track in tracks for place in places(track)))


def benchmark_boards(boards: Mapping[str, SuiteBoard]) -> dict[str, BenchmarkBoard]:
    """The benchmarks of which a suite has an entry."""
    return {
        id: benchmark_board(id, suites, boards)
        for id, suites in BENCHMARKS.items()
        if any(suite in boards for suite in suites)
    }


def benchmark_board(id: str, suites: tuple[str, ...], boards: Mapping[str, SuiteBoard]) -> BenchmarkBoard:
    """Names that have a ranked entry of one track in every suite get the mean; the others are incomplete.

    Entries are of one learner if they have the same name, track and learner file, byte for byte, and were asked equally
    many tasks. Checkpoints and arguments may differ from suite to suite. Entries that stand apart do not count.
    """
    means: list[Mean] = []
    for track in TRACKS:
        here = {
            suite: {p.contender.entry.name: p.contender for p in boards[suite].places if _counts(p, track)}
            for suite in suites
            if suite in boards
        }
        names = sorted({name for found in here.values() for name in found})
        track_means = [_mean(name, track, suites, here) for name in names]
        complete = sorted((m for m in track_means if not m.missing), key=lambda m: (-(m.score or 0.0), m.name))
        # Of suites whose errors may depend on each other: Bonferroni's factor for them, too.
        groups = tie_groups(complete, _contrast, correction=len(suites))
        means += [
            Mean(m.name, track, m.parts, "", rank, group)
            for rank, (m, group) in enumerate(zip(complete, groups, strict=True), 1)
        ]
        means += [mean for mean in track_means if mean.missing]
    return BenchmarkBoard(id, suites, tuple(means))


def _counts(place: Place, track: Track) -> bool:
    return place.rank is not None and place.contender.entry.track == track


def _mean(name: str, track: Track, suites: Sequence[str], here: Mapping[str, Mapping[str, Contender]]) -> Mean:
    parts = {suite: here[suite][name] for suite in suites if name in here.get(suite, {})}
    entries = [part.entry for part in parts.values()]
    missing = [suite for suite in suites if suite not in parts]
    if missing:
        return Mean(name, track, parts, f"missing: {', '.join(missing)}")
    if len({entry.files[entry.learner.file] for entry in entries}) > 1:
        return Mean(name, track, parts, "its learner file is not the same in all suites")
    if len({entry.claimed.num_tasks for entry in entries}) > 1:
        return Mean(name, track, parts, "it was not asked equally many tasks in all suites")
    return Mean(name, track, parts, "")


def _contrast(first: Mean, second: Mean) -> Contrast:
    """Of means over suites: no dependence between the suites makes the error larger than the mean of theirs."""
    found = [contrast(first.parts[suite], second.parts[suite]) for suite in first.parts]
    count = len(found)
    return Contrast(
        sum(part.difference for part in found) / count,
        sum(part.error for part in found) / count,
        min(part.freedom for part in found),
    )
