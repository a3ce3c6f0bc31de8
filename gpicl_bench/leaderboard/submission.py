"""Making an entry: the learner's files are copied into it, evaluated there (of record), audited and diagnosed."""

import contextlib
import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gpicl_bench.diagnosing import Diagnosis, diagnose, load_diagnosis
from gpicl_bench.errors import EntryError, ResultError
from gpicl_bench.evaluation import evaluate, load_result
from gpicl_bench.evaluation.planning import learner_record
from gpicl_bench.evaluation.results import RECORD_TASKS, LearnerRecord, Result
from gpicl_bench.leaderboard.bundle import check_files, check_no_others, copy, gather, sha256_of
from gpicl_bench.leaderboard.claims import claims
from gpicl_bench.leaderboard.entry import FORMAT, Entry, sealed
from gpicl_bench.leaderboard.reading import bundle, read_entry, write_entry
from gpicl_bench.leaderboard.tracks import track
from gpicl_bench.learners import LoadedLearner, adapt, load_learner
from gpicl_bench.registration import make
from gpicl_bench.suite import Suite


@dataclass(frozen=True)
class Submission:
    """What its makers say of an entry.

    Attributes:
        file: of the learner.
        suite, name: the entry is `<suite>/<name>.yaml`.
        authors, licence, link, description: for people.
        root: the folder that the learner's files lie in; the harness runs in a copy of it.
        include: further files under `root` that the learner needs: modules and weights; or folders of them.
        args: of make_learner, for every run.
        runs: of make_learner, for each meta-training run.
        selection: what hyper-parameters and weights were chosen by: `none` or `meta-validation`.
        trials: how many settings were tried; None: unknown.
        search: how, in words.
        command: that made it.
    """

    file: Path
    suite: str
    name: str
    authors: Sequence[str]
    licence: str
    root: Path
    link: str | None = None
    description: str = ""
    include: Sequence[Path] = field(default_factory=list)
    args: Mapping[str, Any] = field(default_factory=dict)
    runs: Sequence[Mapping[str, Any]] = field(default_factory=lambda: [{}])
    selection: str = "none"
    trials: int | None = None
    search: str = ""
    command: str = ""


def submit(submission: Submission, folder: Path, *, progress: bool = False) -> Path:
    """Evaluate a learner of record, audit and diagnose it, and write its entry; nothing is overwritten.

    What is finished lies in `<suite>/.<name>` until all is: the same submission goes on from there.

    Args:
        submission: what its makers say.
        folder: of the leaderboards.
        progress: show bars on standard error.

    Returns:
        The path of the entry.

    Raises:
        EntryError: the entry exists, its fields are malformed, or a file cannot be part of it.
        LearnerFileError, LearnerError: the learner does not run there.
        ResultError: unfinished work of another submission lies there.
    """
    suite = make(submission.suite)
    _check_suite(suite)
    sources = gather(submission.root, [submission.file, *submission.include])
    learner = submission.file.resolve().relative_to(submission.root.resolve()).as_posix()
    draft = _fields(submission, learner)
    _check_draft(draft, submission.runs)
    path = folder / submission.suite / f"{submission.name}.yaml"
    stage = path.with_name(f".{submission.name}")
    if bundle(path).is_dir() and not path.exists() and not stage.exists():
        bundle(path).rename(stage)  # it was interrupted at its last step
    _check_free(path)
    _fill(stage, sources)
    with contextlib.chdir(stage):
        cards = [_card(learner, suite, {**submission.args, **args}) for args in submission.runs]
    _check_runs(cards)
    journals = (f"results/{n}.partial" for n in range(len(cards)))
    check_no_others(dict.fromkeys((*sources, *_evidence(len(cards)), *journals), ""), stage)  # loading wrote nothing
    done = []
    for number, args in enumerate(submission.runs):
        with contextlib.chdir(stage):
            loaded = load_learner(Path(learner), suite.info, {**submission.args, **args})
            record = learner_record(loaded, adapt(loaded.learner, suite.info, loaded.name))
            result = _result(loaded, record, suite, Path(f"results/{number}.json"), progress)
            diagnosis = _diagnosis(loaded, record, suite, Path(f"diagnoses/{number}.json"), progress)
        done.append((dict(args), result, diagnosis))
    entry = _entry(draft, stage, sources, done)
    check_files(entry.files, stage)
    check_no_others(entry.files, stage)
    _check_free(path)
    stage.rename(bundle(path))
    write_entry(entry, path)
    return path


def _check_suite(suite: Suite) -> None:
    if not suite.of_record:
        raise EntryError(
            "this suite has no leaderboard", expected="a built-in suite whose meta_test is pinned", got=suite.id
        )


def _check_free(path: Path) -> None:
    for place in (path, bundle(path)):
        if place.exists() or place.is_symlink():
            raise EntryError(
                "there is such an entry", got=str(place), hint="choose another --name: none is overwritten"
            )


def _fields(submission: Submission, learner: str) -> dict[str, Any]:
    """The fields that are known before anything is evaluated."""
    return {
        "format": FORMAT,
        "suite": submission.suite,
        "name": submission.name,
        "authors": [*submission.authors],
        "link": submission.link,
        "licence": submission.licence,
        "description": submission.description,
        "learner": {"file": learner, "args": dict(submission.args)},
        "search": {"selection": submission.selection, "trials": submission.trials, "note": submission.search},
        "command": submission.command[:4000],
    }


