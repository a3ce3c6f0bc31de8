"""The published file formats, one reader each: paths of a part's files -> images and labels, as they stand there.

Archives are read in memory: nothing is ever extracted to disk.
"""

import gzip
import io
import tarfile
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Integer, UInt8

from gpicl_bench.errors import DataCorrupt

Arrays = tuple[Integer[np.ndarray, "n height width channels"], Integer[np.ndarray, " n"]]
Reader = Callable[[Sequence[Path], str], Arrays]

DAMAGE = (  # what libraries make of damaged bytes
    *(OSError, EOFError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, MemoryError, SyntaxError),
    *(tokenize.TokenError, zlib.error, tarfile.TarError, zipfile.BadZipFile),
)


def idx(paths: Sequence[Path], part: str) -> Arrays:
    """Gzipped IDX files (MNIST's format): images, then labels."""
    images, labels = (_idx_array(path.read_bytes(), path.name) for path in paths)
    return images[..., None], labels


def emnist(paths: Sequence[Path], part: str) -> Arrays:
    """EMNIST's zip of gzipped IDX files: the split `balanced`, images as they are published (transposed)."""
    with zipfile.ZipFile(paths[0]) as archive:
        check_members(archive.namelist(), paths[0])
        names = [f"gzip/emnist-balanced-{part}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
        images, labels = (_idx_array(archive.read(name), name) for name in names)
    return images[..., None], labels


def cifar10(paths: Sequence[Path], part: str) -> Arrays:
    """CIFAR-10's binary version, a gzipped tar: records of a label byte and 3×32×32 bytes, channel by channel."""
    numbers = {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}[part]
    with tarfile.open(paths[0], "r:gz") as archive:
        members = {member.name: member for member in archive.getmembers()}
        check_members(members, paths[0])
        batches = []
        for number in numbers:
            file = archive.extractfile(members[f"cifar-10-batches-bin/{number}.bin"])
            if file is None:
                raise DataCorrupt("a batch is no file", got=number, where=str(paths[0]))
            batches.append(np.frombuffer(file.read(), np.uint8).reshape(-1, 1 + 3 * 32 * 32))
    records = np.concatenate(batches)
    return records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), records[:, 0]


def svhn(paths: Sequence[Path], part: str) -> Arrays:
    """SVHN's MATLAB file: X [32, 32, 3, n], y [n, 1], where 10 stands for the digit 0."""
    from scipy.io import loadmat

    content = loadmat(paths[0])
    labels = whole(content["y"])[:, 0]
    if labels.min() < 1 or labels.max() > 10:
        raise DataCorrupt("a label is out of range", expected="1 … 10", got=f"{labels.min()} … {labels.max()}")
    return whole(content["X"]).transpose(3, 0, 1, 2), labels % 10


def cmaterdb(paths: Sequence[Path], part: str) -> Arrays:
    """CMATERdb's npz: images [n, 32, 32, 3] and labels [n]."""
    images, labels = npz(paths[0], ("images", "labels"))
    return whole(images), whole(labels)


def npz(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """The arrays of these names in an npz file; nothing else is read, and nothing pickled."""
    with zipfile.ZipFile(path) as archive:
        members = [name.removesuffix(".npy") for name in archive.namelist()]
        check_members(members, path)
    for name in names:
        if members.count(name) != 1:
            raise DataCorrupt(
                f"the file has {members.count(name)} arrays {name}",
                expected=f"one each of {', '.join(names)}",
                got=", ".join(members),
                where=str(path),
            )
    with np.load(path, allow_pickle=False) as arrays:
        return [array(arrays[name], f"{path}, {name}") for name in names]


def array(loaded: object, where: str) -> np.ndarray:
    """What NumPy has loaded, after a check that it is an array: of other files it makes an archive or bytes."""
    if not isinstance(loaded, np.ndarray):
        raise DataCorrupt("this is no array", expected="NumPy's format", got=type(loaded).__name__, where=where)
    return loaded


def whole(values: np.ndarray) -> Integer[np.ndarray, "..."]:
    """The values as integers, after a check that they are whole numbers."""
    if values.dtype.kind in "iub":
        return values.astype(np.int64) if values.dtype.kind == "b" else values
    if values.dtype.kind != "f" or not np.isfinite(values).all() or (np.abs(values) > np.float64(2**31)).any():
        raise DataCorrupt("a value is no whole number", expected="integers", got=str(values.dtype))
    integers = values.astype(np.int64)
    if (integers != values).any():
        raise DataCorrupt("a value is no whole number", expected="integers", got=str(values[integers != values][0]))
    return integers


def check_members(names: "Sequence[str] | dict[str, tarfile.TarInfo]", path: Path) -> None:
    """Raise DataCorrupt if an archive has a path outside its folder: an honest one has none."""
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or ":" in name:
            raise DataCorrupt("an archive has a path outside its folder", got=repr(name), where=str(path))


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Around a reader: whatever a library makes of damaged bytes becomes the package's error."""
    try:
        yield
    except DataCorrupt as error:
        raise DataCorrupt(error.what, expected=error.expected, got=error.got, where=error.where or where) from error
    except DAMAGE as error:
        got = f"{type(error).__name__}: {error}"
        raise DataCorrupt("a file cannot be read", expected="its published format", got=got, where=where) from error


def _idx_array(content: bytes, name: str) -> UInt8[np.ndarray, "..."]:
    """An IDX array of bytes: 0, 0, type 8, rank, the sizes as big-endian uint32, the values."""
    with gzip.open(io.BytesIO(content)) as file:
        raw = file.read()
    rank = raw[3] if len(raw) > 4 and raw[:3] == b"\0\0\x08" else 0
    shape = tuple(np.frombuffer(raw, ">u4", rank, offset=4).tolist())
    expected = 4 + 4 * rank + int(np.prod(shape, dtype=np.int64))
    if rank == 0 or len(raw) != expected:
        raise DataCorrupt("this is no IDX file of bytes", expected=f"{expected} bytes", got=f"{len(raw)}", where=name)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)
