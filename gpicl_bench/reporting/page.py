"""The page: all that a set of files says, in one HTML file that opens without a network."""

import hashlib
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpicl_bench.errors import ReportError
from gpicl_bench.evaluation.comparison import Comparison, Runs, compare
from gpicl_bench.evaluation.results import LearnerRecord, Result, Setting
from gpicl_bench.reporting import latex, profile
from gpicl_bench.reporting.citing import bibtex
from gpicl_bench.reporting.diagnosed import diagnosed
from gpicl_bench.reporting.picture import Picture, learning_curves
from gpicl_bench.reporting.reading import Material, Source
from gpicl_bench.reporting.rows import NOTHING, Row, number, pair_rows, rows, verdicts
from gpicl_bench.reporting.style import Style, style
from gpicl_bench.reporting.text import plain

_FOLDER = Path(__file__).parent
_PLACES = re.compile(r"(?<=\w[_/(])(?=\w)")


@dataclass(frozen=True)
class SuitePart:
    """What the page says of one suite."""

    id: str
    setting: str
    last: int
    ranked_by: str
    picture: Picture
    rows: list[Row]
    pairs: list[list[str]]
    latex: str


def page(material: Material) -> str:
    """The HTML of the page: the same for the same files.

    Raises:
        ReportError, PictureError: jinja2 or matplotlib is not installed.
    """
    template = _template()
    compared = {id: _compared(learners) for id, learners in material.suites.items()}
    names = dict.fromkeys(runs.name for comparison in compared.values() for runs in comparison.learners)
    styles = {name: style(n) for n, name in enumerate(names)}
    protocol = next(iter(compared.values())).learners[0].results[0].setting.protocol
    parts = [_suite(id, comparison, styles, material) for id, comparison in compared.items()]
    return template.render(
        parts=parts,
        learners=len(names),
        profile=_profile([*names], material.suites, styles),
        diagnoses=[diagnosed(name, diagnosis) for name, diagnosis in material.diagnoses],
        bibtex=bibtex(material.suites, protocol),
        files=[_file(source) for source in material.sources],
        **_assets(),
    )


def _template() -> Any:
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        what = "a page needs jinja2, which is not installed"
        raise ReportError(what, hint="pip install 'gpicl-bench[site]'") from error
    loader = FileSystemLoader(_FOLDER)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        score=number, breakable=_breakable, heat=lambda value: f"{60 * min(max(value, 0), 1):.0f}%"
    )
    return environment.get_template("page.html")


def _assets() -> dict[str, str]:
    """Style and program of the page, each by its hash too, so that the browser takes no other."""
    from markupsafe import Markup

    from gpicl_bench import __version__

    script, sheet = ((_FOLDER / name).read_text(encoding="utf-8") for name in ("page.js", "page.css"))
    hashes = {"script_hash": _hash(script), "sheet_hash": _hash(sheet)}
    return {"script": Markup(script), "sheet": Markup(sheet), **hashes, "version": __version__}


def _hash(text: str) -> str:
    """As a Content-Security-Policy names it."""
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _breakable(text: str) -> Any:
    """A name as HTML, with places where a line may end."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(part) for part in _PLACES.split(text))


def _compared(learners: Mapping[str, Runs]) -> Comparison:
    at = next(iter(learners.values())).at
    return compare({name: runs.results for name, runs in learners.items()}, at)


def _suite(id: str, comparison: Comparison, styles: Mapping[str, Style], material: Material) -> SuitePart:
    learners = comparison.learners
    setting, looks = learners[0].results[0].setting, [styles[runs.name] for runs in learners]
    found = rows(comparison, styles, verdicts(material.diagnoses, id))
    last, best = setting.positions[-1], plain(learners[0].name)
    about = f"Learning curves on {id}: accuracy after k labelled examples. {len(learners)} learners; best: {best}."
    return SuitePart(
        id=id,
        setting=_setting(setting),
        last=last,
        ranked_by="score" if learners[0].at is None else f"accuracy@{last}",
        picture=learning_curves(learners, looks, f"curves-{id}", about),
        rows=found,
        pairs=pair_rows(comparison.pairs),
        latex=latex.table(
            ["Learner", "Score", f"Accuracy@{last}", "Group", "Runs"],
            [[row.name, str(row.score), str(row.accuracy), str(row.group), str(row.runs)] for row in found],
            f"{id}, {setting.num_tasks:,} tasks of {setting.task_set}; 95% intervals",
            id,
        ),
    )


def _setting(setting: Setting) -> str:
    record = {"record": "; the evaluation of record", "quick": "; the quick form of the evaluation of record", "no": ""}
    images = {"train": "training images", "test": "held-out images"}[setting.images]
    tasks = f"{setting.num_tasks:,} task{'s' if setting.num_tasks > 1 else ''} of {setting.task_set}, {images}"
    form = f"T = {setting.num_examples}, C = {setting.num_classes}, protocol {setting.protocol}"
    return f"{tasks}{record[setting.of_record]}. {form}, fingerprint {setting.fingerprint[:16]}…"


def _profile(
    names: Sequence[str], suites: Mapping[str, Mapping[str, Runs]], styles: Mapping[str, Style]
) -> dict[str, Any] | None:
    """Scores of learners over suites, and the means of benchmarks; None where there is one suite."""
    if len(suites) < 2:
        return None
    scores = {name: [profile.score(learners.get(name)) for learners in suites.values()] for name in names}
    benchmarks = profile.benchmarks(suites)
    means = {name: [profile.mean(name, suites_of, suites) for suites_of in benchmarks.values()] for name in names}
    without: dict[tuple[str, str], list[str]] = {}
    for column, id in enumerate(benchmarks):
        for name in names:
            if means[name][column].value is None:
                without.setdefault((id, means[name][column].reason), []).append(plain(name))
    told = [[plain(n), *(_score(s) for s in scores[n]), *(_score(mean.value) for mean in means[n])] for n in names]
    header = [*suites, *(f"{id}, mean of {len(members)}" for id, members in benchmarks.items())]
    return {
        "suites": [*suites],
        "benchmarks": {id: len(members) for id, members in benchmarks.items()},
        "rows": [(plain(name), styles[name], scores[name], means[name]) for name in names],
        "without": [(id, reason, who) for (id, reason), who in without.items()],
        "latex": latex.table(["Learner", *header], told, "Scores", "profile"),
    }


def _score(value: float | None) -> str:
    return NOTHING if value is None else number(value)


def _file(source: Source) -> tuple[str, str, str, str, str]:
    learner = source.content.learner
    kind = "result" if isinstance(source.content, Result) else "diagnosis"
    return plain(source.path.name), kind, plain(learner.name), _run(learner), source.digest


def _run(learner: LearnerRecord) -> str:
    """Which meta-training run it is, by its card."""
    training = learner.card.get("meta_training", "unknown")
    if not isinstance(training, Mapping):
        return plain(training)
    told = [f"{name} {training[name]}" for name in ("seed", "steps") if name in training]
    return plain(", ".join(told) or "unknown")