def _check_draft(draft: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> None:
    """Find out before hours of work what no entry can hold: with what is not known yet filled in, written and read."""
    nothing = "0" * 64
    claimed = {
        **dict.fromkeys(("parameters", "state_bytes", "meta_training_seconds", "meta_training_hardware")),
        **dict.fromkeys(("score", "accuracy", "episode_seconds"), 0.0),
        **dict.fromkeys(("score_interval", "accuracy_interval"), (0.0, 0.0)),
        "num_tasks": 1,
        "over": "tasks",
        "last": 1,
        "audit": "passed",
        "diagnosis": "",
    }
    file = draft["learner"]["file"]
    blank = [{"args": dict(args), "card": {}, "result": file, "diagnosis": file} for args in runs]
    rest = {"track": "open", "runs": blank, "files": {file: nothing}, "claimed": claimed, "hardware": "unknown"}
    entry = sealed({**draft, **rest})
    with tempfile.TemporaryDirectory(prefix="gpicl_bench-submit-") as scratch:
        path = Path(scratch) / draft["suite"] / f"{draft['name']}.yaml"
        path.parent.mkdir()
        write_entry(entry, path)
        read_entry(path)


def _fill(stage: Path, sources: Mapping[str, Path]) -> None:
    """Copy the files; with unfinished work of the same files, go on with it."""
    there = {place: stage / place for place in sources if (stage / place).exists()}
    if any(not t.is_file() or sha256_of(t) != sha256_of(sources[p]) for p, t in there.items()):
        raise ResultError(
            "unfinished work of another submission lies here",
            got=str(stage),
            hint="give the same files again, or delete this folder to begin anew",
        )
    reserved = [place for place in sources if place.partition("/")[0] in ("results", "diagnoses")]
    if reserved:
        raise EntryError("these folders are for results", expected="other names", got=", ".join(reserved))
    copy(sources, stage)
    for name in ("results", "diagnoses"):
        (stage / name).mkdir(exist_ok=True)


def _result(loaded: LoadedLearner, record: LearnerRecord, suite: Suite, path: Path, progress: bool) -> Result:
    """Of record, fully audited, without log-losses: these would be nine tenths of an entry, and rank nothing."""
    path = path.absolute()
    if path.exists():
        kept = load_result(path)
        _check_same(kept.learner, record, path)
        return kept
    journal = path.with_suffix(".partial")
    found = evaluate(loaded, suite, RECORD_TASKS, audit="full", checkpoint=journal, progress=progress)
    result = replace(found, log_loss=None)
    result.save(path)
    journal.unlink(missing_ok=True)
    return result


def _diagnosis(loaded: LoadedLearner, record: LearnerRecord, suite: Suite, path: Path, progress: bool) -> Diagnosis:
    path = path.absolute()
    if path.exists():
        kept = load_diagnosis(path)
        _check_same(kept.learner, record, path)
        return kept
    found = diagnose(loaded, suite, progress=progress)
    found.save(path)
    return found


def _check_same(kept: LearnerRecord, wanted: LearnerRecord, path: Path) -> None:
    """Finished work is gone on with only if it is of this very learner."""
    if json.dumps(asdict(kept), sort_keys=True) != json.dumps(asdict(wanted), sort_keys=True):
        raise ResultError(
            "unfinished work of another submission lies here",
            expected=repr(wanted),
            got=repr(kept),
            where=str(path),
            hint="give the same arguments again, or delete its folder to begin anew",
        )


def _evidence(runs: int) -> list[str]:
    """The places of results and diagnoses."""
    return [f"{kind}/{n}.json" for n in range(runs) for kind in ("results", "diagnoses")]


def _card(learner: str, suite: Suite, args: Mapping[str, Any]) -> Mapping[str, Any]:
    loaded = load_learner(Path(learner), suite.info, args)
    return learner_record(loaded, adapt(loaded.learner, suite.info, loaded.name)).card


def _check_runs(cards: Sequence[Mapping[str, Any]]) -> None:
    """Several runs have several seeds."""
    trainings = [card.get("meta_training") for card in cards]
    seeds = [training.get("seed") if isinstance(training, Mapping) else None for training in trainings]
    if len(seeds) > 1 and (None in seeds or len(set(seeds)) < len(seeds)):
        raise EntryError(
            "these are no runs of one learner", expected="a meta-training seed of its own in each card", got=seeds
        )


def _hardware(result: Result) -> str:
    return f"{result.provenance.device}, {result.provenance.platform}"


def _entry(
    draft: Mapping[str, Any],
    stage: Path,
    sources: Iterable[str],
    done: list[tuple[dict[str, Any], Result, Diagnosis]],
) -> Entry:
    cards = [dict(result.learner.card) for _, result, _ in done]
    runs = [
        {"args": args, "card": card, "result": f"results/{n}.json", "diagnosis": f"diagnoses/{n}.json"}
        for n, ((args, _, _), card) in enumerate(zip(done, cards, strict=True))
    ]
    places = sorted({*sources, *_evidence(len(done))})
    claimed = claims(draft["name"], [result for _, result, _ in done], [diagnosis for _, _, diagnosis in done])
    return sealed(
        {
            **draft,
            "track": track(draft["suite"], cards),
            "hardware": ", ".join(dict.fromkeys(_hardware(result) for _, result, _ in done))[:200],
            "runs": runs,
            "files": {place: sha256_of(stage / place) for place in places},
            "claimed": claimed,
        }
    )
