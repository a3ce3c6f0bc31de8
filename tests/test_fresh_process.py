"""What must hold in a process that runs the package as users do: no type checks, nothing imported before."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT


def run(program, **variables):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_import_is_light():
    """No heavy package; the time is a user's concern: `python -X importtime -c 'import gpicl_bench'`."""
    heavy = "jax tensorflow tensorflow_datasets sklearn scipy gymnasium pydantic rich joblib pooch PIL torch"
    program = f"import sys, gpicl_bench; print([m for m in '{heavy}'.split() if m in sys.modules])"
    assert run(program).strip() == "[]"


def test_global_generators_are_left_alone():
    program = """
import random, jax, numpy as np, gpicl_bench  # importing JAX draws from `random`: not ours to mend
from sklearn.ensemble import RandomForestClassifier
def states():
    return random.getstate(), np.random.get_state()[1].tobytes(), np.random.get_state()[2]
before = states()
suite = gpicl_bench.make("digits-proj-perm-v0")
suite.meta_train.batch(0, 2, num_tasks=3)
suite.meta_train.sampler(2)(0)
result = gpicl_bench.evaluate(RandomForestClassifier(2), suite, num_tasks=2, positions=[0, 20])
result.log_loss_interval
assert states() == before
np.random.random()
assert states() != before
"""
    run(program)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ("gpicl_bench.make(None)", "MalformedId"),
        ("gpicl_bench.make(['digits-proj-perm-v0'])", "MalformedId"),
        ("gpicl_bench.make('digits-proj-perm-v0', num_examples='9')", "InvalidArgument"),
        (
            """gpicl_bench.SuiteSpec.from_json('{"id": "digits-proj-perm-v0", "num_examples": "9"}')""",
            "InvalidArgument",
        ),
        ("gpicl_bench.evaluate(print, 7)", "InvalidArgument"),
        ("gpicl_bench.register_dataset(None, ([[1]], [0]), ([[1]], [0]))", "InvalidArgument"),
        ("gpicl_bench.overlap(None)", "InvalidArgument"),
        ("gpicl_bench.register_dataset('mine', ([[1], [2]], [0, 1]), ([[1]], [0]), 'no')", "InvalidArgument"),
        ("gpicl_bench.register_dataset('mine', None, ([[1]], [0]))", "InvalidArgument"),
        ("gpicl_bench.register_dataset('mine', [[1], [0], [2]], ([[1]], [0]))", "InvalidArgument"),
        ("gpicl_bench.evaluate(print, 'digits-proj-perm-v0', num_tasks=2.5)", "InvalidArgument"),
        ("gpicl_bench.evaluate(print, 'digits-proj-perm-v0', positions=[1.0])", "InvalidArgument"),
        ("gpicl_bench.evaluate(print, 'digits-proj-perm-v0', positions=7)", "InvalidArgument"),
        ("gpicl_bench.evaluate(lambda a, b, c: b, 'digits-proj-perm-v0', workers=2.0)", "InvalidArgument"),
        ("gpicl_bench.evaluate(lambda a, b, c: b, 'digits-proj-perm-v0', workers='2')", "InvalidArgument"),
        ("gpicl_bench.evaluate(lambda a, b, c: b, 'digits-proj-perm-v0', workers=None)", "InvalidArgument"),
        ("gpicl_bench.evaluate(lambda a, b, c: b, 'digits-proj-perm-v0', checkpoint=7)", "InvalidArgument"),
        ("gpicl_bench.evaluate(lambda a, b, c: b, 'digits-proj-perm-v0', audit='slow')", "InvalidArgument"),
        ("gpicl_bench.make('digits-proj-perm-v0').meta_train.batch(0, 2.5)", "InvalidArgument"),
        ("gpicl_bench.make('digits-proj-perm-v0').meta_train.batch(0.5, 2)", "InvalidArgument"),
        ("gpicl_bench.make('digits-proj-perm-v0').meta_train.batch(0, 2, num_tasks=2.5)", "InvalidArgument"),
        ("gpicl_bench.make('digits-proj-perm-v0').meta_train.batch(0, 2, seed='a')", "InvalidArgument"),
        ("gpicl_bench.make('digits-proj-perm-v0').meta_test.episode(1.5)", "InvalidArgument"),
        ("gpicl_bench.make('digits-proj-perm-v0').meta_test.episode('1')", "InvalidArgument"),
        ("gpicl_bench.make('digits-proj-perm-v0').at_round(7)", "InvalidArgument"),
        ("gpicl_bench.make('digits-proj-perm-v0').meta_test.episode(np.array(1.5))", "InvalidArgument"),
        ("gpicl_bench.make('digits-proj-perm-v0').meta_test.episode(np.array([3]))", "InvalidArgument"),
        ("gpicl_bench.Split(gpicl_bench.spec('digits-proj-perm-v0'), 'bogus', 'train')", "InvalidArgument"),
        ("gpicl_bench.Split(gpicl_bench.spec('digits-proj-perm-v0'), 'meta_train', 'all')", "InvalidArgument"),
        ("gpicl_bench.SuiteSpec('digits-proj-perm-v0', fingerprints=None)", "InvalidArgument"),
        ("gpicl_bench.SuiteSpec.from_json(5)", "InvalidArgument"),
        ("gpicl_bench.register(5)", "MalformedId"),
        ("gpicl_bench.audit(print, 5)", "InvalidArgument"),
        ("gpicl_bench.audit(print, 'digits-proj-perm-v0', 'slow')", "InvalidArgument"),
        ("gpicl_bench.make('offline-v0')", "MalformedId"),
        ("gpicl_bench.make('digits-proj-perm-v0').meta_train.sampler(2)(2.5)", "InvalidArgument"),
        ("gpicl_bench.make('digits-proj-perm-v0').meta_train.sampler(2)(None)", "InvalidArgument"),
        (
            "gpicl_bench.load_learner('baselines/ridge.py', gpicl_bench.make('digits-proj-perm-v0').info, ['a'])",
            "LearnerFileError",
        ),
        ("gpicl_bench.benchmark(['offline-v0'])", "SuiteNotFound"),
    ],
)
def test_wrong_types_are_refused(call, kind):
    program = f"""
import gpicl_bench, numpy as np
try:
    {call}
except gpicl_bench.errors.GpiclBenchError as error:
    print(type(error).__name__)
"""
    assert run(program).strip() == kind


def test_the_command_module_is_no_import():
    program = """
import gpicl_bench
try:
    import gpicl_bench.evaluate
except ImportError as error:
    print(error)
print(callable(gpicl_bench.evaluate))
"""
    assert "is a function" in (printed := run(program))
    assert printed.strip().endswith("True")


def test_a_task_is_the_same_in_every_process():
    program = """
import hashlib, gpicl_bench, numpy as np
train = gpicl_bench.make('digits-proj-perm-v0').meta_train
batches = train.batch(17, 2), train.sampler(2)(17)
print({hashlib.sha256(np.asarray(batch.x).tobytes() + np.asarray(batch.y).tobytes()).hexdigest() for batch in batches})
"""
    printed = {run(program, PYTHONHASHSEED=seed, JAX_ENABLE_X64=x64) for seed, x64 in (("1", "0"), ("2", "1"))}
    assert len(printed) == 1
    assert printed.pop().count(",") == 0  # NumPy and JAX agree
