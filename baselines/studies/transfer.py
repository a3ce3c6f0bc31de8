"""Meta-train on each base dataset, test on all: the matrix of generalisation (Kirsch et al. 2022, table 2)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from baselines.studies.study import Finding, Record, Study, Table, Verdict, by, learners
from baselines.studies.together import Trained
from gpicl_bench import evaluate, make, registry
from gpicl_bench.errors import DataUnavailable


def measure(run: Trained, asked: int) -> dict[str, Any]:
    """The score on unseen tasks of every suite of the same shape and transforms whose images are here."""
    own = run.settings.made_suite
    scores, missing = {}, {}
    for id, spec in registry.items():
        if (spec.input, spec.label, spec.deprecated) != (own.spec.input, own.spec.label, None):
            continue
        try:
            suite = make(id, num_examples=own.info.T)
            if (suite.info.D, suite.info.C) != (own.info.D, own.info.C):
                continue
            result = evaluate(run.learner(suite.info), suite, asked, audit="off")
        except DataUnavailable as error:
            missing[id] = error.what
        else:
            low, high = result.score_interval
            scores[id] = [round(float(v), 4) for v in (result.score, low, high)]
    return {"scores": scores, "missing": missing}


def matrix(records: Sequence[Record]) -> tuple[list[str], list[str], np.ndarray]:
    """The suites of meta-training, those of the test, and the mean score over seeds `[trained, tested]`."""
    groups = {suite: group for (suite,), group in by(records, "suite").items()}
    tested = list(dict.fromkeys(id for r in records for id in r.measured["scores"]))
    tested.sort(key=lambda id: (id not in groups, list(groups).index(id) if id in groups else 0))
    means = [
        [_mean([r.measured["scores"][id][0] for r in group if id in r.measured["scores"]]) for id in tested]
        for group in groups.values()
    ]
    return list(groups), tested, np.array(means)


def tables(records: Sequence[Record]) -> list[Table]:
    """The matrix of each learner."""
    found = []
    for learner, own in learners(records, "suite").items():
        trained, tested, scores = matrix(own)
        counts = {suite: len(group) for (suite,), group in by(own, "suite").items()}
        rows = [
            [_short(id), str(counts[id]), *[f"{v:.3f}" if np.isfinite(v) else "–" for v in row]]
            for id, row in zip(trained, scores, strict=True)
        ]
        title = f"Score on unseen tasks, held-out images ({learner}): columns are the base datasets of the test"
        found.append(Table(title, ["meta-trained on", "seeds", *[_short(id) for id in tested]], rows))
    return found


def findings(records: Sequence[Record]) -> list[Finding]:
    """Whether what was learned on one dataset serves another, for each learner."""
    return [finding for learner, own in learners(records, "suite").items() for finding in _of_learner(learner, own)]


def _of_learner(learner: str, records: Sequence[Record]) -> list[Finding]:
    trained, tested, scores = matrix(records)
    shares, told = [], []
    for row, source in enumerate(trained):
        for column, target in enumerate(tested):
            home = trained.index(target) if target in trained else None
            known = home is not None and home != row and np.isfinite(scores[row, column])
            if known and scores[home, column] > 0.05:
                share = scores[row, column] / scores[home, column]
                shares.append(share)
                told.append(f"{_short(source)} → {_short(target)} {share:.2f}")
    if not shares:
        return []
    least = int(np.argmin(shares))
    here = f"median {np.median(shares):.2f} of the score of who was trained there; least: {told[least]}"
    claim = f"What is learned on tasks of one base dataset serves the tasks of others ({learner})"
    verdict: Verdict = "reproduced" if np.median(shares) > 0.5 else "not reproduced"
    return [Finding(claim, "MNIST → Fashion-MNIST .62 where Fashion-MNIST → MNIST has .65", here, verdict)]


def draw(records: Sequence[Record], figure: Any) -> None:
    """The matrix as a map, one below the other for each learner."""
    apart = learners(records, "suite")
    sizes = [(len(tested), len(trained)) for trained, tested, _ in map(matrix, apart.values())]
    width, height = max(size[0] for size in sizes), sum(size[1] for size in sizes)
    figure.set_size_inches(2.5 + 1.1 * width, 1.6 * len(apart) + 0.6 * height)
    for panel, (learner, own) in zip(figure.subplots(len(apart), 1, squeeze=False)[:, 0], apart.items(), strict=True):
        _draw_matrix(panel, learner, own)


def _draw_matrix(panel: Any, learner: str, records: Sequence[Record]) -> None:
    trained, tested, scores = matrix(records)
    panel.imshow(scores, vmin=0, vmax=1, cmap="YlGnBu", aspect="auto")
    for (row, column), value in np.ndenumerate(scores):
        colour = "white" if value > 0.6 else "black"
        panel.text(column, row, f"{value:.2f}" if np.isfinite(value) else "–", ha="center", va="center", color=colour)
    panel.set_xticks(range(len(tested)), [_short(id) for id in tested], rotation=20, ha="right")
    panel.set_yticks(range(len(trained)), [_short(id) for id in trained])
    panel.set(xlabel="tested on unseen tasks of", ylabel="meta-trained on", title=f"Score ({learner})")


def _mean(scores: list[float]) -> float:
    return float(np.mean(scores)) if scores else np.nan


def _short(id: str) -> str:
    return id.partition("-")[0]


STUDY = Study(
    name="transfer",
    version=1,
    question="Does what is learned on the tasks of one base dataset serve the tasks of another?",
    measure=measure,
    tables=tables,
    draw=draw,
    findings=findings,
)
