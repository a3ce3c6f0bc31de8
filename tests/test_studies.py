"""Studies: grids, runs that train together, folders that lose nothing, and what measurements say."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import baselines.studies.estimate
import baselines.studies.running
import baselines.studies.together
from baselines.commands import main
from baselines.run import locked
from baselines.settings import MODELS, Training, make_settings
from baselines.studies import studies
from baselines.studies.estimate import estimates
from baselines.studies.findings import write_findings
from baselines.studies.folder import all_records
from baselines.studies.grid import GRIDS, LONGEST, SOURCES, cells, read_scale
from baselines.studies.page import write_page
from baselines.studies.plateau import plateau
from baselines.studies.power_law import fit
from baselines.studies.running import groups, run_study
from baselines.studies.state_size import Configuration, configurations, correlations
from baselines.studies.study import Record, Study, by, learners, shown
from baselines.studies.together import Trained, program, train_together
from baselines.studies.transition import ORDER
from baselines.studies.transition import findings as transition_findings
from baselines.training import make_tasks, make_trainer, num_fixed
from gpicl_bench import make
from gpicl_bench.errors import GpiclBenchError
from tests.conftest import ROOT

SMALL = {"num_examples": 10, "batch_size": 4, "steps": 4, "every": 2, "warmup": 1, "validation_tasks": 4, "hidden": 8}
NAMES = list(studies())
SCALES = [(name, scale) for name in NAMES for scale in ("smoke", "tiny", "paper")]
SAY_NOTHING = lambda state, group, step: None  # noqa: E731


def small(**options):
    return make_settings("lstm", "digits-tiny", {**SMALL, **options})


@pytest.fixture(autouse=True)
def _as_optax_has_it(standard_promotion):
    return


# Grids


@pytest.mark.parametrize(("name", "scale"), SCALES)
def test_a_grid_is_the_union_of_its_products(name, scale):
    grid = read_scale(name, scale)
    found = cells(grid, list(grid.models))
    names = [cell.name for cell in found]
    assert len(set(names)) == len(names)
    assert len({cell.settings.text for cell in found}) == len(found)
    most = 0
    for about in grid.models.values():
        for sweep in grid.sweeps:
            axes = {**about.axes, **grid.axes, **sweep}
            most += int(np.prod([len(values) for values in axes.values()]))
    repeated = len(grid.models) * (len(grid.sweeps) - 1) * len(grid.axes["seed"])  # the centre is in every sweep
    assert len(found) == most - repeated
    assert all(cell.axes["seed"] == cell.settings.training.seed for cell in found)


def test_every_grid_is_of_a_study_and_tiny_transition_has_three_seeds():
    assert sorted(path.stem for path in GRIDS.glob("*.yaml")) == sorted(NAMES)
    assert len(read_scale("transition", "tiny").axes["seed"]) >= 3
    paper = read_scale("transition", "paper")
    assert len(paper.axes["num_tasks"]) >= 8
    assert len(paper.models["transformer"].axes["width"]) >= 3


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["transitoin"], "did you mean transition?"),
        (["transition", "--scale", "tinny"], "did you mean tiny?"),
        (["transition", "--axis", "widht=8"], "did you mean width?"),
        (["transition", "--axis", "hidden=8"], "there is no such axis"),  # of another model
        (["transition", "--axis", "width"], "--axis is malformed"),
        (["transition", "--axis", "width="], "an axis has no values"),
        (["transition", "--axis", "seed=0", "--axis", "seed=1"], "an axis is given twice"),
        (["transition", "--axis", "seed=-1"], "seed is out of range"),
        (["transition", "--axis", "width=-8"], "width is out of range"),
        (["transition", "--axis", "num_tasks=many"], "num_tasks is out of range"),
        (["transition", "--axis", "num_tasks=0"], "num_tasks is out of range"),
        (["transition", "--axis", "suite=digts-proj-perm-v0"], "did you mean digits-proj-perm-v0"),
        (["transition", "--model", "transfromer"], "did you mean transformer?"),
        (["transition", "--model", "nowhere.py"], "there is no such file"),
        (["bias", "--axis", "fixed_permutation=1.5"], "fixed_permutation is out of range"),
    ],
)
def test_what_is_no_part_of_a_grid_is_named_and_nothing_is_written(arguments, named, tmp_path, capsys):
    folder = tmp_path / "study"
    assert main(["study", *arguments, "--output", str(folder)]) == 2
    assert named in capsys.readouterr().err
    assert not folder.exists()


def test_cells_of_a_grid_have_names_of_their_own_that_a_file_system_takes():
    scale = read_scale("transition", "smoke")
    same = {"seed": ["0", "0", 0], "adam_epsilon": ["1e-8", "0.00000001"], "num_tasks": [4], "width": [8]}
    assert len(cells(scale, changed=same)) == 1
    close = {"learning_rate": ["0.0012345678", "0.0012345679"]}
    assert len({cell.name for cell in cells(scale, changed=close)}) == len(cells(scale, changed=close)) == 4
    many = {axis: [getattr(Training(1, 1, 1.0), axis)] for axis in ("accumulate", "tasks", "schedule", "compute")}
    many |= {"steps": [100000, 100001], "validation_tasks": [100000], "every": [100000], "warmup": [10000]}
    many |= {"fixed_permutation": [0.123456789], "learning_rate": [0.123456789], "clip": [0.123456789]}
    names = [cell.name for cell in cells(scale, changed=many)]
    assert len(set(names)) == len(names) == 4
    assert max(map(len, names)) == LONGEST


def test_a_model_of_ones_own_is_a_model_like_any_other(tmp_path, capsys):
    text = (ROOT / "baselines" / "lstm.py").read_text().replace('name = "lstm"', 'name = "mine"')
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "taken.py").write_text((ROOT / "baselines" / "lstm.py").read_text())
    (tmp_path / "none.py").write_text("x = 1\n")
    (tmp_path / "broken.py").write_text("raise ValueError('oh')\n")
    (tmp_path / "slash.py").write_text(text.replace('"mine"', '"my/model"'))
    (tmp_path / "tokens.py").write_text(text.replace("class Config:", "class Other:") + "\n\nLstm.Config = int\n")
    axes = ["--axis", "hidden=4,8", "--axis", "num_tasks=4", "--axis", "steps=2", "--axis", "warmup=1"]
    folder = tmp_path / "study"
    command = ["study", "transition", "--scale", "smoke", *axes, "--output", str(folder), "--model"]
    own = tmp_path / "mine.py"
    own.write_text("from __future__ import annotations\n" + text)
    try:
        assert main([*command, str(own)]) == 0
        MODELS.pop("mine")
        own.write_text(own.read_text() + "# better now\n")
        before = contents(folder)
        assert main([*command, str(own)]) == 2
        assert "the file of this model was another when this cell was run" in capsys.readouterr().err
        assert contents(folder) == before
    finally:
        MODELS.pop("mine", None)
        SOURCES.clear()
    records, failed = all_records(folder)
    assert not failed
    assert {(r.axes["model"], r.axes["hidden"]) for r in records} == {("mine", 4), ("mine", 8)}
    capsys.readouterr()
    for file, named in (("taken", "name is taken"), ("none", "no one model"), ("broken", "ValueError('oh')"),
                        ("slash", "none for a file"), ("tokens", "no dataclass with a field `tokens`")):  # fmt: skip
        assert main([*command, str(tmp_path / f"{file}.py")]) == 2
        assert named in capsys.readouterr().err


# Training together


def alone(settings):
    """Losses and weights of one run, by the program that trains one."""
    trainer, training = make_trainer(settings), settings.training
    state, measured = jax.jit(trainer.train)(
        make_tasks(settings), trainer.start(), np.arange(training.steps, dtype=np.int32)
    )
    return np.asarray(measured.loss), jax.tree.leaves(state.weights)


def agrees(run):
    losses, weights = alone(run.settings)
    means = losses.reshape(-1, run.settings.training.every).mean(axis=1)
    assert np.allclose([row["loss"] for row in run.rows], means, atol=2e-5)
    for ours, theirs in zip(jax.tree.leaves(run.weights), weights, strict=True):
        assert np.allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize(
    "options",
    [
        [
            {"seed": 0, "num_tasks": 4},
            {"seed": 2**33, "num_tasks": 2**31},
            {"seed": 1, "num_tasks": 1, "adam_epsilon": 0.1},
        ],
        [{"learning_rate": 0.1}, {"fixed_permutation": 0.6}, {"fixed_permutation": 1.0}, {"seed": 5}],
        [{"tasks": "implicit", "seed": 1}, {"tasks": "implicit", "seed": 2}],
    ],
)
def test_each_of_many_runs_is_what_it_is_alone(options, tmp_path):
    group = [small(**more) for more in options]
    assert len({program(settings) for settings in group}) == 1
    for run in train_together(group, tmp_path):
        assert [row["step"] for row in run.rows] == [2, 4]
        agrees(run)


def test_what_differs_in_more_than_numbers_does_not_train_together():
    options = [
        {},
        {"hidden": 4},
        {"batch_size": 2},
        {"steps": 6},
        {"num_tasks": 4},
        {"tasks": "implicit"},
        {"warmup": 2},
    ]
    assert len({program(small(**more)) for more in options}) == len(options)


def test_devices_share_the_runs(tmp_path):
    """Three runs on two simulated devices, to the numbers of one device."""
    code = (
        "import json, sys; from pathlib import Path; import jax; from tests.test_studies import small, train_together;"
        "jax.config.update('jax_numpy_dtype_promotion', 'standard');"
        "runs = train_together([small(seed=s) for s in range(3)], Path(sys.argv[1]));"
        "print(json.dumps([run.rows for run in runs]))"
    )
    found = []
    for count in (1, 2):
        flags = f"--xla_force_host_platform_device_count={count}"
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags}
        command = [sys.executable, "-c", code, str(tmp_path / str(count))]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        found.append(json.loads(done.stdout.splitlines()[-1]))
    for one, two in zip(*found, strict=True):
        for a, b in zip(one, two, strict=True):
            assert a == pytest.approx(b, abs=1e-4)


class Stopped(BaseException):
    pass


def test_a_group_goes_on_where_it_was_stopped_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(baselines.studies.together, "KEEP_EVERY", 0.0)
    group = [small(seed=seed, steps=6) for seed in (0, 1)]
    whole = train_together(group, tmp_path / "whole")
    started = []

    def stop(step):
        if step == 4:
            raise Stopped

    with pytest.raises(Stopped):
        train_together(group, tmp_path / "halves", stop)
    again = train_together(group, tmp_path / "halves", started.append)
    assert started == [6]
    for a, b in zip(whole, again, strict=True):
        assert a.rows == b.rows
        assert all(np.array_equal(x, y) for x, y in zip(*map(jax.tree.leaves, (a.weights, b.weights)), strict=True))
    kept = next((tmp_path / "halves").glob("*.safetensors"))
    kept.write_bytes(b"cut off")
    assert train_together(group, tmp_path / "halves")[0].rows == whole[0].rows


def test_training_ends_when_every_run_has_shown_enough(tmp_path):
    runs = train_together([small(steps=100)], tmp_path, enough=lambda rows, classes: len(rows) == 3 and classes == 10)
    assert [row["step"] for row in runs[0].rows] == [2, 4, 6]


@given(fraction=st.floats(0, 1), batch_size=st.integers(1, 512))
def test_the_fixed_permutation_has_its_share_of_the_episodes(fraction, batch_size):
    counts = np.asarray(num_fixed(np.arange(2048), fraction, batch_size)) * np.ones(2048)
    assert counts.max() <= batch_size
    assert counts.max() - counts.min() <= 1
    assert abs(counts.mean() - np.float32(fraction) * batch_size) < 1 / 128


# Folders


def measured_loss(run, asked):
    return {"loss": run.rows[-1]["loss"], "asked": asked}


TOY = Study("toy", 1, "How?", measured_loss, lambda r: [], lambda r, figure: figure.subplots(), lambda r: [])


def grid(**changed):
    scale = replace(read_scale("transition", "smoke"), num_examples=10)
    options = {"hidden": [4, 8], "steps": [2], "every": [2], "warmup": [0], "batch_size": [2], "validation_tasks": [2]}
    return cells(scale, ["lstm"], {**options, "num_tasks": [4], **changed})


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_a_finished_cell_is_never_run_again_and_new_ones_are(tmp_path, monkeypatch):
    run_study(TOY, "tiny", grid(), 7, tmp_path, SAY_NOTHING)
    before = contents(tmp_path)
    assert len(before) == 3
    trained = []
    together = baselines.studies.running.train_together
    monkeypatch.setattr(
        baselines.studies.running, "train_together", lambda group, *a: trained.append(len(group)) or together(group, *a)
    )
    run_study(TOY, "tiny", grid(), 7, tmp_path, SAY_NOTHING)
    assert trained == []
    assert contents(tmp_path) == before
    run_study(TOY, "tiny", grid(seed=[0, 1]), 7, tmp_path, SAY_NOTHING)
    assert trained == [1, 1]
    assert contents(tmp_path).items() >= before.items()
    records, failed = all_records(tmp_path)
    assert (len(records), failed) == (4, {})
    assert {r.measured["asked"] for r in records} == {7}


def test_a_cell_that_fails_is_recorded_and_the_others_go_on(tmp_path):
    reported = []
    wild = grid(hidden=[4], learning_rate=["1e-3", "1e38"], steps=[4], num_tasks=[4])
    run_study(TOY, "tiny", wild, 1, tmp_path, lambda state, group, step: reported.append((state, len(group))))
    records, failed = all_records(tmp_path)
    assert [r.axes["learning_rate"] for r in records] == [1e-3]
    assert ["is no number" in error for error in failed.values()] == [True]
    assert ("failed", 1) in reported

    def breaks(run, asked):
        raise RuntimeError("cannot be measured")

    run_study(replace(TOY, measure=breaks), "tiny", grid(), 1, tmp_path / "other", SAY_NOTHING)
    assert all_records(tmp_path / "other")[1].popitem()[1] == "RuntimeError: cannot be measured"
    run_study(TOY, "tiny", grid(), 1, tmp_path / "other", SAY_NOTHING)  # tried again
    assert len(all_records(tmp_path / "other")[0]) == 2
    pages = write_page(tmp_path, TOY)
    assert "no number" in (tmp_path / "README.md").read_text()
    assert pages[0].read_bytes().startswith(b"\x89PNG")


def test_a_missing_dataset_fails_its_cells_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("GPICL_BENCH_CACHE", str(tmp_path / "cache"))
    run_study(
        TOY,
        "tiny",
        grid(hidden=[4], suite=["digits-proj-perm-v0", "kmnist_8-proj-perm-v0"]),
        1,
        tmp_path / "s",
        SAY_NOTHING,
    )
    records, failed = all_records(tmp_path / "s")
    assert [r.axes["suite"] for r in records] == ["digits-proj-perm-v0"]
    assert len(failed) == 1
    assert "kmnist" in failed.popitem()[1]


def test_what_does_not_fit_is_halved_and_then_named(tmp_path, monkeypatch):
    sizes = []
    together = baselines.studies.running.train_together
    monkeypatch.setattr(
        baselines.studies.running, "train_together", lambda group, *a: sizes.append(len(group)) or together(group, *a)
    )
    monkeypatch.setattr(baselines.studies.together, "memory_there", lambda: 1)
    run_study(TOY, "tiny", grid(hidden=[4], seed=[0, 1, 2]), 1, tmp_path, SAY_NOTHING)
    assert sizes == [3, 2, 1, 1, 1]
    failed = all_records(tmp_path)[1]
    assert len(failed) == 3
    assert all("more memory than a device has" in error and "expected" in error for error in failed.values())


@pytest.mark.parametrize("other", [{"name": "another"}, {"version": 2}, {"scale": "paper"}])
def test_a_folder_of_something_else_stays_as_it_is(other, tmp_path):
    run_study(TOY, "tiny", grid(hidden=[4]), 1, tmp_path, SAY_NOTHING)
    before, scale = contents(tmp_path), other.pop("scale", "tiny")
    with pytest.raises(GpiclBenchError, match="another study, scale or version"):
        run_study(replace(TOY, **other), scale, grid(), 1, tmp_path, SAY_NOTHING)
    assert contents(tmp_path) == before


def test_a_folder_of_other_things_or_settings_or_damaged_stays_as_it_is(tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("all of it")
    with pytest.raises(GpiclBenchError, match="no study's"):
        run_study(TOY, "tiny", grid(), 1, mine, SAY_NOTHING)
    assert [path.name for path in mine.iterdir()] == ["thesis.txt"]
    one = grid(hidden=[4])
    run_study(TOY, "tiny", one, 1, tmp_path / "s", SAY_NOTHING)
    before = contents(tmp_path / "s")
    changed = [
        replace(cell, settings=replace(cell.settings, training=replace(cell.settings.training, clip=0.5)))
        for cell in one
    ]
    with pytest.raises(GpiclBenchError, match="has other settings"):
        run_study(TOY, "tiny", changed, 1, tmp_path / "s", SAY_NOTHING)
    assert contents(tmp_path / "s") == before
    file = tmp_path / "s" / "cells" / f"{one[0].name}.json"
    for damage in (file.read_text()[:50], "[]", "{}", json.dumps({"status": "finished", "axes": {}, "settings": {}})):
        file.write_text(damage)
        with pytest.raises(GpiclBenchError, match="is damaged"):
            run_study(TOY, "tiny", one, 1, tmp_path / "s", SAY_NOTHING)
        assert file.read_text() == damage


def test_one_process_at_a_time(tmp_path):
    run_study(TOY, "tiny", grid(hidden=[4]), 1, tmp_path, SAY_NOTHING)
    before = contents(tmp_path)
    with locked(tmp_path), pytest.raises(GpiclBenchError, match="another process works in this folder"):
        run_study(TOY, "tiny", grid(), 1, tmp_path, SAY_NOTHING)
    assert contents(tmp_path) == before


def test_a_cell_is_the_same_under_another_name(tmp_path, monkeypatch):
    """A grid with one more axis, at the value that it had, names its cells otherwise: nothing runs, or counts, twice."""
    run_study(TOY, "tiny", grid(hidden=[4]), 1, tmp_path, SAY_NOTHING)
    before, again = contents(tmp_path), grid(hidden=[4], clip=[1.0])
    assert again[0].name not in before
    reported = []
    run_study(TOY, "tiny", again, 1, tmp_path, lambda state, group, step: reported.append((state, len(group))))
    assert reported == [("finished", 1)]
    assert contents(tmp_path) == before
    run_study(TOY, "tiny", grid(hidden=[4], clip=[1.0, 2.0]), 1, tmp_path, SAY_NOTHING)
    records, failed = all_records(tmp_path)
    assert sorted(r.axes["clip"] for r in records) == [1.0, 2.0]  # on the axes of both grids
    file = next((tmp_path / "cells").glob("*.json"))
    for status in ("finished", "failed"):
        file.with_name("twice.json").write_text(
            json.dumps({**json.loads(file.read_text()), "status": status, "error": ""})
        )
        assert len(all_records(tmp_path)[0]) == 2
        assert all_records(tmp_path)[1] == {}


def test_an_interruption_while_measuring_trains_nothing_again(tmp_path, monkeypatch):
    asked, steps = [], []

    def measure(run, count):
        asked.append(run.settings.training.seed)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return {}

    study, seeds = replace(TOY, measure=measure), grid(hidden=[4], seed=[0, 1, 2])
    with pytest.raises(KeyboardInterrupt):
        run_study(study, "tiny", seeds, 1, tmp_path, SAY_NOTHING)
    run_study(study, "tiny", seeds, 1, tmp_path, lambda state, group, step: steps.append(step))
    assert asked == [0, 1, 0, 1, 2]
    assert max(steps) == 0
    assert len(all_records(tmp_path)[0]) == 3
    assert not (tmp_path / ".training").exists()


@pytest.mark.parametrize("measured", [{"a": float("nan")}, {"a": np.float32(1)}])
def test_what_json_cannot_hold_fails_its_cell_alone(measured, tmp_path):
    study = replace(TOY, measure=lambda run, asked: measured if run.settings.training.seed else {})
    run_study(study, "tiny", grid(hidden=[4], seed=[0, 1]), 1, tmp_path, SAY_NOTHING)
    records, failed = all_records(tmp_path)
    assert [r.axes["seed"] for r in records] == [0]
    assert len(failed) == 1


def test_a_page_of_another_version_is_not_made(tmp_path):
    run_study(TOY, "tiny", grid(hidden=[4]), 1, tmp_path, SAY_NOTHING)
    with pytest.raises(GpiclBenchError, match="another study, scale or version"):
        write_page(tmp_path, replace(TOY, version=2))


def test_failed_cells_and_interruptions_show_in_the_exit_status(tmp_path, capsys, monkeypatch):
    axes = ["hidden=4", "num_tasks=4", "steps=2", "warmup=0", "learning_rate=1e38"]
    command = ["study", "transition", "--scale", "smoke", "--model", "lstm", "--output", str(tmp_path / "s")]
    command += [text for axis in axes for text in ("--axis", axis)]
    assert main(command) == 2
    assert "1 of 1 cells failed" in capsys.readouterr().err
    assert "no number" in (tmp_path / "s" / "README.md").read_text()

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(baselines.studies.running, "train_together", interrupted)
    assert main(command) == 130
    assert "`study`" in capsys.readouterr().err


def test_an_estimate_takes_no_memory_that_is_not_there(monkeypatch):
    two = grid(hidden=[4], seed=[0, 1])
    whole = next(estimates(two)).memory
    monkeypatch.setattr(baselines.studies.together, "memory_there", lambda: whole - 1)
    assert [(len(e.cells), e.trouble) for e in estimates(two)] == [(1, None), (1, None)]
    monkeypatch.setattr(baselines.studies.together, "memory_there", lambda: 1)
    monkeypatch.setattr(baselines.studies.estimate.jax, "block_until_ready", lambda tree: pytest.fail("it ran"))
    assert all("more memory than a device has" in e.trouble for e in estimates(two))


def test_groups_are_of_one_program_and_not_too_many():
    found = groups(grid(seed=range(11)))
    assert [len(group) for group in found] == [8, 3, 8, 3]
    assert all(len({program(cell.settings) for cell in group}) == 1 for group in found)


# What measurements say


def rows(*losses):
    return [{"step": 10 * (i + 1), "validation_loss": loss} for i, loss in enumerate(losses)]


def test_the_plateau_ends_where_the_loss_falls_below():
    bar = 0.95 * np.log(10)
    assert plateau(rows(2.3, 2.3, bar + 0.1, bar - 0.3), 10) == pytest.approx(30 + 10 * 0.1 / 0.4)
    assert plateau(rows(1.0), 10) == 10
    assert plateau(rows(2.3, None, 2.31), 10) is None
    assert plateau([], 10) is None


@given(exponent=st.floats(-2, 2), factor=st.floats(1, 100))
def test_a_power_law_without_noise_is_found(exponent, factor):
    x = [1.0, 2.0, 4.0, 8.0]
    law = fit(x, [factor * v**exponent for v in x], [True] * 4)
    assert law.exponent == pytest.approx(exponent, abs=1e-6)
    assert law.factor == pytest.approx(factor, rel=1e-5)


def test_runs_that_never_left_count_as_longer():
    """With every fourth run cut off at 300 steps, the exponent is found; taken as 300, or left out, it would be flat."""
    rng = np.random.default_rng(3)
    x = np.repeat([4.0, 8.0, 16.0, 32.0], 50)
    true = 3000 * x**-0.8 * np.exp(0.2 * rng.standard_normal(len(x)))
    left = true < 600
    law = fit(x, np.minimum(true, 600), left)
    assert law.exponent == pytest.approx(-0.8, abs=0.06)
    assert law.low < -0.8 < law.high
    assert np.polyfit(np.log(x[left]), np.log(true[left]), 1)[0] > -0.74
    assert fit([4, 4], [10, 12], [True, True]) is None
    assert fit([4, 8], [10, 12], [True, False]) is None


def test_one_run_a_place_gives_no_interval():
    law = fit([4, 8, 16], [100, 60, 31], [True] * 3)
    assert (law.low, law.high) == (-np.inf, np.inf)
    assert "no interval" in str(law)


def lasting(axis, *places, model="lstm", **more):
    """Records by (value, plateaus of the seeds); no plateau: None."""
    return [
        seen("", {axis: value, "seed": seed, **more}, model, plateau=length, steps=1000, accuracy=[0.5, 0.4, 0.6])
        for value, *lengths in places
        for seed, length in enumerate(lengths)
    ]


@pytest.mark.parametrize(
    ("places", "verdict"),
    [
        ([(4, 800, 790), (8, 400, 410), (16, 200, 190)], "reproduced"),
        ([(4, 800), (8, 400), (16, 200)], "open"),  # one run a place
        ([(4, 800, 790), (8, 400, 410)], "open"),  # two places
        ([(4, 200, 190), (8, 400, 410), (16, 800, 790)], "not reproduced"),
    ],
)
def test_a_shorter_plateau_is_reproduced_only_from_enough_runs(places, verdict):
    records = lasting("batch_size", *places)
    found = studies()["plateau"].findings(records)
    assert [finding.verdict for finding in found] == [verdict]
    both = [*records, *lasting("batch_size", (4, 10, 10), (8, 80, 80), (16, 900, 900), model="deltanet")]
    verdicts = {finding.claim.split("(")[1]: finding.verdict for finding in studies()["plateau"].findings(both)}
    assert verdicts == {"deltanet)": "not reproduced", "lstm)": verdict}  # models are not pooled


@pytest.mark.parametrize(
    ("places", "verdict"),
    [
        ([(0.0, 800, 900), (0.9, 200, 100)], "reproduced"),
        ([(0.0, 800, 900), (0.9, 700, 900)], "not reproduced"),
        ([(0.0, None, None), (0.9, 200, 100)], "reproduced"),
        ([(0.0, None, None), (0.9, 900, 800)], "open"),  # 0 may end soon after
        ([(0.0, 800, 900), (0.9, 200, None)], "open"),
        ([(0.0, 800, 150), (0.9, 200, 100)], "open"),  # the seeds overlap
        ([(0.0, 800), (0.9, 200)], "open"),  # one run each
        ([(0.5, 800, 900), (0.9, 200, 100)], "open"),  # nothing without it
        ([(0.0, 800, 900)], "open"),  # nothing with it
        ([(0.0, None, None), (0.9, None, None)], "open"),
    ],
)
def test_the_bias_removes_the_plateau_only_where_cells_show_it(places, verdict):
    found = studies()["bias"].findings(lasting("fixed_permutation", *places))
    assert [finding.verdict for finding in found] == [verdict, "open"]
    assert "inf" not in found[0].here


def transferred(suite, seed=0, model="lstm", **scores):
    scores = {f"{name}-proj-perm-v0": [score, score, score] for name, score in scores.items()}
    return seen("", {"suite": f"{suite}-proj-perm-v0", "seed": seed}, model, scores=scores, missing={})


def test_a_dataset_that_was_not_there_is_no_evidence():
    transfer = studies()["transfer"]
    records = [transferred("digits", digits=0.5), transferred("random_8", digits=0.4, random_8=0.5)]
    assert [f.verdict for f in transfer.findings(records)] == ["reproduced"]
    more = transferred("digits", 1, digits=0.3, random_8=0.2)  # of the seeds that have a score
    assert "least: digits → random_8 0.40" in transfer.findings([*records, more])[0].here
    assert transfer.findings(records[:1]) == []
    apart = transfer.findings([*records, transferred("digits", model="sgd", digits=0.1)])
    assert [f.verdict for f in apart] == ["reproduced"]


def test_a_state_that_goes_with_nothing_is_not_reproduced():
    rng = np.random.default_rng(1)
    records = [
        seen("", {"hidden": i, "seed": 0}, score=[1 / i] * 3, state_bytes=int(rng.integers(1, 99)))
        for i in range(1, 30)
    ]
    records = [replace(r, parameters=r.axes["hidden"], measured={**r.measured, "state_bytes": 10 * (i % 3) + i // 9})
               for i, r in enumerate(records)]  # fmt: skip
    state, parameters, (low, _) = correlations(configurations(records))
    assert parameters == pytest.approx(-1)
    assert state <= 0 < low
    assert studies()["state-size"].findings(records)[0].verdict == "not reproduced"


PLACES = {
    "transition": [{"num_tasks": 4}, {"num_tasks": None}],
    "state-size": [{}],
    "plateau": [
        {"batch_size": 8, "schedule": "cosine", "warmup": 0},
        {"batch_size": 8, "schedule": "constant", "warmup": 5},
    ],
    "bias": [{"fixed_permutation": 0.5}],
    "transfer": [{"suite": "digits-proj-perm-v0"}],
    "length": [{"num_examples": 10}],
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("many", [False, True])
def test_a_page_of_one_cell_or_of_mixed_models_and_axes_is_made(name, many, tmp_path):
    measured = {
        "verdict": "no learning", "cells": [], "score": [0.1] * 3, "state_bytes": 8, "plateau": None, "steps": 100,
        "accuracy": [0.1, 0.1, 0.1], "scores": {"digits-proj-perm-v0": [0.1] * 3}, "positions": [0, 9, 199],
    }  # fmt: skip
    records = [seen("", {**place, "seed": 0}, "lstm", **measured) for place in PLACES[name]]
    if many:
        wide = [
            seen("", {**place, "seed": 1, "width": w}, "deltanet", **measured)
            for place in PLACES[name]
            for w in (8, 16)
        ]
        records += [*wide, moved(records[0], {"clip": 0.5})]
        for record in records:
            record.settings["training"].setdefault("clip", 1.0)
    study = studies()[name]
    folder = written(tmp_path / "s", study, *(records if many else records[:1]))
    assert len(write_page(folder, study)) == 4
    found = all_records(folder)[0]
    assert len(found) == (len(records) if many else 1)
    if many and name != "plateau":
        own = {
            "transition": ["num_tasks"],
            "bias": ["fixed_permutation"],
            "transfer": ["suite"],
            "length": ["num_examples"],
        }
        apart = ["deltanet, width 8", "deltanet, width 16", "lstm"]
        expected = {f"{text}, clip {clip}" for text in apart for clip in (1.0, 0.5) if clip == 1.0 or text == "lstm"}
        names = {
            ", ".join([m, *sorted(p, reverse=True)])
            for m, *p in (n.split(", ") for n in learners(found, *own.get(name, [])))
        }
        assert names == expected


def configuration(state, parameters, score):
    return Configuration("c", "m", state, parameters, [score])


def test_what_explains_a_score_is_told_by_ranks():
    rng = np.random.default_rng(0)
    found = [configuration(2**i, int(p), i / 20) for i, p in enumerate(rng.permutation(12) + 1)]
    state, parameters, (low, high) = correlations(found)
    assert state == pytest.approx(1)
    ranks = np.array([c.parameters for c in found], float)
    expected = 1 - 6 * np.sum((ranks - 1 - np.arange(12)) ** 2) / (12 * (12**2 - 1))  # Spearman 1904, without ties
    assert parameters == pytest.approx(expected)
    assert 0 < low < state - parameters < high + 1e-9
    assert correlations(found[:3]) is None
    assert correlations([configuration(1, 1, 0.5)] * 9) is None


def phased(*verdicts):
    """A learner at 2^4, 2^5, … tasks with these verdicts."""
    gain = {"general learning": 0.5}
    return [
        Record(
            f"n{i}",
            {"model": "lstm", "hidden": 8, "num_tasks": 2 ** (4 + i), "seed": 0},
            {},
            {
                "verdict": verdict,
                "cells": [
                    {"tasks": kind, "images": "test", "improvement": [gain.get(verdict, 0.0)] * 3}
                    for kind in ("seen", "unseen", "other")
                ],
            },
            [],
            1,
            1.0,
        )
        for i, verdict in enumerate(verdicts)
    ]


@pytest.mark.parametrize(
    ("verdicts", "order", "begins"),
    [
        (ORDER, "reproduced", "from 2^6 tasks on"),
        ((ORDER[0], "undetermined", ORDER[1], "undetermined", ORDER[2], ORDER[2]), "reproduced", "from 2^8 tasks on"),
        ((ORDER[0], ORDER[2]), "open", "from 2^5 tasks on"),
        ((ORDER[1], ORDER[0], ORDER[2]), "not reproduced", "from 2^6 tasks on"),
        ((ORDER[0], ORDER[1]), "open", "not up to 2^5"),
        ((ORDER[0], ORDER[1], ORDER[2], "undetermined"), "reproduced", "not lastingly up to 2^7"),
        ((ORDER[0], ORDER[2], "undetermined", ORDER[2]), "open", "from 2^7 tasks on"),
    ],
)
def test_phases_are_reproduced_only_in_their_order(verdicts, order, begins):
    found = transition_findings(phased(*verdicts))
    assert found[0].verdict == order
    assert found[1].here == begins


def test_other_base_datasets_are_judged_by_the_runs_that_learn():
    found = transition_findings(phased(ORDER[0], ORDER[2]))
    assert (found[-1].verdict, "0.50 of what is possible, mean of 1 runs" in found[-1].here) == ("reproduced", True)
    assert len(transition_findings(phased(ORDER[0], "undetermined"))) == 2
    only = phased(ORDER[2])  # improves on unseen tasks and on no other base dataset: undetermined, and it counts
    only[0].measured["verdict"] = "undetermined"
    next(c for c in only[0].measured["cells"] if c["tasks"] == "other")["improvement"] = [0.0] * 3
    assert transition_findings(only)[-1].verdict == "not reproduced"
    unbounded = phased(ORDER[0], ORDER[1], ORDER[2])
    unbounded[-1].axes["num_tasks"] = None
    assert transition_findings(unbounded)[1].here == "from unbounded tasks on"
    wider = [replace(r, axes={**r.axes, "model": "sgd", "width": 4}) for r in phased(ORDER[0], ORDER[0])]
    claims = [f.claim for f in transition_findings([*unbounded, *wider])]
    assert "Learning begins at a number of tasks (sgd, hidden 8, width 4)" in claims


def test_axes_are_shown_and_sorted_for_people():
    assert [shown(v) for v in (4, 16, 1000, 2**14, None, 0.5, "a")] == [
        "4",
        "2^4",
        "1000",
        "2^14",
        "unbounded",
        "0.5",
        "a",
    ]
    records = [Record("", {"num_tasks": n}, {}, {}, [], 0, 0.0) for n in (None, 64, 4)]
    assert list(by(records, "num_tasks")) == [(4,), (64,), (None,)]


@pytest.fixture(scope="module")
def some_runs(tmp_path_factory, standard_promotion):
    """Two runs of a Transformer that could take any T, hardly trained."""
    options = {"num_examples": 12, "batch_size": 2, "steps": 2, "every": 1, "warmup": 0, "validation_tasks": 2}
    size = {"layers": 1, "heads": 1, "head_size": 8, "width": 8, "num_tasks": 4}
    group = [make_settings("transformer", "digits-tiny", {**options, **size, "seed": seed}) for seed in (0, 1)]
    return train_together(group, tmp_path_factory.mktemp("runs"))


AXES = {
    "transition": {"width": 8, "num_tasks": 4},
    "state-size": {"width": 8},
    "plateau": {"batch_size": 2},
    "bias": {"fixed_permutation": 0.0},
    "transfer": {"suite": "digits-proj-perm-v0"},
    "length": {"num_examples": 12},
}


def moved(record, axes, **changed):
    """A record at another place of the grid."""
    axes = {**record.axes, **axes}
    training = {**record.settings.get("training", {}), **axes}
    name = "_".join(f"{axis}-{value}" for axis, value in axes.items())
    return replace(record, name=name, axes=axes, settings={**record.settings, "training": training}, **changed)


def written(folder, study, *records):
    """A folder with these cells."""
    (folder / "cells").mkdir(parents=True)
    (folder / "study.json").write_text(json.dumps({"study": study.name, "scale": "tiny", "version": study.version}))
    for record in records:
        about = {"status": "finished", **{k: v for k, v in vars(record).items() if k != "name"}}
        (folder / "cells" / f"{record.name}.json").write_text(json.dumps(about))
    return folder


def seen(name, axes, model="lstm", **measured):
    """A record without a run."""
    return moved(Record(name, {"model": model}, {"model": model}, measured, [], 1, 1.0), axes)


@pytest.mark.parametrize("name", NAMES)
def test_a_study_measures_tells_and_draws(name, some_runs, tmp_path):
    study = studies()[name]
    records = []
    for run in some_runs:
        measured = json.loads(json.dumps(study.measure(run, 8), allow_nan=False))
        axes = {"model": "transformer", **AXES[name], "seed": run.settings.training.seed}
        records.append(
            Record(f"{name}-{axes['seed']}", axes, run.settings.plain(), measured, run.rows, run.parameters, 1.0)
        )
    other = [moved(r, {k: 8 if k != "suite" else "random_8-proj-perm-v0" for k in AXES[name]}) for r in records]
    folder = written(tmp_path / "study", study, *records, *other)
    pages = write_page(folder, study)
    before = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in pages}
    write_page(folder, study)
    assert {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in pages} == before
    assert sorted(before) == ["README.md", "figure.png", "figure.svg", "index.html"]
    page = (folder / "README.md").read_text()
    assert study.question in page
    assert all(table.title in page for table in study.tables(records))
    findings = write_findings(tmp_path, tmp_path / "findings.md").read_text()
    assert f"### {name}, tiny" in findings
    assert "(study/figure.png)" in findings


def test_a_trained_run_answers_and_says_what_it_has_seen(some_runs):
    run = some_runs[1]
    info = make("digits-proj-perm-v0", num_examples=30).info
    learner = run.learner(info)
    assert learner.card["meta_training"]["seed"] == 1
    assert learner.card["meta_training"]["num_tasks"] == 4
    assert learner.card["parameters"] == sum(np.size(leaf) for leaf in jax.tree.leaves(run.weights))
    x = np.zeros((2, 30, info.D), np.float32)
    assert np.asarray(learner(x, np.zeros((2, 30), np.int32))).shape == (2, 30, 10)
    limited = Trained(*vars(some_runs[0]).values())
    assert limited.failure is None
    bad = replace(limited, rows=[{**limited.rows[0], "loss": None}])
    assert "no number before step 1" in bad.failure


def test_a_dry_run_prints_the_cells_and_writes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    axes = ["--axis", "hidden=4", "--axis", "num_tasks=4,8", "--axis", "batch_size=2"]
    assert main(["study", "transition", "--scale", "smoke", "--model", "lstm", *axes, "--dry-run"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert all("MB" in line and "about" in line for line in lines[:2])
    assert lines[2].startswith("2 cells, about")
    assert not list(tmp_path.iterdir())


def test_the_findings_are_those_of_the_cells(tmp_path):
    """docs/findings.md is what the cells in the repository give."""
    page = ROOT / "docs" / "findings.md"
    results = ROOT / "baselines" / "results" / "studies"
    (tmp_path / "docs").mkdir()
    (tmp_path / "baselines").symlink_to(ROOT / "baselines")
    made = write_findings(tmp_path / "baselines" / "results" / "studies", tmp_path / "docs" / "findings.md")
    assert results.exists()
    assert made.read_text() == page.read_text()
