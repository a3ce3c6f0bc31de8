"""Meta-training: what it minimises, what it leaves behind, and that a killed run ends as an uninterrupted one."""

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from baselines.checkpoint import CheckpointError, read_about, read_arrays, write_checkpoint
from baselines.curve import draw
from baselines.learner import restore
from baselines.lstm import Lstm
from baselines.run import TrainingError, best, checkpoints, read_metrics, run
from baselines.settings import MODELS, make_settings
from baselines.training import State, loss, make_tasks, make_trainer, with_fixed_permutation
from baselines.transformer import Transformer
from baselines.vsml import Vsml, VsmlConfig
from gpicl_bench import Batch, Info, evaluate, load_learner, make
from gpicl_bench.errors import InvalidArgument, LearnerFileError
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("standard_promotion")

SMALL = {"steps": 10, "every": 2, "batch_size": 3, "num_examples": 5, "warmup": 2, "validation_tasks": 4}


BLOCKS = {"layers": 1, "width": 8, "heads": 2, "head_size": 4}
SIZES = {"transformer": BLOCKS, "deltanet": BLOCKS, "lstm": {"hidden": 8}, "outer_product_lstm": {"hidden": 8}}
SIZES |= {"vsml": {"hidden": 4, "messages": 2}}


def small(model="lstm", **options):
    return make_settings(model, "digits-tiny", {**SMALL, **SIZES.get(model, {}), **options})


@functools.cache
def recorded(count, batch_size, num_tasks=None, seed=0, tasks="exact"):
    """A sampler that has drawn its first batches beforehand: without it, what is trained on them compiles quickly."""
    sampler = make_tasks(small(batch_size=batch_size, num_tasks=num_tasks, seed=seed, tasks=tasks))
    batches = jax.jit(lambda sampler, steps: jax.lax.map(sampler, steps))(sampler, jnp.arange(count))
    return jax.tree_util.Partial(of_step, batches)


def of_step(batches, step):
    return jax.tree.map(lambda all_of_them: all_of_them[step], batches)


def weights(folder):
    """The bytes of the last checkpoint and of the selected weights."""
    return [path.with_suffix(".safetensors").read_bytes() for path in (checkpoints(folder)[-1], best(folder))]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, standard_promotion):
    """The folder of a finished run, and its settings."""
    folder = tmp_path_factory.mktemp("run") / "finished"
    assert run(small(), folder)
    return folder, small()


def test_the_objective_is_the_mean_cross_entropy_of_all_positions():
    settings = small("transformer")
    trainer = make_trainer(settings)
    state = trainer.start()
    batch = make(settings.suite, num_examples=5).meta_validation.batch(0, 3)
    looked = jax.jit(trainer.look)(state.weights, jax.tree.map(jnp.asarray, batch._replace(task=0, episode=0)))
    model = Transformer(settings.made_suite.info, settings.config, key=jax.random.key(0))
    answer = jax.jit(lambda x, y: model(x, y))
    logits = np.stack([np.asarray(answer(*example), np.float64) for example in zip(batch.x, batch.y, strict=True)])
    chance = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    shown = np.take_along_axis(chance, batch.y[..., None], axis=-1)[..., 0]
    assert float(looked.loss) == pytest.approx(-np.log(shown).mean(), rel=1e-5)
    assert np.allclose(looked.accuracy, (logits.argmax(-1) == batch.y).mean(axis=0))


