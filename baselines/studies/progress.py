"""How the grid fills: a bar of all steps on a terminal, and a line for each group that has finished."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from baselines.studies.grid import Cell
from baselines.studies.running import Report

SYMBOLS = {"waiting": "·", "step": "▸", "finished": "■", "failed": "✗"}


@contextmanager
def filling(title: str, cells: Sequence[Cell]) -> Iterator[Report]:
    """Yields the `report` of `run_study`."""
    console, states = Console(stderr=True, highlight=False), dict.fromkeys([c.name for c in cells], "waiting")
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeElapsedColumn(), TextColumn("left"),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(title, total=sum(cell.settings.training.steps for cell in cells))
        gone = dict.fromkeys(states, 0)

        def report(state: str, group: Sequence[Cell], step: int) -> None:
            for cell in group:
                states[cell.name] = state
                gone[cell.name] = step if state == "step" else cell.settings.training.steps
            progress.update(task, completed=sum(gone.values()))
            if state == "step" and step:
                first = group[0]
                told = f"{len(group)} runs, step {step:,} of {first.settings.training.steps:,}"
                progress.update(task, description=f"{title}: {told}")
            elif group and "step" not in states.values():  # a group is through
                done = sum(s == "finished" for s in states.values())
                line = f"{_map(cells, states)}  {done}/{len(cells)}"
                console.print(line, markup=False, soft_wrap=True)

        yield report


def _map(cells: Sequence[Cell], states: dict[str, str]) -> str:
    """One symbol a cell, in the order of the grid, a space where the first axis after the model moves on."""
    line, before = "", None
    for cell in cells:
        values = [value for axis, value in cell.axes.items() if axis != "seed"]
        place = values[:2]
        line += " " if before not in (None, place) else ""
        line += SYMBOLS[states[cell.name]]
        before = place
    return line
