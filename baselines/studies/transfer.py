"""Meta-train on each base dataset, test on all: the matrix of generalisation (Kirsch et al. 2022, table 2)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from baselines.studies.study import Finding, Record, Study, Table, by
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
        [float(np.mean([r.measured["scores"].get(id, [np.nan])[0] for r in group])) for id in tested]
        for group in groups.values()
    ]
    return list(groups), tested, np.array(means)


def tables(records: Sequence[Record]) -> list[Table]:
    """The matrix."""
    trained, tested, scores = matrix(records)
    head = ["meta-trained on", "seeds", *[_short(id) for id in tested]]
    counts = {suite: len(group) for (suite,), group in by(records, "suite").items()}
    rows = [
        [_short(id), str(counts[id]), *[f"{v:.3f}" if np.isfinite(v) else "–" for v in row]]
        for id, row in zip(trained, scores, strict=True)
    ]
    return [Table("Score on unseen tasks, held-out images: columns are the base datasets of the test", head, rows)]


def findings(records: Sequence[Record]) -> list[Finding]:
    """Whether what was learned on one dataset serves another."""
    trained, tested, scores = matrix(records)
    shares, told = [], []
    for row, source in enumerate(trained):
        for column, target in enumerate(tested):
            home = trained.index(target) if target in trained else None
            if home is not None and home != row and scores[home, column] > 0.05:
                share = scores[row, column] / scores[home, column]
                shares.append(share)
                told.append(f"{_short(source)} → {_short(target)} {share:.2f}")
    if not shares:
        return []
    least = int(np.argmin(shares))
    here = f"median {np.median(shares):.2f} of the score of who was trained there; least: {told[least]}"
    claim = "What is learned on tasks of one base dataset serves the tasks of others"
    verdict: Any = "reproduced" if np.median(shares) > 0.5 else "not reproduced"
    return [Finding(claim, "MNIST → Fashion-MNIST .62 where Fashion-MNIST → MNIST has .65", here, verdict)]


def draw(records: Sequence[Record], figure: Any) -> None:
    """The matrix as a map."""
    trained, tested, scores = matrix(records)
    figure.set_size_inches(2.5 + 1.1 * len(tested), 1.6 + 0.6 * len(trained))
    axes = figure.subplots()
    axes.imshow(scores, vmin=0, vmax=1, cmap="YlGnBu", aspect="auto")
    for (row, column), value in np.ndenumerate(scores):
        colour = "white" if value > 0.6 else "black"
        axes.text(column, row, f"{value:.2f}" if np.isfinite(value) else "–", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(tested)), [_short(id) for id in tested], rotation=20, ha="right")
    axes.set_yticks(range(len(trained)), [_short(id) for id in trained])
    axes.set(xlabel="tested on unseen tasks of", ylabel="meta-trained on", title="Score")


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
