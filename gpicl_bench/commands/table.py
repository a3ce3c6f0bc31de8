"""Results on a terminal."""

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from gpicl_bench.evaluation import Result
from gpicl_bench.evaluation.storage import digest

_SHOWN = (0, 1, 2, 5, 10, 20, 50)
_BAR = 30


def print_result(result: Result, path: Path | None) -> None:
    """The learning curve with its intervals, the score, and what the numbers rest on."""
    setting, console = result.setting, Console(highlight=False, soft_wrap=True)
    console.print(_curve(result))
    if result.score is not None and result.score_interval is not None:
        meaning = "area under the curve: chance 0, perfect 1"
        console.print(f"score       {_number(result.score)} {_interval(result.score_interval)}   {meaning}")
    if result.total_bits is not None and result.total_bits_interval is not None:
        console.print(f"log-loss    {result.total_bits:.1f} {_interval(result.total_bits_interval, 1)} bits an episode")
    console.print(
        f"tasks       {setting.num_tasks:,} of {setting.task_set}, {_of_record(result)}; 95% intervals over tasks"
    )
    console.print(f"labels      {_evidence(result)}")
    console.print(f"fingerprint {setting.fingerprint[:16]}…   digest {digest(result)[:16]}…")
    times = result.times
    console.print(f"time        {times.total:.1f} s: tasks {times.tasks:.1f} s, learner {times.learner:.1f} s")
    if path is not None:
        console.print(f"written to  {path}")
    console.print()


def print_mean(id: str, results: list[Result]) -> None:
    """A benchmark's score: the mean over its suites, all of which have been run."""
    scores = [result.score for result in results if result.score is not None]
    if len(scores) == len(results):
        print(f"{id}: score {_number(float(np.mean(scores)))}, the mean over {len(scores)} suites")
    else:
        print(f"{id}: no score, it needs every position")


def _curve(result: Result) -> Table:
    table = Table(title=f"{result.learner.name} on {result.setting.suite}", title_justify="left")
    table.add_column("k", justify="right")
    table.add_column("accuracy@k")
    table.add_column("95% interval")
    table.add_column("")
    if result.mean_log_loss is not None:
        table.add_column("log-loss@k, nats")
    last = result.setting.positions[-1]
    few = len(result.setting.positions) <= len(_SHOWN) + 1
    for column, k in enumerate(result.setting.positions):
        if few or k in _SHOWN or k == last:
            row = [str(k), _number(result.accuracy[column]), _interval(result.accuracy_interval[column])]
            row.append("█" * round(_BAR * result.accuracy[column]))
            if result.mean_log_loss is not None and result.log_loss_interval is not None:
                row.append(f"{result.mean_log_loss[column]:.3f} {_interval(result.log_loss_interval[column])}")
            table.add_row(*row)
    return table


def _number(value: float) -> str:
    return f"{value:.3f}"


def _interval(bounds: "tuple[float, float] | np.ndarray", digits: int = 3) -> str:
    if np.isnan(bounds[0]):
        return "(one task: no interval)"
    return f"({bounds[0]:.{digits}f} to {bounds[1]:.{digits}f})"


def _of_record(result: Result) -> str:
    kind = result.setting.of_record
    return {"record": "of record", "quick": "the quick form of the evaluation of record", "no": "not of record"}[kind]


def _evidence(result: Result) -> str:
    if result.learner.withholds_labels:
        return f"withheld by the harness until predicted ({result.learner.form} form)"
    return "NOT AUDITED: a sequence learner is given every label of an episode"
