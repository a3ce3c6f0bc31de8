"""Small files in the formats in which base datasets are published, written independently of the package's readers."""

import gzip
import io
import struct
import tarfile
import zipfile

import numpy as np
from scipy.io import savemat


def idx_bytes(array):
    """IDX: 0, 0, 8 for bytes, the rank, the sizes as big-endian 32-bit integers, the bytes; gzipped."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def write_idx(folder, part, images, labels):
    stem = {"train": "train", "test": "t10k"}[part]
    (folder / f"{stem}-images-idx3-ubyte.gz").write_bytes(idx_bytes(images[..., 0]))
    (folder / f"{stem}-labels-idx1-ubyte.gz").write_bytes(idx_bytes(labels))


def write_emnist(folder, parts):
    with zipfile.ZipFile(folder / "gzip.zip", "w") as archive:
        for part, (images, labels) in parts.items():
            archive.writestr(f"gzip/emnist-balanced-{part}-images-idx3-ubyte.gz", idx_bytes(images[..., 0]))
            archive.writestr(f"gzip/emnist-balanced-{part}-labels-idx1-ubyte.gz", idx_bytes(labels))
            archive.writestr(f"gzip/emnist-letters-{part}-labels-idx1-ubyte.gz", idx_bytes(labels + 1))


def write_cifar10(folder, parts):
    """A byte of label, 1,024 of red, of green, of blue, row by row; train in five batches."""
    (train_x, train_y), (test_x, test_y) = parts["train"], parts["test"]
    batches = {f"data_batch_{i + 1}": (train_x[i::5], train_y[i::5]) for i in range(5)} | {
        "test_batch": (test_x, test_y)
    }
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        add(archive, "cifar-10-batches-bin/readme.html", b"<html>")
        for name, (images, labels) in batches.items():
            records = b"".join(
                bytes([y]) + b"".join(x[..., channel].tobytes() for channel in range(3))
                for x, y in zip(images, labels, strict=True)
            )
            add(archive, f"cifar-10-batches-bin/{name}.bin", records)


def add(archive, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def write_svhn(folder, part, images, labels):
    coded = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]
    savemat(folder / f"{part}_32x32.mat", {"X": np.moveaxis(images, 0, -1), "y": coded}, do_compression=True)


def write_cmaterdb(folder, part, images, labels):
    name = {"train": "training", "test": "testing"}[part]
    np.savez_compressed(folder / f"{name}-images.npz", images=images, labels=labels)


WRITERS = {
    "kmnist": write_idx,
    "svhn_cropped": write_svhn,
    "cmaterdb_devanagari": write_cmaterdb,
    "cmaterdb_telugu": write_cmaterdb,
    "emnist": write_emnist,
    "cifar10": write_cifar10,
}
WHOLE = (write_emnist, write_cifar10)  # both parts in one archive


def write(name, folder, parts):
    """The published files of a dataset, with these images and labels by part."""
    writer = WRITERS[name]
    if writer in WHOLE:
        writer(folder, parts)
    else:
        for part, arrays in parts.items():
            writer(folder, part, *arrays)
