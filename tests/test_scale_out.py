"""Several devices, several hosts, and batches in parts: the same updates as one device makes of a whole batch."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from baselines.run import read_metrics, run
from baselines.settings import make_settings
from baselines.training import make_trainer
from gpicl_bench import make
from gpicl_bench.errors import InvalidArgument
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("standard_promotion")

SMALL = {"steps": 6, "every": 2, "batch_size": 16, "num_examples": 5, "warmup": 2, "validation_tasks": 16}
SIZES = {"lstm": {"hidden": 8}, "transformer": {"layers": 1, "width": 8, "heads": 2, "head_size": 4}}
MODELS = sorted(SIZES)


def small(model="lstm", **options):
    return make_settings(model, "digits-tiny", {**SMALL, **SIZES[model], **options})


def command(model, devices, *arguments, **options):
    """The arguments and the environment of `train` on simulated devices."""
    words = [f"--{name.replace('_', '-')}={value}" for name, value in {**SMALL, **SIZES[model], **options}.items()]
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}".strip()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags}
    return {"args": [sys.executable, "-m", "baselines", "train", model, *words, *arguments], "env": environment}


def trained(folder, model, devices, *arguments, **options):
    start = command(model, devices, "--output", str(folder), *arguments, **options)
    return subprocess.run(**start, cwd=folder.parent, capture_output=True, text=True, check=False)


def close(folder, other):
    """The losses of two runs within 1e-5, look by look."""
    rows = [read_metrics(f) for f in (folder, other)]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    for name in ("loss", "validation_loss"):
        ours, theirs = ([row[name] for row in of_run] for of_run in rows)
        assert np.allclose(ours, theirs, rtol=0, atol=1e-5), name
    return True


@pytest.fixture(scope="module")
def alone(tmp_path_factory, standard_promotion):
    """The folder of a run of each model on one device."""
    folder = tmp_path_factory.mktemp("alone")
    for model in MODELS:
        assert run(small(model), folder / model)
    return folder


@pytest.mark.parametrize("model", MODELS)
def test_eight_devices_have_the_losses_of_one(alone, tmp_path, model):
    done = trained(tmp_path / "run", model, 8)
    assert done.returncode == 0, done.stderr
    assert close(alone / model, tmp_path / "run")
    said = [json.loads((folder / "run.json").read_text())["hardware"] for folder in (alone / model, tmp_path / "run")]
    assert said[1] == f"8 × {said[0]}"


def test_a_batch_that_the_devices_do_not_divide_is_refused_before_anything_is_written(tmp_path):
    done = trained(tmp_path / "run", "lstm", 8, accumulate=2, batch_size=40)
    assert done.returncode == 2
    assert "expected: --batch-size a multiple of 16: 8 devices × --accumulate 2\n  got: --batch-size 40" in done.stderr
    assert "what to do: --batch-size 32, or fewer visible devices" in done.stderr
    assert {path.name for path in tmp_path.rglob("*")} <= {"run", ".lock"}


class Stopped(BaseException):
    pass


def stop(row):
    raise Stopped


def test_a_run_goes_on_on_more_devices_also_where_they_do_not_divide_validation(tmp_path):
    settings = {"validation_tasks": 6, "accumulate": 2}
    assert run(small(**settings), tmp_path / "one")
    with pytest.raises(Stopped):
        run(small(**settings), tmp_path / "run", report=stop)
    done = trained(tmp_path / "run", "lstm", 4, "--resume", **settings)
    assert done.returncode == 0, done.stderr
    assert close(tmp_path / "one", tmp_path / "run")


def compiled(accumulate):
    """One update of a batch of 16 in so many parts: what changed, and the memory that it took meanwhile."""
    settings = small("transformer", accumulate=accumulate, warmup=0, num_examples=40, fixed_permutation=0.25)
    trainer, split = make_trainer(settings), make(settings.suite, num_examples=40).meta_train
    batch = jax.tree.map(jnp.asarray, split.batch(0, 16)._replace(task=0, episode=0))
    sampler = jax.tree_util.Partial(lambda batch, step: batch, batch._replace(task=None, episode=None))
    program = jax.jit(trainer.train).lower(sampler, trainer.start(), np.arange(1, dtype=np.int32)).compile()
    state, measured = program(sampler, trainer.start(), np.arange(1, dtype=np.int32))
    return jax.tree.leaves((state.weights, state.optimiser, measured)), program.memory_analysis().temp_size_in_bytes


def test_a_batch_in_parts_makes_the_same_update_with_less_memory():
    whole, most = compiled(1)
    for parts, share in ((2, 0.8), (4, 0.5)):
        divided, memory = compiled(parts)
        for ours, theirs in zip(whole, divided, strict=True):
            assert np.allclose(ours, theirs, atol=1e-6)
        assert memory < share * most


def test_parts_must_divide_the_batch():
    with pytest.raises(InvalidArgument, match=r"(?s)batch_size a multiple of 3.*batch_size = 16.*--accumulate"):
        small(accumulate=3)
