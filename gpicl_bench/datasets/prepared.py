"""Reads datasets that TensorFlow Datasets has prepared as array_record: TensorFlow is needed to prepare, not to read.

The folder is `TFDS_DATA_DIR`, or `~/tensorflow_datasets`, as TFDS itself has it.
"""

import importlib.util
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from gpicl_bench.datasets.cache import user_path
from gpicl_bench.datasets.part import Part, canonical
from gpicl_bench.datasets.published import PUBLISHED
from gpicl_bench.datasets.table import Dataset
from gpicl_bench.errors import DataCorrupt, DataUnavailable, InvalidArgument

_CHUNK = 1000
_PATIENCE = 5.0  # seconds


def folder() -> Path:
    """The folder of prepared datasets."""
    return user_path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")


def read(known: Dataset, part: str) -> Part:
    """One part of a prepared dataset.

    Raises:
        DataUnavailable: there is no such folder, or it is in a format that needs TensorFlow.
        DataCorrupt: a file is missing, truncated or altered.
    """
    version = find(known)
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
                    hint=f"prepare it again: tfds build {known.tfds} --file_format=array_record",
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
            f"the prepared dataset {known.tfds} cannot be read",
            expected="the files as TFDS wrote them",
            got=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}",
            where=f"{version}, part {part}",
            hint="prepare or copy the dataset again",
        ) from error
    return canonical(images, labels)


def _chunk(source: Any, start: int, end: int) -> list[dict[str, np.ndarray]]:
    examples: list[dict[str, np.ndarray]] = source.__getitems__(list(range(start, min(start + _CHUNK, end))))
    return examples


def find(known: Dataset) -> Path:
    """The folder of the newest version of a dataset that is prepared.

    Raises:
        DataUnavailable: there is none.
    """
    name = str(known.tfds)
    versions = _versions(known)
    if not versions:
        raise DataUnavailable(
            f"{name} is not prepared",
            expected=f"{folder() / name}/<version>/dataset_info.json, prepared by TensorFlow Datasets as array_record",
            got="TFDS_DATA_DIR is not set" if "TFDS_DATA_DIR" not in os.environ else "no such file",
            hint="set TFDS_DATA_DIR to a folder that holds the prepared dataset (one from another machine will do)",
        )
    return max(versions, key=lambda path: tuple(map(int, path.name.split("."))))


def is_there(known: Dataset) -> bool:
    """Whether a dataset is prepared."""
    return bool(_versions(known))


def _versions(known: Dataset) -> list[Path]:
    places = [path.parent for path in (folder() / str(known.tfds)).glob("*/dataset_info.json")]
    return [place for place in places if re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+", place.name)]


def prepare(known: Dataset) -> None:
    """Let TensorFlow Datasets download and prepare a dataset, where TensorFlow is installed.

    Raises:
        InvalidArgument: TensorFlow Datasets does not have it.
        DataUnavailable: TensorFlow is not there, or the network is not (then TFDS would try for minutes), or it fails.
    """
    if known.tfds is None:
        raise InvalidArgument("TensorFlow Datasets does not have this", expected="a published dataset", got=known.name)
    if importlib.util.find_spec("tensorflow") is None:
        raise DataUnavailable(
            "only TensorFlow prepares datasets",
            expected="the package tensorflow",
            got="it is not installed",
            hint=f"python -m gpicl_bench data fetch {known.name}: the published files need no TensorFlow",
        )
    import requests
    import tensorflow_datasets as tfds

    url = PUBLISHED[known.base or known.name].test[0].url
    try:
        requests.head(url, timeout=_PATIENCE)
        tfds.builder(known.tfds, file_format="array_record", data_dir=folder()).download_and_prepare()
    except Exception as error:  # whatever TFDS, TensorFlow or the network make of it
        raise DataUnavailable(
            f"{known.tfds} cannot be prepared",
            expected="a network, and room on the disk",
            got=f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}",
            where=url,
            hint=f"python -m gpicl_bench data fetch {known.name}",
        ) from error


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
