"""Reading the files of a report, and refusing what no page can be made of before anything takes its time."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpicl_bench.diagnosing import Diagnosis, load_diagnosis
from gpicl_bench.diagnosing.storage import FORMAT as DIAGNOSIS
from gpicl_bench.errors import ResultError
from gpicl_bench.evaluation.comparison import SAME, Runs
from gpicl_bench.evaluation.identity import by_learner, identity
from gpicl_bench.evaluation.results import LearnerRecord, Result
from gpicl_bench.evaluation.storage import load_result
from gpicl_bench.registration import registry


@dataclass(frozen=True, eq=False)
class Source:
    """A file: where it is, the digest that it holds, and what was read from it."""

    path: Path
    digest: str
    content: Result | Diagnosis


@dataclass(frozen=True, eq=False)
class Material:
    """What a page is made of; in an order that the order of the files has no part in.

    Attributes:
        suites: the learners on each suite, by suite and name; suites in the registry's order.
        diagnoses: each with the name of its learner; None where there is no result of that learner.
        sources: the files.
    """

    suites: dict[str, dict[str, Runs]]
    diagnoses: tuple[tuple[str | None, Diagnosis], ...]
    sources: tuple[Source, ...]


def read(paths: Iterable[Path]) -> Material:
    """Read result files and diagnosis files.

    Raises:
        ResultError: a file cannot be read or was edited, one is given twice, there is no result, or results of one
            suite cannot stand side by side. The error names the files.
    """
    sources = sorted((_read(path) for path in paths), key=_order)
    _refuse_copies(sources)
    results = {source.path: source.content for source in sources if isinstance(source.content, Result)}
    if not results:
        raise ResultError(
            "there is no result to report",
            expected="a file written by evaluate --output, or more",
            got=", ".join(str(source.path) for source in sources) or "no file",
        )
    _refuse_mixtures(results)
    learners = by_learner(results.values())
    diagnoses = [source.content for source in sources if isinstance(source.content, Diagnosis)]
    return Material(
        {suite: _on(suite, learners, results) for suite in _suites(results.values())},
        tuple((_named(diagnosis.learner, learners), diagnosis) for diagnosis in diagnoses),
        tuple(sources),
    )


def _read(path: Path) -> Source:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        what = "this is neither a result file nor a diagnosis file"
        raise ResultError(what, got=f"{type(error).__name__}: {error}", where=str(path)) from error
    known = content if isinstance(content, dict) else {}
    loaded = load_diagnosis(path) if known.get("format") == DIAGNOSIS else load_result(path)
    return Source(path, known["digest"], loaded)  # the loaders have checked it


def _order(source: Source) -> tuple[str, ...]:
    content = source.content
    suite = content.setting.suite if isinstance(content, Result) else content.question.suite
    return (content.learner.name, identity(content.learner), suite, source.digest, source.path.name)


def _refuse_copies(sources: Sequence[Source]) -> None:
    seen: dict[str, Path] = {}
    for source in sources:
        if source.digest in seen:
            got = f"{seen[source.digest]} and {source.path}"
            raise ResultError("one result is given twice", expected="other files", got=got)
        seen[source.digest] = source.path


def _refuse_mixtures(results: dict[Path, Result]) -> None:
    """Results of one suite must be of the same tasks at the same positions."""
    first: dict[str, tuple[Path, Result]] = {}
    for path, result in results.items():
        other_path, other = first.setdefault(result.setting.suite, (path, result))
        for field in SAME:
            a, b = getattr(other.setting, field), getattr(result.setting, field)
            if a != b:
                raise ResultError(
                    f"results of different {field} cannot stand side by side",
                    expected=f"{a}, as in {other_path}",
                    got=f"{b}, in {path}",
                    where=result.setting.suite,
                    hint="evaluate both on the same tasks, or make two reports",
                )


def _suites(results: Iterable[Result]) -> list[str]:
    """The registry's first, in its order."""
    order = {id: number for number, id in enumerate(registry)}
    return sorted({result.setting.suite for result in results}, key=lambda id: (order.get(id, len(order)), id))


def _on(suite: str, learners: dict[str, tuple[Result, ...]], results: dict[Path, Result]) -> dict[str, Runs]:
    """The learners on one suite, by score; by the last accuracy, where the score's positions were not all asked."""
    here = {name: tuple(r for r in runs if r.setting.suite == suite) for name, runs in learners.items()}
    here = {name: runs for name, runs in here.items() if runs}
    first = next(iter(here.values()))[0]
    at = first.setting.positions[-1] if first.areas is None else None
    found = {}
    for name, runs in here.items():
        try:
            found[name] = Runs(name, runs, at)
        except ResultError as error:
            files = ", ".join(str(path) for path, result in results.items() if any(result is run for run in runs))
            raise ResultError(error.what, expected=error.expected, got=error.got, where=files) from error
    return found


def _named(learner: LearnerRecord, learners: dict[str, tuple[Result, ...]]) -> str | None:
    """The name under which the results of a learner stand; None if it has none."""
    found = {
        name: {run.learner.card.get("weights_sha256") for run in runs}
        for name, runs in learners.items()
        if identity(runs[0].learner) == identity(learner)
    }
    by_weights = [name for name, weights in found.items() if learner.card.get("weights_sha256") in weights]
    return next(iter(by_weights), None) if len(found) != 1 else next(iter(found))