def test_a_step_is_adam_on_a_clipped_gradient():
    """Two steps against Adam as Kingma and Ba write it, in NumPy, the gradients by JAX."""
    settings = small("transformer", clip=0.05, warmup=0, schedule="constant", adam_epsilon=1e-4)
    trainer, training = make_trainer(settings), settings.training
    sampler, start = recorded(2, training.batch_size), trainer.start()
    state, measured = jax.jit(trainer.train)(sampler, start, jnp.arange(2))
    names, theta = zip(*jax.tree_util.tree_flatten_with_path(start.weights)[0], strict=True)
    structure, by_weights = jax.tree.structure(start.weights), jax.jit(jax.grad(lambda w, b: trainer.look(w, b).loss))
    m, v = [0.0] * len(names), [0.0] * len(names)
    for t in (1, 2):
        batch = sampler(t - 1)
        gradient = by_weights(jax.tree.unflatten(structure, theta), batch)
        gradient = [np.asarray(g, np.float64) for g in jax.tree.leaves(gradient)]
        norm = np.sqrt(sum((g**2).sum() for g in gradient))
        assert float(measured.gradient_norm[t - 1]) == pytest.approx(norm, rel=1e-4)
        gradient = [g * min(1, training.clip / norm) for g in gradient]
        m = [0.9 * a + 0.1 * g for a, g in zip(m, gradient, strict=True)]
        v = [0.999 * a + 0.001 * g**2 for a, g in zip(v, gradient, strict=True)]
        update = [(a / (1 - 0.9**t)) / (np.sqrt(b / (1 - 0.999**t)) + 1e-4) for a, b in zip(m, v, strict=True)]
        theta = [jnp.asarray(w - training.learning_rate * u, jnp.float32) for w, u in zip(theta, update, strict=True)]
    for name, ours, expected in zip(names, jax.tree.leaves(state.weights), theta, strict=True):
        assert np.allclose(ours, expected, atol=2e-5), name


MEMORISES = [(model, "paired") for model in MODELS if model not in ("vsml", "sgd")]
MEMORISES += [(model, "shifted") for model in ("transformer", "lstm", "outer_product_lstm")]


@pytest.mark.parametrize(("model", "tokens"), MEMORISES)
@pytest.mark.parametrize("compute", ["float32", "bfloat16"])
def test_every_model_with_weights_for_it_memorises(model, tokens, compute):
    """The labels of one fixed task: the loss falls well below that of chance."""
    options = {"tokens": tokens, "compute": compute, "num_tasks": 1, "batch_size": 16, "learning_rate": 0.01}
    settings = small(model, **options, warmup=0, schedule="constant")
    trainer = make_trainer(settings)
    state, measured = jax.jit(trainer.train)(recorded(120, 16, num_tasks=1), trainer.start(), jnp.arange(120))
    assert float(measured.loss[0]) > 2.2
    assert float(measured.loss[-5:].mean()) < 1.5
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.weights))


def test_sgd_finds_a_step_size():
    """From one with which it is worse than chance it comes to one with which it is better."""
    settings = small("sgd", step_size=0.3, warmup=0, steps=150, learning_rate=0.1, batch_size=16)
    trainer, sampler = make_trainer(settings), recorded(150, 16)
    state, measured = jax.jit(trainer.train)(sampler, trainer.start(), jnp.arange(150))
    assert float(measured.loss[-10:].mean()) < np.log(10) < float(measured.loss[:10].mean())
    assert np.exp(float(state.weights.log_step_size)) < 0.03


def test_a_grid_of_cells_learns_to_learn():
    """Two classes apart in one of four inputs: VSML leaves ln 2 behind on tasks that are drawn anew in each step."""
    info = Info("two", D=4, C=2, T=10)
    model = Vsml(info, VsmlConfig(hidden=8, messages=4), key=jax.random.key(0))
    weights, static = eqx.partition(model, eqx.is_array)
    optimiser = optax.adam(0.01)

    def tasks(key):
        signs, labels, noise = jax.random.split(key, 3)
        y = jax.random.bernoulli(labels, 0.5, (32, info.T)).astype(jnp.int32)
        direction = jax.random.normal(signs, (32, 1, info.D))
        x = direction * (2.0 * y[..., None] - 1) + 0.3 * jax.random.normal(noise, (32, info.T, info.D))
        return Batch(x, y, None, None, None)

    def update(carry, key):
        weights, state = carry
        value, gradient = jax.value_and_grad(lambda w: loss(static, jnp.dtype("float32"), w, tasks(key))[0])(weights)
        change, state = optimiser.update(gradient, state)
        return (optax.apply_updates(weights, change), state), value

    keys = jax.random.split(jax.random.key(1), 300)
    _, values = jax.jit(lambda carry: jax.lax.scan(update, carry, keys))((weights, optimiser.init(weights)))
    assert float(values[:5].mean()) > 0.6
    assert float(values[-20:].mean()) < 0.4


