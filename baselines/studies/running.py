"""Running a study: the cells that are not finished, in groups that train together."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax

from baselines.studies.folder import KEPT, entered, finished, write_failed, write_finished
from baselines.studies.grid import Cell
from baselines.studies.study import Record, Study
from baselines.studies.together import AT_ONCE, DoesNotFit, Trained, forget, program, train_together
from gpicl_bench.errors import GpiclBenchError

Report = Callable[[str, Sequence[Cell], int], None]


def run_study(study: Study, scale: str, cells: Sequence[Cell], asked: int, folder: Path, report: Report) -> None:
    """Train and measure the cells that are not finished yet, and keep each as a file.

    Args:
        study: the question.
        scale: its name.
        cells: of the grid.
        asked: tasks or episodes that are asked of each learner.
        folder: of this study and scale, or new.
        report: called with `finished`, `failed` or `step`, the cells concerned, and the steps done.

    Raises:
        StudyError, TrainingError: the folder cannot be used; nothing in it was changed.
        CheckpointError: it cannot be written, as on a full disk.
    """
    finished(folder, cells)  # before anything is written
    with entered(folder, study, scale):
        done = finished(folder, cells)
        report("finished", [cell for cell in cells if cell.name in done], 0)
        for group in groups([cell for cell in cells if cell.name not in done]):
            _run_group(study, group, asked, folder, report)
        forget(folder / KEPT)


def groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Cells of one program together, as many as a device takes well."""
    together: dict[str, list[Cell]] = {}
    for cell in cells:
        together.setdefault(program(cell.settings), []).append(cell)
    most = AT_ONCE[jax.default_backend()] * jax.device_count()
    return [part for group in together.values() for part in _parts(group, most)]


def _run_group(study: Study, group: list[Cell], asked: int, folder: Path, report: Report) -> None:
    """One group: halved as long as it does not fit; whatever fails in it is kept as failed."""
    report("step", group, 0)
    try:
        trained = train_together(
            [cell.settings for cell in group],
            folder / KEPT,
            lambda step: report("step", group, step),
            study.enough,
        )
    except Exception as error:  # the boundary: one group's defect is not the others'
        if of_memory(error) and len(group) > 1:
            for half in halves(group):
                _run_group(study, half, asked, folder, report)
        else:
            _fail(folder, group, error, report)
        return
    # All or none: what the group kept is found again only by the same group.
    measured = [_measured(study, cell, run, asked) for cell, run in zip(group, trained, strict=True)]
    for cell, found in zip(group, measured, strict=True):
        if isinstance(found, Record):
            write_finished(folder, cell, found)
            report("finished", [cell], 0)
        else:
            _fail(folder, [cell], found, report)


def _measured(study: Study, cell: Cell, run: Trained, asked: int) -> Record | Exception:
    begin = time.monotonic()
    try:
        if run.failure:
            raise FloatingPointError(run.failure)
        measured = json.loads(json.dumps(study.measure(run, asked), allow_nan=False))
    except Exception as error:  # the boundary, as above
        return error
    seconds = round(run.seconds + time.monotonic() - begin, 2)
    return Record(cell.name, cell.axes, cell.settings.plain(), measured, run.rows, run.parameters, seconds)


def _fail(folder: Path, group: Sequence[Cell], error: BaseException, report: Report) -> None:
    for cell in group:
        write_failed(folder, cell, told(error))
    report("failed", group, 0)


def told(error: BaseException) -> str:
    """Why something failed, in words."""
    return str(error) if isinstance(error, GpiclBenchError | FloatingPointError) else f"{type(error).__name__}: {error}"


def of_memory(error: BaseException) -> bool:
    """Whether something failed for want of memory."""
    if isinstance(error, jax.errors.JaxRuntimeError):
        return "RESOURCE_EXHAUSTED" in str(error) or "out of memory" in str(error).lower()
    return isinstance(error, DoesNotFit | MemoryError)


def halves(group: Sequence[Cell]) -> Iterator[list[Cell]]:
    """A group in two."""
    return _parts(group, (len(group) + 1) // 2)


def _parts(group: Sequence[Cell], most: int) -> Iterator[list[Cell]]:
    for start in range(0, len(group), most):
        yield list(group[start : start + most])
