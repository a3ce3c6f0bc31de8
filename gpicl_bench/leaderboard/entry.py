"""The schema of an entry: `leaderboards/<suite>/<name>.yaml`, beside the folder `<name>/` with its files.

Each top-level field has its digest, so that an edit is named; `digest` is of all of them, and names the entry.
`verified` and `marks` are written later, by verification and by the organisers: each has a digest of its own.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from gpicl_bench.errors import EntryError, GpiclBenchError
from gpicl_bench.evaluation.storage import json_sha256

FORMAT = "gpicl-bench-entry/1"
M = TypeVar("M", bound=BaseModel)
LATER = ("verified", "marks")  # what is written after the entry, and is under digests of its own

Audited = Literal["passed", "failed", "not auditable", "labels withheld", "not audited"]
Track = Literal["none", "mnist", "same", "open"]
TRACKS: dict[Track, str] = {
    "none": "no meta-training",
    "mnist": "meta-trained on MNIST only",
    "same": "meta-trained on the suite's base dataset only",
    "open": "open",
}

Name = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9_-]{0,63}$", description="lower case, digits, _ and -")]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Text = Annotated[str, Field(max_length=4000)]
Link = Annotated[str, Field(max_length=500, pattern="^https?://[^\\s\"'<>]+$")]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
PLACE = r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*"
Place = Annotated[
    str,
    Field(
        max_length=200,
        pattern=f"^{PLACE}$",
        description="of a file in the entry's folder: relative, with slashes, without ..",
    ),
]
Interval = Annotated[tuple[FiniteFloat, FiniteFloat], Field(description="95%: low, high")]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Seconds = Annotated[FiniteFloat, Field(ge=0, le=1e12)]


class Strict(BaseModel):
    """Strict: no other field, no other type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Learner(Strict):
    """How the learner is loaded: the harness runs in the entry's folder."""

    file: Place
    args: Annotated[dict[str, Any], Field(description="of make_learner, for every run")]


class Run(Strict):
    """One meta-training run; a learner that was not meta-trained has one."""

    args: Annotated[dict[str, Any], Field(description="of make_learner, for this run, beside those of the learner")]
    card: Annotated[dict[str, Any], Field(description="what the learner says of itself: its meta-training and limits")]
    result: Place
    diagnosis: Place


class Search(Strict):
    """How hyper-parameters and weights were chosen."""

    selection: Literal["none", "meta-validation"]
    trials: Annotated[int | None, Field(ge=1, description="settings that were tried, this one included; null: unknown")]
    note: Text


class Claimed(Strict):
    """What follows from the results and diagnoses, and is recomputed from them."""

    num_tasks: Annotated[int, Field(ge=1)]
    score: FiniteFloat
    score_interval: Interval
    over: Annotated[Literal["tasks", "runs"], Field(description="what the intervals are over; runs from three on")]
    last: Annotated[int, Field(ge=0, description="k of the accuracy: T - 1")]
    accuracy: FiniteFloat
    accuracy_interval: Interval
    audit: Audited
    diagnosis: Annotated[str, Field(max_length=200, description="the verdict, or several with the number of runs")]
    parameters: Count | None
    state_bytes: Count | None
    meta_training_seconds: Annotated[Seconds | None, Field(description="the mean over runs")]
    meta_training_hardware: Annotated[str | None, Field(max_length=200)]
    episode_seconds: Seconds


class Verified(Strict):
    """What a verification found; written by `verify` alone."""

    verdict: Annotated[
        Literal["verified", "refuted", "not reproduced"], Field(description="the last: the learner did not run there")
    ]
    reason: Text
    score: FiniteFloat | None
    accuracy: FiniteFloat | None
    rerun: Annotated[Count, Field(description="tasks that were asked again")]
    compared: Annotated[Count, Field(description="predictions that were compared")]
    differing: Annotated[Count, Field(description="of them: those that differ by more than a tie")]
    excused: Annotated[Count, Field(description="of them: those that differ within the tolerance of a tie")]
    tolerance: Annotated[FiniteFloat, Field(ge=0, description="of a tie: relative difference of the best scores")]
    fresh: Annotated[
        FiniteFloat | None, Field(description="the score on as many tasks that nobody had seen, 64 at most")
    ]
    seed: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="of the choice of tasks; it repeats it")]
    drawn: Annotated[bool, Field(description="whether the seed was drawn then; else it was given")]
    isolated: Annotated[bool, Field(description="whether the learner ran without a network")]
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    version: Line
    machine: Line
    entry: Sha256
    digest: Sha256


