"""Base datasets: images as uint8, in an order and with a hash that no source can change."""

from gpicl_bench.datasets.arrays import register_dataset, register_file
from gpicl_bench.datasets.loading import load_part
from gpicl_bench.datasets.part import Part
from gpicl_bench.datasets.table import DATASETS, PARTS, Dataset, dataset

__all__ = [
    "DATASETS",
    "PARTS",
    "Dataset",
    "Part",
    "dataset",
    "load_part",
    "register_dataset",
    "register_file",
]
