"""Reads datasets that TensorFlow Datasets has prepared as array_record. TensorFlow is not needed.

The folder is `TFDS_DATA_DIR`, or `~/tensorflow_datasets`, as TFDS itself has it.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gpicl_bench.datasets.cache import user_path
from gpicl_bench.datasets.part import Part, canonical
from gpicl_bench.errors import DataCorrupt, DataUnavailable

_CHUNK = 1000


def folder() -> Path:
    """The folder of prepared datasets."""
    return user_path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def read(name: str, part: str) -> Part:
    """One part of a prepared dataset, `name` as TFDS has it: `mnist`, `cmaterdb/bangla`.

    Raises:
        DataUnavailable: there is no such folder, or it is in a format that needs TensorFlow.
        DataCorrupt: a file is missing, truncated or altered.
    """
    version = _newest_version(name)
    import tensorflow_datasets as tfds

    try:
        with _quiet():
            builder = tfds.builder_from_directory(version)
            if builder.info.file_format.value != "array_record":
                raise DataUnavailable(
                    "this dataset was prepared in a format that only TensorFlow reads",
                    expected="array_record",
                    got=builder.info.file_format.value,
                    where=str(version),
                    hint=f"prepare it again: tfds build {name} --file_format=array_record",
                )
            source = builder.as_data_source(split=part)
            expected = builder.info.splits[part].num_examples
            examples = [e for start in range(0, expected, _CHUNK) for e in _chunk(source, start, expected)]
        images = np.stack([example["image"] for example in examples])
        labels = np.array([example["label"] for example in examples])
    except DataUnavailable:
        raise
    except Exception as error:  # whatever TFDS, array_record or the image decoder make of damaged bytes
        raise DataCorrupt(
            f"the prepared dataset {name} cannot be read",
            expected="the files as TFDS wrote them",
            got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            where=f"{version}, part {part}",
            hint="prepare or copy the dataset again",
        ) from error
    return canonical(images, labels)


def _chunk(source: "object", start: int, end: int) -> list[dict[str, np.ndarray]]:
    examples: list[dict[str, np.ndarray]] = source.__getitems__(list(range(start, min(start + _CHUNK, end))))  # type: ignore[attr-defined]
    return examples


def _newest_version(name: str) -> Path:
    places = [p.parent for p in (folder() / name).glob("*/dataset_info.json")]
    versions = [p for p in places if re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", p.name)]
    if not versions:
        raise DataUnavailable(
            f"the images of {name} are not on this machine",
            expected=f"{folder() / name}/<version>/dataset_info.json, prepared by TensorFlow Datasets as array_record",
            got="TFDS_DATA_DIR is not set" if "TFDS_DATA_DIR" not in os.environ else "no such file",
            hint=(
                "set TFDS_DATA_DIR to a folder that holds the prepared dataset (one from another machine will do); "
                f"or prepare it where TensorFlow is installed: tfds build {name} --file_format=array_record; "
                "or use a suite that needs no data: digits-proj-perm-v0, random-proj-perm-v0"
            ),
        )
    return max(versions, key=lambda path: tuple(map(int, path.name.split("."))))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that TFDS logs while it reads (which image decoder would be faster)."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