class Marks(Strict):
    """What organisers say of an entry."""

    unreliable: Text | None
    superseded_by: Name | None
    entry: Sha256
    digest: Sha256


class Entry(Strict):
    """One learner on one suite."""

    model_config = ConfigDict(title="A leaderboard entry of gpicl_bench")

    format: Literal["gpicl-bench-entry/1"]
    suite: Annotated[str, Field(max_length=100)]
    name: Name
    authors: Annotated[list[Line], Field(min_length=1, max_length=100)]
    link: Link | None
    licence: Line
    description: Text
    track: Track
    learner: Learner
    runs: Annotated[list[Run], Field(min_length=1, max_length=20)]
    search: Search
    hardware: Line
    command: Text
    files: Annotated[dict[Place, Sha256], Field(min_length=1, max_length=500)]
    claimed: Claimed
    digests: dict[str, Sha256]
    digest: Sha256
    verified: Verified | None = None
    marks: Marks | None = None

    @property
    def single_run(self) -> bool:
        """Whether it was meta-trained, and in fewer than three runs: the board marks it."""
        return self.track != "none" and len(self.runs) < 3


def field_digests(fields: Mapping[str, Any]) -> dict[str, str]:
    """The digest of each top-level field of an entry as plain values."""
    own = {name: value for name, value in fields.items() if name not in ("digests", "digest", *LATER)}
    return {name: json_sha256({name: value}) for name, value in sorted(own.items())}


def entry_digest(digests: Mapping[str, str]) -> str:
    """The digest that names an entry."""
    return json_sha256({"digests": dict(digests)})


def sealed(fields: Mapping[str, Any]) -> Entry:
    """The entry of these fields, without verification and marks, with its digests."""
    try:
        digests = field_digests(fields)
    except (TypeError, ValueError, RecursionError) as error:
        raise EntryError("an entry holds plain values only", got=str(error)) from error
    return validated({**fields, "digests": digests, "digest": entry_digest(digests)})


def validated(fields: Mapping[str, Any]) -> Entry:
    """Plain values as an entry. Its digests are not compared.

    Raises:
        EntryError: a field is missing, unknown or malformed.
    """
    try:
        return parsed(Entry, fields, EntryError, "docs/leaderboards.md")
    except (TypeError, ValueError, RecursionError) as error:
        raise EntryError("an entry holds plain values only", got=str(error)) from error


def parsed(kind: type[M], fields: Mapping[str, Any], refused: type[GpiclBenchError], hint: str) -> M:
    """Plain values as a model of this kind; what is malformed is named by an error of the kind `refused`.

    Raises:
        TypeError, ValueError, RecursionError: a value is none that JSON has.
    """
    text = json.dumps(fields, allow_nan=False)
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        got = repr(first["input"])
        raise refused(
            f"{where} is malformed",
            expected=first["msg"],
            got=got if len(got) <= 120 else f"{got[:117]}…",
            hint=hint,
        ) from error


def plain(part: BaseModel) -> dict[str, Any]:
    """An entry, or a part of one, as plain values."""
    return part.model_dump(mode="json")


def part_digest(fields: Mapping[str, Any]) -> str:
    """The digest of `verified` or `marks` as plain values."""
    return json_sha256({name: value for name, value in fields.items() if name != "digest"})


def schema() -> dict[str, Any]:
    """The JSON Schema of an entry: `leaderboards/entry.schema.json`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Entry.model_json_schema()}
