"""Does a larger state or a larger model go with better learning? Over all models (Kirsch et al. 2022, section 4.3).

State is what the step form carries from one example to the next, in bytes; a cache is counted at its full length T.
Which of the two explains the score better is told by Spearman's rank correlations over configurations (the mean over
seeds is one point), and by the difference of the two with a percentile bootstrap interval over configurations.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from baselines.model import state_bytes
from baselines.settings import model_class
from baselines.studies.study import Finding, Record, Study, Table, Verdict, learners
from baselines.studies.together import Trained
from gpicl_bench import evaluate

RESAMPLES = 2000


class Configuration(NamedTuple):
    """One model at one size."""

    name: str
    model: str
    state: int
    parameters: int
    scores: list[float]

    @property
    def score(self) -> float:
        return float(np.mean(self.scores))


def measure(run: Trained, asked: int) -> dict[str, Any]:
    """The score on unseen tasks, and bytes of state."""
    suite, settings = run.settings.made_suite, run.settings
    result = evaluate(run.learner(suite.info), suite, asked, audit="off")
    low, high = result.score_interval
    return {
        "score": [round(float(v), 4) for v in (result.score, low, high)],
        "accuracy": round(float(result.accuracy[-1]), 4),
        "state_bytes": state_bytes(model_class(settings.model), suite.info, settings.config),
    }


def configurations(records: Sequence[Record]) -> list[Configuration]:
    """Models at their sizes; the seeds of one are one point."""
    found = []
    for name, group in learners(records).items():
        scores = [r.measured["score"][0] for r in group]
        state, parameters = group[0].measured["state_bytes"], group[0].parameters
        found.append(Configuration(name, group[0].axes["model"], state, parameters, scores))
    return found


def correlations(found: Sequence[Configuration]) -> tuple[float, float, tuple[float, float]] | None:
    """Spearman's ρ of score with state and with parameters, and an interval of the first less the second.

    None for fewer than four configurations, or where all have one state, one size or one score.
    """
    columns = np.array([(c.state, c.parameters, c.score) for c in found], float)
    if len(columns) < 4 or any(len(set(column)) < 2 for column in columns.T):
        return None
    rng, differences = np.random.default_rng(0), []
    while len(differences) < RESAMPLES:
        rows = columns[rng.integers(len(columns), size=len(columns))]
        if all(len(set(column)) > 1 for column in rows.T):
            state, parameters = _both(rows)
            differences.append(state - parameters)
    low, high = np.percentile(differences, [2.5, 97.5])
    state, parameters = _both(columns)
    return state, parameters, (float(low), float(high))


def tables(records: Sequence[Record]) -> list[Table]:
    """A line for each configuration, best first."""
    found = sorted(configurations(records), key=lambda c: -c.score)
    head = ["model", "bytes of state", "parameters", "seeds", "score", "least to most"]
    rows = [
        [c.name, f"{c.state:,}", f"{c.parameters:,}", str(len(c.scores)), f"{c.score:.3f}",
         f"{min(c.scores):.3f} to {max(c.scores):.3f}"]
        for c in found
    ]  # fmt: skip
    return [Table("Score on unseen tasks, held-out images", head, rows)]


def findings(records: Sequence[Record]) -> list[Finding]:
    """Which of the two goes with the score."""
    found = configurations(records)
    both = correlations(found)
    claim = "A larger state, not more parameters, goes with better learning"
    if both is None:
        return [Finding(claim, "state", "too few configurations to tell", "open")]
    state, parameters, (low, high) = both
    here = (
        f"ρ = {state:.2f} with state, {parameters:.2f} with parameters, over {len(found)} configurations; "
        f"difference {state - parameters:.2f} ({low:.3f} to {high:.3f})"
    )
    return [Finding(claim, "state", here, _verdict(state, low, high))]


def _verdict(state: float, low: float, high: float) -> Verdict:
    """State goes with the score, and better than parameters do."""
    if high < 0 or state <= 0:
        return "not reproduced"
    return "reproduced" if low > 0 else "open"


def draw(records: Sequence[Record], figure: Any) -> None:
    """Score against either, one colour a model."""
    figure.set_size_inches(10, 4)
    found, both = configurations(records), correlations(configurations(records))
    panels = figure.subplots(1, 2, sharey=True)
    kinds = (("state", "bytes of state"), ("parameters", "parameters"))
    for panel, (name, label), rho in zip(panels, kinds, both[:2] if both else (None, None), strict=True):
        for number, model in enumerate(dict.fromkeys(c.model for c in found)):
            own = sorted((c for c in found if c.model == model), key=lambda c: getattr(c, name))
            x = [getattr(c, name) for c in own]
            panel.plot(x, [c.score for c in own], "o", color=f"C{number}", label=model)
            for place, c in zip(x, own, strict=True):
                panel.plot([place] * len(c.scores), c.scores, ".", color=f"C{number}", alpha=0.4)
        title = f"Spearman's ρ = {rho:.2f}" if rho is not None else ""
        panel.set(xlabel=label, xscale="log", title=title)
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("score on unseen tasks")
    panels[0].legend(frameon=False, fontsize="x-small")


def _both(columns: np.ndarray) -> tuple[float, float]:
    state, parameters, score = columns.T
    return float(stats.spearmanr(state, score).statistic), float(stats.spearmanr(parameters, score).statistic)


STUDY = Study(
    name="state-size",
    version=1,
    question="Does what a model can carry in its state, or how many parameters it has, explain how well it learns?",
    measure=measure,
    tables=tables,
    draw=draw,
    findings=findings,
)
