"""Reading the files of a report, and refusing what no page can be made of before anything takes its time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpicl_bench.diagnosing import Diagnosis, load_diagnosis
from gpicl_bench.diagnosing.storage import FORMAT as DIAGNOSIS
from gpicl_bench.errors import ResultError
from gpicl_bench.evaluation.comparison import SAME, Runs
from gpicl_bench.evaluation.identity import by_learner, identity
from gpicl_bench.evaluation.results import LearnerRecord, Result
from gpicl_bench.evaluation.storage import FORMAT as RESULT
from gpicl_bench.evaluation.storage import read_json, result_of
from gpicl_bench.registration import registry

_OURS = tuple(format.partition("/")[0] for format in (RESULT, DIAGNOSIS))
_KIND = "result or diagnosis"


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

    Args:
        paths: files, and folders: of these every .json file that is a result or a diagnosis, at any depth.

    Raises:
        ResultError: a file cannot be read or was edited, one is given twice, a folder has none, there is no result,
            or results of one suite cannot stand side by side. The error names the files.
    """
    sources = sorted((source for path in paths for source in _sources(path)), key=_order)
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


def _sources(path: Path) -> list[Source]:
    if path.exists() and not path.is_file() and not path.is_dir():  # a pipe can be read once, or never
        raise ResultError("this is no ordinary file", expected="a file or a folder", where=str(path))
    if not path.is_dir():
        return [read_json(path, _KIND, lambda content: _source(path, content))]
    files = sorted(file for file in path.rglob("*.json") if file.is_file())
    found = [source for source in map(_if_ours, files) if source is not None]
    if not found:
        expected = ".json files written by evaluate or diagnose --output"
        raise ResultError("there is no result and no diagnosis in this folder", expected=expected, where=str(path))
    return found


def _if_ours(file: Path) -> Source | None:
    """None for JSON of other programs, which a folder may have too."""
    return read_json(file, _KIND, lambda content: _source(file, content) if _format(content) in _OURS else None)


def _format(content: Any) -> str:
    """Without its version: a version that is unknown here is refused, not left out."""
    return str(content.get("format")).partition("/")[0] if isinstance(content, dict) else ""


def _source(path: Path, content: Any) -> Source:
    found = load_diagnosis(path) if _format(content) == _OURS[1] else result_of(content)
    return Source(path, content["digest"], found)  # the digest was checked


def _order(source: Source) -> tuple[str, ...]:
    content = source.content
    suite = content.setting.suite if isinstance(content, Result) else content.question.suite
    return (content.learner.name, identity(content.learner), suite, source.digest, source.path.name)


def _refuse_copies(sources: Sequence[Source]) -> None:
    seen: dict[str, Path] = {}
    for source in sources:
        if source.digest in seen:
            got = f"{seen[source.digest]} and {source.path}"
            raise ResultError("the same content is given twice", expected="other files", got=got)
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
    """The name under which the results of a learner stand: those of the same weights, else those that it has run.

    None if there are none, or several that nothing tells apart.
    """
    own, weights = identity(learner), learner.card.get("weights_sha256")
    alike = [name for name, runs in learners.items() if identity(runs[0].learner) == own]
    weighed = [
        name
        for name, runs in learners.items()
        if weights is not None and any(run.learner.card.get("weights_sha256") == weights for run in runs)
    ]
    both = [name for name in weighed if name in alike]
    return next((names[0] for names in (both, weighed, alike) if len(names) == 1), None)
