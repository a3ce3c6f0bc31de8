"""The schema of a hidden round: `leaderboards/rounds/<name>.yaml`, to which each phase appends its part.

What it is for: a score on tasks that did not exist when the learner was frozen. Against whom:

- Entrants cannot know the tasks: the seed needs the organisers' secret, and a public value that is not known yet.
- Organisers cannot choose the seed after they have seen the entries: they committed to their secret before the first.
- Organisers cannot know the seed before the entries are closed: the public value, named in advance, comes later.
- Nobody can add, drop or exchange an entry afterwards: the seed is a hash of the list of digests too, and the list is
  published before the public value is known.
- Organisers see entries as they come in, so their own close first.

What remains trusted: the time stamps, which a clock wrote. Publish the file in a public repository after every phase:
its commits are the evidence. Organisers who dislike a seed can still break a round off, in sight of everybody. A
learner runs with the rights of whoever scores, and a round's seed is public by then: that no entry looks for it, or for
the files of others, has to be read from its code, which is frozen and published with it.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, FiniteFloat

from gpicl_bench.errors import RoundError
from gpicl_bench.leaderboard.entry import (
    Interval,
    Line,
    Name,
    Sha256,
    Strict,
    Text,
    entry_digest,
    field_digests,
    parsed,
)

FORMAT = "gpicl-bench-round/1"
MOST = 300  # entries: with as many reasons of failure, however they are escaped, the file can still be read
LONGEST_REASON = 200  # characters
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def _real_time(text: str) -> str:
    """Times of this one form are ordered as their texts are."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text, re.ASCII):
        raise ValueError("a time in UTC, such as 2026-09-30T12:00:00Z")
    datetime.strptime(text, _TIME)
    return text


def _bare(text: str) -> str:
    if text != text.strip():
        raise ValueError("text without blanks around it: they would change the seed")
    return text


Time = Annotated[str, AfterValidator(_real_time), Field(description="UTC, to the second")]
Value = Annotated[Line, AfterValidator(_bare)]
Verdict = Literal["scored", "audit failed", "failed", "altered", "withdrawn"]


class Commitment(Strict):
    """What binds the organisers: hashes of the 64 bytes secret ‖ nonce, and of the nonce alone."""

    sha256: Sha256
    nonce_sha256: Sha256


class Public(Strict):
    """The public value: its name, in advance, and the time before which nobody can know it."""

    what: Line
    known: Time


class Entered(Strict):
    """A frozen entry."""

    digest: Sha256
    suite: Annotated[str, Field(max_length=100)]
    name: Name
    organiser: bool
    time: Time


class Closed(Strict):
    """The list of entries: ascending digests, and their hash."""

    time: Time
    digests: list[Sha256]
    sha256: Sha256


class Revealed(Strict):
    """What makes the seed; secret and nonce are 32 bytes each, in hex."""

    time: Time
    secret: Sha256
    nonce: Sha256
    value: Value
    seed: Sha256


class Score(Strict):
    """What became of an entry; `rank` is among the scored ones of its suite, equal scores in the order of names."""

    digest: Sha256
    suite: Annotated[str, Field(max_length=100)]
    name: Name
    organiser: bool
    verdict: Verdict
    reason: Annotated[str, Field(max_length=LONGEST_REASON)]
    rank: Annotated[int | None, Field(ge=1)]
    score: FiniteFloat | None
    score_interval: Interval | None
    over: Literal["tasks", "runs"] | None
    evidence: Text
    results: Annotated[list[Sha256], Field(description="digests of the result files, run by run")]


class Scores(Strict):
    """The ranking: scored entries first."""

    time: Time
    num_tasks: Annotated[int, Field(ge=1)]
    version: Line
    entries: list[Score]


class HiddenRound(Strict):
    """A round in any phase: a part is there once its phase is over."""

    model_config = ConfigDict(title="A hidden round of gpicl_bench")

    format: Literal["gpicl-bench-round/1"]
    name: Name
    suites: Annotated[list[str], Field(min_length=1, max_length=100)]
    commitment: Commitment
    public: Public
    committed: Time
    organisers_close: Time
    close: Time
    entered: Annotated[list[Entered], Field(max_length=MOST)]
    closed: Closed | None = None
    revealed: Revealed | None = None
    scores: Scores | None = None
    digests: dict[str, Sha256]
    digest: Sha256


def sealed(fields: Mapping[str, Any]) -> HiddenRound:
    """The round of these fields, with a digest for each, so that an edit is named, and one of them all."""
    digests = field_digests(fields)
    return validated({**fields, "digests": digests, "digest": entry_digest(digests)})


def with_parts(hidden: HiddenRound, **parts: Any) -> HiddenRound:
    """The round with more parts, or with others in their place."""
    fields = {name: value for name, value in plain(hidden).items() if name not in ("digests", "digest")}
    return sealed({**fields, **parts})


def plain(hidden: HiddenRound) -> dict[str, Any]:
    """A round as plain values, without the parts that it has not yet."""
    return {name: value for name, value in hidden.model_dump(mode="json").items() if value is not None}


def validated(fields: Mapping[str, Any]) -> HiddenRound:
    """Plain values as a round. Neither its digests nor its history are checked.

    Raises:
        RoundError: a field is missing, unknown or malformed.
    """
    return parsed(HiddenRound, fields, RoundError, "docs/rounds.md")


def stamp(now: datetime) -> str:
    """A moment as rounds write it: UTC, whole seconds.

    Raises:
        RoundError: it has no time zone.

    >>> stamp(datetime(2026, 9, 30, 12, 0, 0, 999, tzinfo=UTC))
    '2026-09-30T12:00:00Z'
    """
    if now.tzinfo is None:
        raise RoundError("this time has no time zone", expected="such as datetime.now(UTC)", got=repr(now))
    return now.astimezone(UTC).strftime(_TIME)
