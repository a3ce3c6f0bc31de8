"""What a run shows while it works: a bar with the time left, and a line for each look."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from baselines.run import Row


@contextmanager
def display(title: str, steps: int) -> Iterator[Callable[[Row], None]]:
    """Yields a function that shows a line of metrics; on a terminal, above a bar of all steps."""
    console = Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=steps)

        def report(row: Row) -> None:
            progress.update(task, completed=row["step"])
            console.print(line(row), markup=False, soft_wrap=True)

        yield report


def line(row: Row) -> str:
    """A line of metrics for people; accuracy after T - 1 labelled examples."""
    return (
        f"step {row['step']:>7,}  loss {row['loss']:.3f}  accuracy: seen {row['seen_accuracy']:.3f}, "
        f"validation {row['validation_accuracy']:.3f}  {row['tasks_per_second']:,.0f} tasks/s  {row['seconds']:,.0f} s"
    )
