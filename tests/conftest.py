"""Every annotation of the package is executed while the tests run, and JAX promotes nothing silently."""

import os
import tempfile
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("GPICL_BENCH_CACHE", tempfile.mkdtemp(prefix="gpicl_bench-tests-"))
# Most of the tests' time would go into compiling the same programs again, also in processes that they start.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", tempfile.mkdtemp(prefix="gpicl_bench-compiled-"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

from jaxtyping import install_import_hook  # noqa: E402

with install_import_hook(["gpicl_bench", "baselines"], "beartype.beartype"):
    import baselines.commands
    import baselines.curve
    import baselines.learner
    import baselines.meeting
    import baselines.run  # noqa: F401
    import gpicl_bench  # noqa: F401
    import gpicl_bench.commands
    import gpicl_bench.envs
    import gpicl_bench.exporting
    import gpicl_bench.leaderboard.submission
    import gpicl_bench.leaderboard.verification
    import gpicl_bench.learners.callable
    import gpicl_bench.learners.classifier
    import gpicl_bench.learners.step
    import gpicl_bench.learners.threads
    import gpicl_bench.sampling  # noqa: F401

import hypothesis  # noqa: E402
import jax  # noqa: E402
import pytest  # noqa: E402

from gpicl_bench.datasets import arrays, table  # noqa: E402
from gpicl_bench.registration import _suites  # noqa: E402

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile("default", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("default")

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """No test downloads anything but from this machine: every proxy is a closed port."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    monkeypatch.setenv("GPICL_BENCH_DATA", "")


@pytest.fixture(scope="module")
def standard_promotion():
    """For what optax computes: it mixes integers and floats. The models are tested under strict promotion."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="session")
def prepared_or_none():
    """The folder of prepared datasets, or None."""
    folder = os.environ.get("TFDS_DATA_DIR")
    return Path(folder) if folder and (Path(folder) / "mnist").is_dir() else None


@pytest.fixture(scope="session")
def prepared_data(prepared_or_none):
    """The folder of prepared datasets, or a skip."""
    if prepared_or_none is None:
        pytest.skip("no real data: TFDS_DATA_DIR names no folder with a prepared mnist")
    return prepared_or_none


@pytest.fixture
def no_back_off(monkeypatch):
    """Pooch waits a second, then two, before it tries a download again."""
    monkeypatch.setattr("pooch.core.time", SimpleNamespace(sleep=lambda seconds: None))


@pytest.fixture
def forget():
    """What a test registers is gone after it."""
    changed = (table._rows, arrays.REGISTERED, _suites)
    before = [dict(known) for known in changed]
    yield
    for known, content in zip(changed, before, strict=True):
        known.clear()
        known.update(content)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    """An empty cache folder, for this test alone."""
    monkeypatch.setenv("GPICL_BENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