def test_many_steps_are_the_same_in_one_call_or_in_two():
    trainer, sampler = make_trainer(small()), recorded(4, 3)
    train = jax.jit(trainer.train)
    whole, _ = train(sampler, trainer.start(), jnp.arange(4))
    half, _ = train(sampler, trainer.start(), jnp.arange(2))
    again, _ = train(sampler, half, jnp.arange(2, 4))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True))


def test_the_fixed_permutation_is_that_of_the_base_dataset():
    split = make("digits-proj-perm-v0", num_examples=7).meta_train
    batch = jax.jit(lambda sampler: sampler(3))(split.sampler(5))
    changed = with_fixed_permutation(batch, 2)
    for b in range(5):
        episode, labels = split.episode(15 + b), split.part.labels
        expected = labels[episode.indices] if b < 2 else episode.y
        assert changed.y[b].tolist() == expected.tolist()
        assert changed.label_map[b].tolist() == (list(range(10)) if b < 2 else batch.label_map[b].tolist())
    assert jnp.array_equal(changed.x, batch.x)


def trained(settings):
    """The weights after three steps."""
    training, trainer = settings.training, make_trainer(settings)
    sampler = recorded(3, training.batch_size, training.num_tasks, training.seed, training.tasks)
    return jax.tree.leaves(jax.jit(trainer.train)(sampler, trainer.start(), jnp.arange(3))[0].weights)


