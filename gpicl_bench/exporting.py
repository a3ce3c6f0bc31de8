"""Episodes for other programs: a split as a map-style dataset, and as a file of arrays."""

import errno
import math
import os
import secrets
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, SupportsIndex, overload

import numpy as np
from jaxtyping import Float32, Int32

from gpicl_bench.errors import ExportError, IndexOutOfRange, InvalidArgument, check_integer

if TYPE_CHECKING:
    from gpicl_bench.suite import Split

LENGTH = 2**63 - 1  # what len() can say, and int64 can hold; tasks have more numbers
_FIRST_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file knows


class Item(NamedTuple):
    """Episode 0 of a task, as an element of a dataset."""

    x: Float32[np.ndarray, "T D"]
    y: Int32[np.ndarray, " T"]
    task: int
    label_map: Int32[np.ndarray, " C"]


@dataclass(frozen=True)
class TaskSlice:
    """Some tasks of a split, `split[first:end:step]`: a finite dataset, indexed as a list is."""

    split: "Split"
    numbers: range

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Item: ...

    @overload
    def __getitem__(self, index: slice) -> "TaskSlice": ...

    def __getitem__(self, index: object) -> "Item | TaskSlice":
        """Episode 0 of the task at an index; of a slice, fewer tasks."""
        if isinstance(index, slice):
            return TaskSlice(self.split, _sliced(self.numbers, index))
        try:
            number = self.numbers[_integer(index)]
        except IndexError as error:
            raise _outside(index, len(self)) from error
        return _item(self.split, number)


def element(split: "Split", index: object) -> Item | TaskSlice:
    """What `split[index]` is."""
    if not isinstance(index, slice):
        return _item(split, _counted(index))
    for end in (index.start, index.stop, index.step):
        if end is not None:
            _counted(end)
    return TaskSlice(split, _sliced(range(LENGTH), index))


def _sliced(numbers: range, index: slice) -> range:
    try:
        return numbers[index]
    except (TypeError, ValueError) as error:
        raise InvalidArgument("this is no slice", expected="integers, the last not 0", got=repr(index)) from error


def _counted(index: object) -> int:
    """An index from the beginning: a split has no end from which to count."""
    number = _integer(index)
    if not 0 <= number < LENGTH:
        raise _outside(index, LENGTH)
    return number


def _integer(index: object) -> int:
    """Of any size: one that is too large is out of range, as it is for a list."""
    size = abs(index) if isinstance(index, int) else LENGTH
    return check_integer("an index", index, -max(size, 2**64), max(size, 2**64))


def _outside(index: object, length: int) -> IndexOutOfRange:
    return IndexOutOfRange("there is no such element", expected=f"an index from 0 to {length - 1}", got=repr(index))


def _item(split: "Split", i: int) -> Item:
    episode = split.episode(i)
    return Item(episode.x, episode.y, i, split.label_map(i))


def write_npz(split: "Split", path: object, num_tasks: int, first: int) -> None:
    """What `split.to_npz` does."""
    num_tasks = check_integer("num_tasks", num_tasks, 1, 2**32 - 1)
    first = check_integer("first", first, 0, 2**64 - num_tasks)
    if not isinstance(path, str | os.PathLike):
        raise InvalidArgument("this is no path", expected="a path of a file", got=repr(path))
    where = Path(os.fspath(path))
    members = list(_members(split, range(first, first + num_tasks)))
    try:
        _check_place(where, sum(member.size for member in members))
        _write_beside(where, members)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ExportError(
            "the episodes cannot be written", got=reason, where=str(where), hint="choose another path"
        ) from error


def _write_beside(where: Path, members: Iterable["_Member"]) -> None:
    """Under another name first, so that a half-written file is never seen."""
    scratch = where.with_name(f".{secrets.token_hex(8)}.partial")  # short: a name may be as long as names can be
    scratch.touch(exist_ok=False)
    try:
        with scratch.open("wb") as file:
            _write(file, members)
            file.flush()
            os.fsync(file.fileno())
        _check_place(where, 0)  # it took a while
        scratch.replace(where)
    finally:
        scratch.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Member:
    """An array of the file: its pieces, in order, are made when they are written."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    pieces: Callable[[], Iterable[np.ndarray]]

    @property
    def size(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)


def _members(split: "Split", numbers: range) -> Iterator[_Member]:
    n, info = len(numbers), split.info
    each: dict[str, tuple[str, tuple[int, ...], Callable[[int], np.ndarray]]] = {
        "x": ("<f4", (info.T, info.D), lambda i: split.episode(i).x),
        "y": ("<i4", (info.T,), split.labels),
        "label_map": ("<i4", (info.C,), split.label_map),
        "task": ("<u8", (), lambda i: np.array(i, np.uint64)),
    }
    for name, (dtype, shape, make) in each.items():
        yield _Member(name, np.dtype(dtype), (n, *shape), partial(map, make, numbers))
    from gpicl_bench.suite import PROTOCOL

    protocol = np.array(PROTOCOL, np.int32)
    yield _Member("protocol", np.dtype("<i4"), (), lambda: [protocol])
    about = {
        "suite": split.spec.id,
        "task_set": split.task_set,
        "images": split.images,
        "fingerprint": split.fingerprint,
    }
    for name, text in about.items():  # bytes: few languages read NumPy's own strings
        content = np.frombuffer(text.encode(), np.uint8)
        yield _Member(name, content.dtype, content.shape, partial(iter, [content]))


def _write(file: IO[bytes], members: Iterable[_Member]) -> None:
    """An npz file that has the same bytes everywhere: not compressed, without the time, without the machine."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for member in members:
            about = zipfile.ZipInfo(f"{member.name}.npy", _FIRST_DATE)
            about.create_system, about.external_attr = 3, 0o644 << 16
            large = member.size > zipfile.ZIP64_LIMIT - 2**16
            with archive.open(about, "w", force_zip64=large) as out:
                header = {"descr": member.dtype.str, "fortran_order": False, "shape": member.shape}
                np.lib.format.write_array_header_1_0(out, header)
                for piece in member.pieces():
                    out.write(piece.astype(member.dtype).tobytes())


def _check_place(path: Path, size: int) -> None:
    """Raise OSError where there is a file, or no room for one."""
    if os.path.lexists(path):
        raise OSError(errno.EEXIST, "there is a file already, and it is kept")
    free = shutil.disk_usage(path.parent).free
    if size > free:
        raise OSError(errno.ENOSPC, f"the episodes have {size:,} bytes, and the disk has room for {free:,}")
