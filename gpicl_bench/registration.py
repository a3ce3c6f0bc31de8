"""Suite ids and the registry: what `make` looks up.

An id spells its suite out: `<dataset>[_<view>]-<input>-<label>-v<N>`, for instance
`mnist-proj-perm-v0`. What an id does not say is the length of an episode, and the pinned
fingerprints of its splits.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gpicl_bench import builtin, plugins
from gpicl_bench.errors import (
    AlreadyRegistered,
    DeprecatedSuite,
    InvalidArgument,
    MalformedId,
    SuiteNotFound,
    VersionNotFound,
    check_integer,
)

if TYPE_CHECKING:
    from gpicl_bench.suite import Suite

INPUTS = ("proj", "pixperm", "none")
LABELS = ("perm", "none")
NUM_EXAMPLES = 100  # of every suite of record
LARGEST_PROJECTION = 2**14  # D: a quarter of a GiB
SPLITS = ("meta_train", "meta_validation", "meta_test", "seen")

_GRAMMAR = re.compile(r"([a-z0-9_]+)-(proj|pixperm|none)-(perm|none)-v(0|[1-9][0-9]{0,8})", re.ASCII)
_FORM = "<dataset>[_<view>]-<input>-<label>-v<N>, input one of proj, pixperm, none, label one of perm, none"


@dataclass(frozen=True)
class SuiteSpec:
    """What an id names.

    Attributes:
        id: by the grammar above; it fixes base dataset, input transform and label transform.
        num_examples: T, the examples of an episode, at least 2.
        fingerprints: the pinned SHA-256 of each split at seed 0, hex, by the split's name; empty if
            nothing is pinned: then the suite is provisional and not of record.
        deprecated: the id to use instead, where this one was withdrawn.

    >>> SuiteSpec("mnist-proj-perm-v0").dataset
    'mnist'
    """

    id: str
    num_examples: int = NUM_EXAMPLES
    fingerprints: Mapping[str, str] = field(default_factory=dict, hash=False)
    deprecated: str | None = None

    def __post_init__(self) -> None:
        parse_id(self.id)
        check_integer("num_examples", self.num_examples, 2, 2**31 - 1)
        if not isinstance(self.fingerprints, Mapping):
            raise InvalidArgument("fingerprints are no mapping", got=repr(self.fingerprints))
        wrong = [s for s, h in self.fingerprints.items() if s not in SPLITS or not re.fullmatch("[0-9a-f]{64}", str(h))]
        if wrong:
            raise InvalidArgument(
                "a pinned fingerprint is malformed", expected=f"64 hex digits for a split of {SPLITS}", got=wrong
            )
        object.__setattr__(self, "fingerprints", MappingProxyType(dict(self.fingerprints)))

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return SuiteSpec, (self.id, self.num_examples, dict(self.fingerprints), self.deprecated)

    @property
    def dataset(self) -> str:
        """The base dataset, with its view: `<dataset>[_<view>]`."""
        return parse_id(self.id)[0]

    @property
    def base(self) -> str:
        """The base dataset, without its view.

        >>> SuiteSpec("mnist_8-proj-perm-v0").base
        'mnist'
        """
        from gpicl_bench.datasets import DATASETS

        known = DATASETS.get(self.dataset)
        return self.dataset if known is None or known.base is None else known.base

    @property
    def input(self) -> str:
        return parse_id(self.id)[1]

    @property
    def label(self) -> str:
        return parse_id(self.id)[2]

    @property
    def version(self) -> int:
        return parse_id(self.id)[3]

    @property
    def of_record(self) -> bool:
        """Whether results on this suite can stand on a leaderboard: built in, unchanged, its meta_test pinned."""
        pinned = tuple(self.fingerprints.get(split) for split in SPLITS)
        own = builtin.SUITES.get(self.id) == pinned and self.num_examples == NUM_EXAMPLES
        return own and "meta_test" in self.fingerprints

    def to_json(self) -> str:
        """The specification as JSON; `from_json` reads it back, equal."""
        return json.dumps({f.name: _plain(getattr(self, f.name)) for f in fields(self)}, indent=2)

    @classmethod
    def from_json(cls, text: str) -> "SuiteSpec":
        """Read a specification that `to_json` wrote.

        Raises:
            InvalidArgument: the text is no JSON object, or has unknown or missing fields.
        """
        names = [f.name for f in fields(cls)]
        try:
            values = json.loads(text)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidArgument("a suite specification is no JSON", got=str(error)) from error
        if not isinstance(values, dict) or "id" not in values or not set(values) <= set(names):
            raise InvalidArgument(
                "a suite specification has the wrong fields",
                expected=f"an object with id and any of {names[1:]}",
                got=sorted(values) if isinstance(values, dict) else type(values).__name__,
            )
        if not isinstance(values.get("fingerprints", {}), dict):
            raise InvalidArgument("fingerprints are no object", got=values["fingerprints"])
        if not isinstance(values.get("deprecated"), str | None):
            raise InvalidArgument("deprecated is no suite id", got=values["deprecated"])
        return cls(**values)


def _plain(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else value


def parse_id(id: str) -> tuple[str, str, str, int]:
    """Dataset (with view), input, label and version of a suite id.

    Raises:
        MalformedId: the id does not follow the grammar.
    """
    match = _GRAMMAR.fullmatch(id) if isinstance(id, str) else None
    if match is None:
        raise MalformedId(
            "this is no suite id", expected=_FORM, got=repr(id), hint=_suggest(id, [*_suites, *builtin.BENCHMARKS])
        )
    return match[1], match[2], match[3], int(match[4])


_suites: dict[str, SuiteSpec] = {}


class _Registry(Mapping[str, SuiteSpec]):
    """The registered suites, to read: built-in ones, those of plug-ins, those that the program has registered.

    Plug-ins are loaded when an id is not here, or when all are listed or counted.
    """

    def __getitem__(self, id: str) -> SuiteSpec:
        if id not in _suites:
            plugins.load()
        return _suites[id]

    def __iter__(self) -> Iterator[str]:
        plugins.load()
        return iter(_suites)

    def __len__(self) -> int:
        plugins.load()
        return len(_suites)

    def __repr__(self) -> str:
        return f"<registry of {len(self)} suites>"


registry: Mapping[str, SuiteSpec] = _Registry()


def register(suite: SuiteSpec | str) -> SuiteSpec:
    """Add a suite to the registry, by its id or its specification. The same one twice is no error.

    Raises:
        AlreadyRegistered: the id names another specification.
        MalformedId: the id does not follow the grammar.
    """
    new = suite if isinstance(suite, SuiteSpec) else SuiteSpec(suite)
    old = _suites.get(new.id)
    if old is not None and old != new:
        raise AlreadyRegistered(
            "this id is taken: what an id means never changes",
            expected=f"a new id, for instance {_next_version(new.id)}",
            got=new.id,
        )
    _suites[new.id] = new
    return new


def spec(id: str) -> SuiteSpec:
    """The specification registered under `id`.

    Raises:
        MalformedId, SuiteNotFound, VersionNotFound, DeprecatedSuite: each with the nearest ids.
    """
    found = registry.get(id) if isinstance(id, str) else None
    if found is None:
        raise _not_found(id)
    if found.deprecated:
        raise DeprecatedSuite("this suite was withdrawn", got=id, hint=f"use {found.deprecated}")
    return found


def make(id: str, **overrides: Any) -> "Suite":
    """The suite of a registered id.

    Args:
        id: such as `mnist-proj-perm-v0`; `pprint_registry()` lists them.
        overrides: fields that the id does not spell out: `num_examples`. The suite then has other
            fingerprints, and its results are marked as not of record.

    >>> make("digits-proj-perm-v0", num_examples=20).of_record
    False
    """
    from gpicl_bench.datasets import dataset
    from gpicl_bench.suite import Suite

    found = spec(id)
    wrong = set(overrides) - {"num_examples"}
    if wrong:
        raise InvalidArgument(
            "this cannot be overridden",
            expected="num_examples; dataset and transforms are spelt out in the id",
            got=", ".join(sorted(wrong)),
            hint="register another id, for instance digits-none-perm-v0 for other transforms",
        )
    known = dataset(found.dataset)
    if found.input == "proj" and known.dimension > LARGEST_PROJECTION:
        raise InvalidArgument(
            "the inputs are too large to be projected",
            expected=f"D ≤ {LARGEST_PROJECTION}: a projection has D² bytes",
            got=f"D = {known.dimension}",
            hint=f"permute them instead: {found.dataset}-pixperm-{found.label}-v{found.version}",
        )
    changed = replace(found, **overrides)
    return Suite(found if changed == found else replace(changed, fingerprints={}))


def benchmark(id: str) -> tuple[str, ...]:
    """The ids of the suites that a benchmark consists of.

    >>> benchmark("offline-v0")[0]
    'digits-proj-perm-v0'
    """
    if not isinstance(id, str) or id not in builtin.BENCHMARKS:
        raise SuiteNotFound("no benchmark has this id", got=repr(id), hint=_suggest(id, builtin.BENCHMARKS))
    return builtin.BENCHMARKS[id]


def pprint_registry() -> None:
    """Print the registered ids, by base dataset, and the benchmarks."""
    by_dataset: dict[str, list[str]] = {}
    for known in registry.values():
        by_dataset.setdefault(known.dataset, []).append(known.id)
    for dataset, ids in {**by_dataset, "benchmarks": [*builtin.BENCHMARKS]}.items():
        print(f"===== {dataset} =====", *ids, "", sep="\n")


def _not_found(id: str) -> SuiteNotFound | MalformedId:
    """The error that says most about an unregistered id."""
    try:
        *meaning, version = parse_id(id)
    except MalformedId as error:
        return error
    versions = sorted(s.version for s in _suites.values() if parse_id(s.id)[:3] == tuple(meaning))
    if versions:
        return VersionNotFound(
            "this suite has no such version",
            expected=", ".join(f"v{v}" for v in versions),
            got=f"v{version}",
            hint=f"use {'-'.join(map(str, meaning))}-v{versions[-1]}",
        )
    return SuiteNotFound("no suite has this id", got=repr(id), hint=_suggest(id, _suites))


def _suggest(id: object, known: Iterable[str]) -> str:
    if isinstance(id, str) and id in builtin.BENCHMARKS:
        return "that is a benchmark: gpicl_bench.benchmark(id) names its suites"
    near = get_close_matches(str(id), list(known), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "`python -m gpicl_bench list` prints every id"
    return plugins.or_broken(hint)


def _next_version(id: str) -> str:
    *meaning, version = parse_id(id)
    while f"{'-'.join(map(str, meaning))}-v{version}" in _suites:
        version = int(version) + 1
    return f"{'-'.join(map(str, meaning))}-v{version}"


for _id, _fingerprints in builtin.SUITES.items():
    _pinned = zip(SPLITS, _fingerprints, strict=True)
    register(SuiteSpec(_id, fingerprints={split: hex for split, hex in _pinned if hex is not None}))
