"""Results on a terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gpicl_bench.auditing import Audit
from gpicl_bench.commands.numbers import mean_score
from gpicl_bench.evaluation import Comparison, Result
from gpicl_bench.evaluation.comparison import weakest
from gpicl_bench.evaluation.storage import digest

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_SHOWN = (0, 1, 2, 5, 10, 20, 50)
_BAR = 30


def print_result(result: Result, path: Path | None) -> None:
    """The learning curve with its intervals, the score, and what the numbers rest on."""
    setting, console = result.setting, terminal()
    console.print(_curve(result))
    if result.score is not None and result.score_interval is not None:
        meaning = "area under the curve: chance 0, perfect 1"
        console.print(f"score       {_number(result.score)} {_interval(result.score_interval)}   {meaning}")
    if result.total_bits is not None and result.total_bits_interval is not None:
        console.print(f"log-loss    {result.total_bits:.1f} {_interval(result.total_bits_interval, 1)} bits an episode")
    console.print(
        f"tasks       {setting.num_tasks:,} of {setting.task_set}, {_of_record(result)}; 95% intervals over tasks"
    )
    console.print(f"evidence    {result.evidence}")
    console.print(f"fingerprint {setting.fingerprint[:16]}…   digest {digest(result)[:16]}…")
    times = result.times
    parts = f"tasks {times.tasks:.1f} s, learner {times.learner:.1f} s, audit {times.audit:.1f} s"
    console.print(f"time        {times.total:.1f} s: {parts}")
    if path is not None:
        console.print(f"written to  {path}")
    console.print()


def print_audit(audit: Audit, name: str, suite: str) -> None:
    """Every check, what it compared, and what failed."""
    console = terminal()
    console.print(f"audit of {name} on {suite}: {audit.status}")
    console.print(f"  {'check':16} {'':14} {'comparisons':>11}  tolerance")
    for check in audit.checks:
        compared = f"{check.comparisons:>11,}  {check.tolerance:14}" if check.comparisons else " " * 27
        console.print(f"  {check.name:16} {check.status:14} {compared} {check.detail}")
    console.print(f"{audit.num_tasks} tasks, {audit.comparisons:,} comparisons; --seed {audit.seed} repeats it")


def print_comparison(comparison: Comparison) -> None:
    """Learners by rank with their intervals and tie groups, then every pair."""
    console = terminal()
    first = comparison.learners[0]
    setting, what = first.results[0].setting, "score" if first.at is None else f"accuracy@{first.at}"
    console.print(f"{what} on {setting.suite}, {setting.num_tasks:,} tasks of {setting.task_set}; 95% intervals")
    width = max(len(learner.name) for learner in comparison.learners)
    for group, learner in zip(comparison.groups, comparison.learners, strict=True):
        runs = len(learner.results)
        over_runs = "needs 3 runs" if learner.run_interval is None else _interval(learner.run_interval)
        over_runs = "no meta-training" if learner.untrained else over_runs
        over_tasks = f"{_number(learner.mean)} {_interval(learner.task_interval)} over tasks"
        over_runs = f"{over_runs} over runs, of {runs}"
        console.print(f"  group {group}  {learner.name:{width}}  {over_tasks}; {over_runs}; {learner.evidence}")
    for pair in comparison.pairs:
        verdict = "differs" if pair.differs else "tie"
        numbers = f"{pair.difference:+.4f} {_interval(pair.interval, 4)}  p = {pair.p:.2g}, by Holm {pair.p_holm:.2g}"
        detectable = "no power to tell" if np.isnan(pair.detectable) else f"one pair detects {pair.detectable:.4f}"
        names = f"{pair.first} - {pair.second}"
        console.print(f"  {verdict:7}  {names:{2 * width + 3}}  {numbers}; {detectable}; {pair.method}")
    console.print()


def print_mean(id: str, results: list[Result]) -> None:
    """A benchmark's score: the mean over its suites, all of which have been run."""
    mean = mean_score(results)
    if mean is None:
        print(f"{id}: no score, it needs every position")
    else:
        print(f"{id}: score {_number(mean)}, the mean over {len(results)} suites; {weakest(results)}")


def _curve(result: Result) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{result.learner.name} on {result.setting.suite}"), title_justify="left")
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


def terminal() -> "Console":
    """Text as it is: names and paths may hold brackets."""
    from rich.console import Console  # here: the doctor tells where it is not installed

    return Console(highlight=False, soft_wrap=True, markup=False, emoji=False)


def _number(value: float) -> str:
    return f"{value:.3f}"


def _interval(bounds: "tuple[float, float] | np.ndarray", digits: int = 3) -> str:
    if np.isnan(bounds[0]):
        return "(one task: no interval)"
    return f"({bounds[0]:.{digits}f} to {bounds[1]:.{digits}f})"


def _of_record(result: Result) -> str:
    kind = result.setting.of_record
    return {"record": "of record", "quick": "the quick form of the evaluation of record", "no": "not of record"}[kind]