@pytest.fixture(scope="module")
def as_usual(standard_promotion):
    return trained(small())


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 1},
        {"seed": 2**32},
        {"num_tasks": 2},
        {"tasks": "implicit"},
        {"batch_size": 4},
        {"fixed_permutation": 0.5},
        {"adam_epsilon": 0.1},
    ]
    + [
        {"learning_rate": 0.1},
        {"clip": 1e-3},
        {"warmup": 0},
        {"schedule": "constant", "warmup": 0},
        {"compute": "bfloat16"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_every_option_changes_the_weights(options, as_usual):
    ours, other = as_usual, trained(small(**options))
    assert any(not np.array_equal(a, b) for a, b in zip(ours, other, strict=True))


def test_a_learner_of_implicit_tasks_names_no_seed(tmp_path, finished):
    """It has met none of the tasks of a seed; the diagnosis of what was seen relies on that."""
    assert run(small(tasks="implicit", seed=3, fixed_permutation=0.4), tmp_path)
    suite = small().made_suite
    cards = [
        load_learner(ROOT / "baselines" / "lstm.py", suite.info, {"checkpoint": str(folder)}).learner.card
        for folder in (tmp_path, finished[0])
    ]
    assert set(cards[0]["meta_training"]) == {"suite", "num_tasks", "steps", "seconds", "hardware"}
    assert cards[1]["meta_training"]["seed"] == 0


def test_a_run_leaves_metrics_checkpoints_and_the_best_weights(finished):
    folder, settings = finished
    rows = read_metrics(folder)
    assert [row["step"] for row in rows] == [2, 4, 6, 8, 10]
    assert [path.name for path in checkpoints(folder)] == [f"checkpoint-{step:010d}" for step in (6, 8, 10)]
    assert {path.stem for path in folder.glob("best-*")} == {best(folder).name}
    lowest = min(rows, key=lambda row: row["validation_loss"])
    about = read_about(best(folder))
    assert about["best"]["step"] == about["step"] == lowest["step"]
    assert about["settings"] == json.loads((folder / "run.json").read_text())["settings"] == settings.plain()
    assert about["provenance"]["versions"]["optax"]
    assert draw(folder).read_bytes().startswith(b"\x89PNG")


def test_the_best_weights_are_chosen_on_meta_validation(finished):
    """What was selected gives on the tasks of meta_validation exactly the loss that was written down."""
    folder, settings = finished
    trainer, suite = make_trainer(settings), settings.made_suite
    found = read_arrays(best(folder), State(jax.eval_shape(trainer.start).weights, None))
    looked = jax.jit(trainer.look)(found.weights, jax.jit(lambda s: s(0))(suite.meta_validation.sampler(4)))
    assert float(looked.loss) == read_about(best(folder))["best"]["validation_loss"]


def test_training_reads_no_images_of_meta_test(tmp_path, monkeypatch):
    from gpicl_bench import Split

    seen, part = set(), Split.part

    class Watched:
        def __get__(self, split, kind):
            seen.add((split.name, split.images))
            return part.__get__(split, kind)

    monkeypatch.setattr(Split, "part", Watched())
    run(small(), tmp_path / "run")
    assert seen == {("meta_train", "train"), ("meta_validation", "train")}


def test_two_runs_of_one_seed_are_equal_and_another_seed_is_not(finished, tmp_path):
    folder, settings = finished
    run(settings, tmp_path / "same")
    run(small(seed=5), tmp_path / "other")
    assert weights(tmp_path / "same") == weights(folder) != weights(tmp_path / "other")


PROGRAM = """
import sys
from pathlib import Path
from baselines.run import run
from baselines.settings import make_settings
run(make_settings('lstm', 'digits-tiny', {options}), Path(sys.argv[1]), resume=True)
"""


def test_killed_at_any_moment_and_resumed_it_ends_with_the_same_bits(finished, tmp_path):
    """kill -9 at random moments of start, steps and writing; the last attempt is left alone."""
    folder, draws = finished[0], random.Random(7)
    command = [sys.executable, "-c", PROGRAM.format(options={**SMALL, "hidden": 8}), str(tmp_path / "run")]
    environment, killed = {**os.environ, "PYTHONPATH": str(ROOT)}, 0
    for _ in range(6):
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not (tmp_path / "run" / "run.json").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(draws.uniform(0, 4))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    assert killed > 0
    assert weights(tmp_path / "run") == weights(folder)
    assert [row["step"] for row in read_metrics(tmp_path / "run")] == [2, 4, 6, 8, 10]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("left", [1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 16, 18, 20, 22])
def test_killed_before_any_change_of_a_file_it_resumes_to_the_same_bits(finished, tmp_path, monkeypatch, left):
    """The process ends just before its n-th change: a file put in place, one deleted, or a line of metrics."""
    from baselines.run import Path

    changes = [left]

    def or_die(method):
        def dying(path, *arguments, **options):
            if method.__name__ != "open" or arguments == ("a",):
                changes[0] -= 1
            if changes[0] == 0:
                raise Killed
            return method(path, *arguments, **options)

        return dying

    for name in ("replace", "unlink", "open"):
        monkeypatch.setattr(Path, name, or_die(getattr(Path, name)))
    with pytest.raises(Killed):
        run(small(), tmp_path / "run")
    monkeypatch.undo()
    run(small(), tmp_path / "run", resume=True)
    assert weights(tmp_path / "run") == weights(finished[0])
    assert timeless(tmp_path / "run") == timeless(finished[0])
    assert {p.name for p in (tmp_path / "run").iterdir()} == {p.name for p in finished[0].iterdir()} - {"curve.png"}


def timeless(folder):
    return [{**row, "seconds": 0, "tasks_per_second": 0} for row in read_metrics(folder)]


def test_a_look_that_comes_out_worse_the_second_time_leaves_the_best_weights_readable(tmp_path, monkeypatch):
    """As on a device that does not repeat its bits: the run is cut while it writes the best weights of a look."""
    import baselines.run

    def cut(path, arrays, about):
        if path.name.startswith("best-") and path.name != "best-0000000002":
            raise Killed
        return write_checkpoint(path, arrays, about)

    settings = small(learning_rate=0.01, batch_size=16, validation_tasks=64)
    monkeypatch.setattr(baselines.run, "write_checkpoint", cut)
    with pytest.raises(Killed):
        run(settings, tmp_path / "run")
    monkeypatch.undo()

    def worse(settings):
        trainer = make_trainer(settings)
        return trainer._replace(look=lambda w, b: trainer.look(w, b)._replace(loss=jnp.float32(9.0)))

    monkeypatch.setattr(baselines.run, "make_trainer", worse)
    run(settings, tmp_path / "run", resume=True)
    assert best(tmp_path / "run").name == "best-0000000002"
    assert restore(Lstm, settings.made_suite.info, tmp_path / "run").card["meta_training"]["steps"] == 2


def test_a_line_of_metrics_that_was_cut_off_is_forgotten(finished, tmp_path):
    folder = copied(finished[0], tmp_path)
    for path in checkpoints(folder)[1:]:
        path.with_suffix(".json").unlink()
    whole = (folder / "metrics.jsonl").read_bytes()
    (folder / "metrics.jsonl").write_bytes(whole[:-20])
    run(small(), folder, resume=True)
    assert [row["step"] for row in read_metrics(folder)] == [2, 4, 6, 8, 10]
    assert weights(folder) == weights(finished[0])


def copied(folder, tmp_path):
    import shutil

    return shutil.copytree(folder, tmp_path / "copy")


def test_a_finished_run_trains_nothing(finished):
    folder, settings = finished
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir() if path.name != ".lock"}
    assert run(settings, folder, resume=True) is False
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_a_folder_with_a_run_is_not_overwritten(finished):
    with pytest.raises(TrainingError, match="--resume"):
        run(finished[1], finished[0])
    with pytest.raises(TrainingError, match=r"expected: hidden = 8\n  got: hidden = 9"):
        run(small(hidden=9), finished[0], resume=True)


def test_one_process_at_a_time(finished, tmp_path):
    import fcntl

    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(TrainingError, match="another process"):
            run(small(), tmp_path / "run")


def test_a_loss_that_is_no_number_stops_with_the_step(tmp_path):
    settings = small(learning_rate=1e38, schedule="constant", warmup=0, steps=40, every=20, clip=1e30)
    with pytest.raises(TrainingError) as caught:
        run(settings, tmp_path / "run")
    text = str(caught.value)
    assert "where: step" in text
    assert "the last good checkpoint is the start" in text
    assert "--learning-rate" in text
    assert not checkpoints(tmp_path / "run")
    assert run(small(steps=4), tmp_path / "run"), "advice that is followed needs no other folder"


def test_an_update_to_no_number_is_not_kept(tmp_path):
    settings = small(learning_rate=1e38, schedule="constant", warmup=0, steps=2, every=1, clip=1e30)
    with pytest.raises(TrainingError, match=r"step [01]"):
        run(settings, tmp_path / "run")
    assert not list((tmp_path / "run").glob("best-*"))


def test_a_checkpoint_of_other_settings_is_refused_without_run_json(finished, tmp_path):
    folder = copied(finished[0], tmp_path)
    (folder / "run.json").unlink()
    for options in ({"seed": 7}, {"steps": 4}):
        with pytest.raises(TrainingError, match="other settings"):
            run(small(**options), folder, resume=True)
        with pytest.raises(TrainingError, match="holds a run"):
            run(small(**options), folder)


def test_missing_best_weights_and_damaged_metrics_are_named(finished, tmp_path):
    folder = copied(finished[0], tmp_path)
    (folder / "metrics.jsonl").write_bytes(b"{]\n" + (folder / "metrics.jsonl").read_bytes())
    with pytest.raises(CheckpointError, match=r"(?s)metrics are damaged.*line 1"):
        draw(folder)
    best(folder).with_suffix(".safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"(?s)No such file.*delete checkpoint-0000000010"):
        run(small(), folder, resume=True)


def test_a_disk_that_is_full_is_named_and_nothing_is_left(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"(?s)cannot be written.*No space left.*run.json"):
        run(small(), tmp_path / "run")
    assert {path.name for path in (tmp_path / "run").iterdir()} == {".lock"}


def test_the_first_bad_step_and_the_last_good_checkpoint_are_named(tmp_path, monkeypatch):
    import baselines.run

    def poisoned(settings):
        trainer = make_trainer(settings)

        def train(sampler, state, steps):
            state, measured = trainer.train(sampler, state, steps)
            return state, measured._replace(loss=jnp.where(steps == 3, jnp.nan, measured.loss))

        return trainer._replace(train=train)

    monkeypatch.setattr(baselines.run, "make_trainer", poisoned)
    with pytest.raises(TrainingError, match=r"(?s)step 3\n.*checkpoint-0000000002") as caught:
        run(small(), tmp_path / "run")
    assert "loss nan" in str(caught.value)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-0000000002"]


def test_a_batch_that_does_not_fit_is_refused_with_advice(tmp_path):
    with pytest.raises(TrainingError, match=r"(?s)does not fit.*--batch-size [1-9][0-9]* or less"):
        run(small(batch_size=10**8, num_examples=100), tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_siz": 3}, r"no such option(?s:.*)did you mean batch_size\?"),
        ({"tokens": "pared"}, "'shifted' or 'paired'"),
        ({"batch_size": 0}, "batch_size is out of range"),
        ({"batch_size": "many"}, "batch_size is out of range"),
        ({"learning_rate": float("nan")}, "learning_rate is out of range"),
        ({"fixed_permutation": 1.5}, "fixed_permutation is out of range"),
        ({"seed": -1}, "seed is out of range"),
        ({"num_tasks": 0}, "num_tasks"),
        ({"num_tasks": 5, "tasks": "implicit"}, "implicit tasks have no finite pool"),
        ({"tasks": "other"}, "tasks is out of range"),
        ({"tasks": "implicit", "suite": "digits-pixperm-perm-v0"}, "no projections that could be implicit"),
        ({"hidden": 0}, "hidden is out of range"),
        ({"hidden": -3}, "hidden is out of range"),
        ({"warmup": 11}, "longer than the run"),
        ({"suite": "digit-proj-perm-v0"}, "did you mean"),
        ({"num_examples": 1000}, "an episode is longer than the pool"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises((InvalidArgument, LookupError), match=message):
        small(**options).made_suite  # noqa: B018


@pytest.mark.parametrize(
    ("model", "preset", "message"),
    [
        ("transfromer", "digits-tiny", r"did you mean transformer\?"),
        ("lstm", "digit-tiny", r"did you mean digits-tiny\?"),
        ("lstm", "best", "the preset best has no lstm"),
        ("lstm", "nowhere.yaml", "cannot be read"),
    ],
)
def test_unknown_models_and_presets_are_refused(model, preset, message):
    with pytest.raises(InvalidArgument, match=message):
        make_settings(model, preset, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "a mapping is missing"),
        ("suite: [", "cannot be read"),
        ("trainin: {}", r"did you mean training\?"),
        ("suite: x\nmodels: {lstm: {confg: {}}}", r"did you mean config\?"),
        ("suite: x\nmodels: {lsm: {}}", r"did you mean lstm\?"),
        ("models: {lstm: {}}", "suite is out of range"),
        ("suite: x\nmodels: [lstm]", "models is out of range"),
        ("suite: x\nmodels:", "models is out of range"),
        ("suite: x\nmodels: {lstm: 3}", "a mapping is missing"),
        ("suite: x\nmodels: {lstm: {config: [a]}}", "config is out of range"),
        ("suite: x\nmodels: {lstm: {training: 3}}", "training is out of range"),
        ("suite: digits-proj-perm-v0\ntraining:\nmodels: {lstm: {}}", "training is out of range"),
        ("suite: digits-proj-perm-v0\nmodels: {lstm: {config: {width: 3}}}", "no such field"),
        ("suite: digits-proj-perm-v0\nmodels: {lstm: {}}", "steps is out of range"),
    ],
)
def test_malformed_presets_are_refused(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(InvalidArgument, match=message):
        make_settings("lstm", str(tmp_path / "mine.yaml"), {})


@pytest.mark.parametrize("preset", sorted(path.stem for path in (ROOT / "baselines" / "presets").glob("*.yaml")))
def test_every_preset_can_be_read(preset):
    import yaml

    for model in yaml.safe_load((ROOT / "baselines" / "presets" / f"{preset}.yaml").read_text())["models"]:
        assert make_settings(model, preset, {}).training.steps > 0


def test_a_checkpoint_is_a_learner_in_both_forms(finished):
    folder, settings = finished
    suite, path = settings.made_suite, ROOT / "baselines" / "lstm.py"
    results = [
        evaluate(
            load_learner(path, suite.info, {"checkpoint": str(folder), "form": form}), suite, num_tasks=8, audit="off"
        )
        for form in ("sequence", "step")
    ]
    assert np.array_equal(results[0].prediction, results[1].prediction)
    assert np.allclose(results[0].log_loss, results[1].log_loss, atol=1e-5)
    assert [r.learner.form for r in results] == ["sequence", "step (JAX)"]
    card, about = results[0].learner.card, read_about(best(folder))
    assert card["meta_training"] == {
        "suite": "digits-proj-perm-v0",
        "num_tasks": about["step"] * 3,
        "seed": 0,
        "steps": about["step"],
        "seconds": about["seconds"],
        "hardware": about["hardware"],
    }
    assert card["parameters"] == about["parameters"]
    assert card["weights_sha256"] == about["sha256"]


def test_a_learner_answers_as_the_trained_model(finished):
    folder, settings = finished
    suite = settings.made_suite
    learner = restore(Lstm, suite.info, checkpoints(folder)[-1])
    trainer, batch = make_trainer(settings), suite.meta_validation.batch(0, 4)
    state = read_arrays(checkpoints(folder)[-1], jax.eval_shape(trainer.start))
    looked = jax.jit(trainer.look)(state.weights, jax.tree.map(jnp.asarray, batch._replace(task=0, episode=0)))
    right = np.asarray(learner(batch.x, batch.y)).argmax(-1) == batch.y
    assert np.allclose(right.mean(axis=0), looked.accuracy)
    assert float(looked.accuracy[-1]) == read_metrics(folder)[-1]["validation_accuracy"]


def damaged(folder, tmp_path, name, change):
    copy = copied(folder, tmp_path)
    name = name.replace("best", best(copy).name)
    (copy / name).write_bytes(change((copy / name).read_bytes()))
    return copy


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("best.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1]), "damaged, or of another"),
        ("best.safetensors", lambda data: data[:100], "cannot be read"),
        ("best.safetensors", lambda data: b"", "cannot be read"),
        ("best.json", lambda data: data[:50], "cannot be read"),
        ("best.json", lambda data: b"[]", "this is no checkpoint"),
        ("best.json", lambda data: b"\xff\xfe", "cannot be read"),
        ("best.json", lambda data: data.replace(b'"config"', b'"konfig"'), "malformed"),
        ("best.json", lambda data: data.replace(b'"hidden": 8', b'"hidden": 9'), r"(?s)float32 \[36\].*float32 \[32\]"),
    ],
)
def test_damaged_checkpoints_are_refused(finished, tmp_path, name, change, message):
    folder = damaged(finished[0], tmp_path, name, change)
    with pytest.raises(CheckpointError, match=message):
        restore(Lstm, finished[1].made_suite.info, folder)


def test_a_damaged_checkpoint_is_not_resumed(finished, tmp_path):
    folder = damaged(finished[0], tmp_path, "checkpoint-0000000010.safetensors", lambda data: data[:-1])
    with pytest.raises(CheckpointError):
        run(small(), folder, resume=True)


def test_checkpoints_of_something_else_are_refused(finished, tmp_path):
    folder, settings = finished
    info = settings.made_suite.info
    with pytest.raises(CheckpointError, match=r"(?s)another model.*transformer.*lstm"):
        restore(Transformer, info, folder)
    with pytest.raises(CheckpointError, match=r"(?s)another shape.*D = 784.*D = 64"):
        restore(Lstm, make("random-proj-perm-v0").info, folder)
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        restore(Lstm, info, tmp_path)
    with pytest.raises(CheckpointError, match="No such file"):
        restore(Lstm, info, tmp_path / "nothing")
    with pytest.raises(LearnerFileError, match="no such form"):
        load_learner(ROOT / "baselines" / "lstm.py", info, {"checkpoint": str(folder), "form": "both"})
    assert restore(Lstm, replace(info, id="mine"), best(folder).with_suffix(".json")).card["stochastic"] is False


def test_weights_that_know_no_shape_answer_on_any(tmp_path):
    """A grid that was meta-trained on 64 inputs, asked with 784."""
    run(small("vsml", steps=2, every=2), tmp_path / "run")
    other = make("random-proj-perm-v0", num_examples=4)
    by_form = [
        evaluate(
            load_learner(
                ROOT / "baselines" / "vsml.py", other.info, {"checkpoint": str(tmp_path / "run"), "form": form}
            ),
            other,
            num_tasks=2,
            audit="off",
        ).prediction
        for form in ("sequence", "step")
    ]
    assert np.array_equal(*by_form)


def test_a_shifted_transformer_refuses_longer_episodes(tmp_path):
    settings = small("transformer", tokens="shifted", steps=2, every=2)
    run(settings, tmp_path / "run")
    longer = make(settings.suite, num_examples=6)
    path = ROOT / "baselines" / "transformer.py"
    learner = load_learner(path, longer.info, {"checkpoint": str(tmp_path / "run")})
    with pytest.raises(Exception, match=r"(?s)longer than this learner can take.*T ≤ 5.*T = 6"):
        evaluate(learner, longer, num_tasks=2)
    shorter = make(settings.suite, num_examples=4)
    learner = load_learner(path, shorter.info, {"checkpoint": str(tmp_path / "run"), "form": "step"})
    assert evaluate(learner, shorter, num_tasks=2).accuracy.shape == (4,)


def test_a_paired_transformer_takes_any_length(tmp_path):
    settings = small("transformer", steps=2, every=2)
    run(settings, tmp_path / "run")
    longer = make(settings.suite, num_examples=12)
    by_form = [
        evaluate(restore(Transformer, longer.info, tmp_path / "run", form), longer, num_tasks=4, audit="off").prediction
        for form in ("sequence", "step")
    ]
    assert np.array_equal(*by_form)


def test_arrays_survive_a_checkpoint_bit_for_bit(tmp_path):
    arrays = {"a": jnp.float32([0.0, -0.0, 1e-45, jnp.inf]), "b": [jnp.int32(3), jnp.zeros((2, 0))]}
    write_checkpoint(tmp_path / "x", arrays, {})
    found = read_arrays(tmp_path / "x", jax.eval_shape(lambda: arrays))
    for ours, theirs in zip(jax.tree.leaves(arrays), jax.tree.leaves(found), strict=True):
        assert ours.dtype == theirs.dtype
        assert np.asarray(ours).tobytes() == np.asarray(theirs).tobytes()


def command(*arguments, cwd=None):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "baselines", *arguments],
        cwd=cwd or ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_trains_draws_and_resumes(tmp_path):
    options = [f"--{name.replace('_', '-')}={value}" for name, value in {**SMALL, "hidden": 8}.items()]
    done = command("train", "lstm", *options, "--deterministic", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "runs" / "digits-tiny-lstm-shifted-digits-proj-perm-v0-seed0"
    assert (folder / "curve.png").exists()
    assert "step      10" in done.stderr
    again = command("train", "lstm", *options, "--deterministic", "--resume", cwd=tmp_path)
    assert again.returncode == 0
    assert "nothing was trained" in again.stderr
    other = command("train", "lstm", *options, "--resume", cwd=tmp_path)
    assert other.returncode == 2
    assert "got: deterministic = False" in other.stderr
    refused = command("train", "lstm", *options, cwd=tmp_path)
    assert refused.returncode == 2
    assert "this folder holds a run" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "lstn"], "did you mean lstm?"),
        (["train", "lstm", "--hiden", "3"], "did you mean --hidden?"),
        (["train", "lstm", "--hidden", "x"], "hidden is out of range"),
        (["train", "lstm", "--preset", "papr"], "did you mean paper?"),
        (["train", "lstm", "--layers", "3"], "no such option"),
        (["train"], "there is no such model"),
        (["reference", "digits-tiny", "--steps", "2"], "add --output"),
        (["reference", "digits-tiny", "--seeds", "0"], "seeds is out of range"),
        (["reference", "digits-tiny", "--stps", "2", "--output", "x"], "did you mean --steps?"),
        (["reference", "digits-tiny", "--scored-tasks", "0"], "num_tasks is out of range"),
        (["curve", "nowhere"], "there are no metrics"),
    ],
)
def test_the_command_refuses_in_words(arguments, message, capsys):
    from baselines.commands import main

    assert main(arguments) == 2
    assert message in capsys.readouterr().err
