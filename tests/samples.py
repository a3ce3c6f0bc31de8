"""What several tests draw from: suites at hand, splits, numbers, and arrays as they are hashed."""

import os
from pathlib import Path

from hypothesis import strategies as st

import gpicl_bench

BUNDLED = [id for id, spec in gpicl_bench.registry.items() if spec.dataset in ("digits", "random")]
REAL = [id for id, spec in gpicl_bench.registry.items() if id not in BUNDLED and len(spec.fingerprints) == 4]


def suites_at_hand():
    """Every built-in suite whose data is on this machine."""
    folder = os.environ.get("TFDS_DATA_DIR")
    return [*BUNDLED, *(REAL if folder and (Path(folder) / "mnist").is_dir() else [])]


def splits(suite):
    return [suite.meta_train, suite.meta_validation, suite.meta_test, suite.seen()]


numbers64 = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 40), st.integers(2**32 - 3, 2**32 + 3))
