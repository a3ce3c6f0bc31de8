"""Entries of one track by score, with tie groups.

From the best down, an entry that its group's first significantly beats opens the next group. Each entry but the first
is tested once; but which pairs are tested follows from the data, since the best leads. So their p are corrected by
Bonferroni's factor for all pairs that could have been, n(n - 1)/2: among entries that are alike a second group opens in
one track in twenty at most. Three runs a side leave two degrees of freedom, and on a large board such entries mostly
tie: more runs tell them apart.

`compare` tests by sign flips. Their p is at least 1e-4 unless the difference is extreme, which times 999 is no longer
below 0.05: on a board of 1,000 entries hardly anything would differ. Student's paired t has no such floor, and over a
thousand tasks or more the mean of bounded differences is as good as normal.

Where a side was meta-trained once, the test speaks of these runs only, as the board does by its mark `single run`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from gpicl_bench.evaluation.statistics import ALPHA, LEVEL, two_level
from gpicl_bench.leaderboard.claims import SOUND
from gpicl_bench.leaderboard.entry import Entry
from gpicl_bench.leaderboard.evidence import Evidence

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Contender:
    """An entry with its evidence."""

    entry: Entry
    evidence: Evidence

    @property
    def score(self) -> float:
        """It depends on the entry's own results alone."""
        return self.evidence.score

    @property
    def apart(self) -> str | None:
        """Why it has no rank; None if it has one."""
        marks, verified = self.entry.marks, self.entry.verified
        reasons = {
            "refuted": verified is not None and verified.verdict == "refuted",
            f"audit: {self.entry.claimed.audit}": self.entry.claimed.audit not in SOUND,
            "unreliable": marks is not None and marks.unreliable is not None,
            f"superseded by {marks.superseded_by if marks else ''}": marks is not None and bool(marks.superseded_by),
        }
        return ", ".join(reason for reason, holds in reasons.items() if holds) or None

    @property
    def several(self) -> bool:
        """Whether there are several runs to judge by."""
        return len(self.evidence.scores) > 1

    @property
    def untrained(self) -> bool:
        """Whether nothing was meta-trained: then there is nothing to run again."""
        return self.entry.track == "none"


@dataclass(frozen=True, eq=False)
class Place:
    """Where a contender stands in its track; without rank and group it stands apart."""

    contender: Contender
    rank: int | None
    group: int | None


class Contrast(NamedTuple):
    """A difference of two means, first minus second, with its standard error and degrees of freedom."""

    difference: float
    error: float
    freedom: int

    @property
    def p(self) -> float:
        """Two-sided, by Student's t."""
        from scipy.stats import t

        if self.error == 0:
            return 1.0 if self.difference == 0 else 0.0
        return float(2 * t.sf(abs(self.difference) / self.error, self.freedom))


def places(contenders: Iterable[Contender]) -> tuple[Place, ...]:
    """The entries of one suite and track: the ranked ones by score, then those that stand apart by score.

    Equal scores stand in the order of their names.
    """
    ordered = sorted(contenders, key=lambda contender: (-contender.score, contender.entry.name))
    counted = [contender for contender in ordered if contender.apart is None]
    apart = [contender for contender in ordered if contender.apart is not None]
    groups = tie_groups(counted, contrast)
    ranked = zip(counted, range(1, len(counted) + 1), groups, strict=True)
    return (*(Place(*place) for place in ranked), *(Place(contender, None, None) for contender in apart))


def tie_groups(ordered: Sequence[T], against: Callable[[T, T], Contrast], correction: int = 1) -> list[int]:
    """The group of each, from 1 on.

    Args:
        ordered: the best first.
        against: the contrast of the first with the second.
        correction: by which p is multiplied, beside the number of pairs.
    """
    groups: list[int] = []
    leader, pairs = 0, math.comb(len(ordered), 2)
    for number, item in enumerate(ordered):
        if number:
            found = against(ordered[leader], item)
            beaten = found.difference > 0 and found.p * pairs * correction < ALPHA
            leader = number if beaten else leader
        groups.append((groups[-1] if groups else 1) + (number > 0 and leader == number))
    return groups


def contrast(first: Contender, second: Contender) -> Contrast:
    """Two entries on the tasks that both were asked.

    By `statistics.two_level` where one has several runs and the other has several too or needs none; else by Student's
    paired t over tasks.
    """
    both = (first, second)
    common = min(contender.evidence.num_tasks for contender in both)
    a, b = (contender.evidence.scores[:, :common] for contender in both)
    per_task = a.mean(axis=0) - b.mean(axis=0)
    difference = float(per_task.mean())
    if not any(c.several for c in both) or not all(c.several or c.untrained for c in both):
        error = float(per_task.std(ddof=1)) / math.sqrt(common) if common > 1 else math.inf
        return Contrast(difference, error, max(1, common - 1))
    from scipy.stats import t

    interval, _, _ = two_level(per_task, a.mean(axis=1), b.mean(axis=1))
    freedom = min(len(runs) for runs in (a, b) if len(runs) > 1) - 1
    return Contrast(difference, (interval[1] - interval[0]) / 2 / float(t.ppf((1 + LEVEL) / 2, freedom)), freedom)
