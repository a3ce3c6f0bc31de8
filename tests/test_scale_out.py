"""Several devices, several hosts, and batches in parts: the same updates as one device makes of a whole batch."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from baselines.checkpoint import read_about
from baselines.run import checkpoints, read_metrics, run
from baselines.settings import MODELS, make_settings
from baselines.training import make_trainer
from gpicl_bench import make
from gpicl_bench.errors import InvalidArgument
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("standard_promotion")

# Without projections the sampler compiles in a moment; test_sampler.py has those on several devices.
SMALL = {
    "suite": "digits-none-perm-v0",
    "steps": 6,
    "every": 2,
    "batch_size": 16,
    "num_examples": 5,
    "warmup": 2,
    "validation_tasks": 16,
}
BLOCKS = {"layers": 1, "width": 8, "heads": 2, "head_size": 4}
SIZES = {"lstm": {"hidden": 8}, "outer_product_lstm": {"hidden": 8}, "transformer": BLOCKS, "deltanet": BLOCKS}
SIZES |= {"vsml": {"hidden": 4, "messages": 2}, "sgd": {}, "maml": {}}


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
    for name in ("loss", "gradient_norm", "seen_accuracy", "validation_loss"):
        ours, theirs = ([row[name] for row in of_run] for of_run in rows)
        assert np.allclose(ours, theirs, rtol=0, atol=1e-5), name
    return True


class Stopped(BaseException):
    pass


def stop(row):
    raise Stopped


UNDIVIDED = {"validation_tasks": 6, "accumulate": 2}  # 8 devices do not divide the tasks of a look


@pytest.fixture(scope="module")
def alone(tmp_path_factory, standard_promotion):
    """The folders of runs on one device."""
    folder = tmp_path_factory.mktemp("alone")
    for model in MODELS:
        assert run(small(model), folder / model)
    assert run(small(**UNDIVIDED), folder / "undivided")
    return folder


EIGHT = """
import sys
from pathlib import Path
from baselines.run import run
from baselines.settings import make_settings
for name, model, options in {runs}:
    assert run(make_settings(model, 'digits-tiny', options), Path(sys.argv[1]) / name, resume=True)
"""


@pytest.fixture(scope="module")
def eight(tmp_path_factory, standard_promotion):
    """The folders of the same runs on eight devices; of the last one the first look was on one."""
    folder = tmp_path_factory.mktemp("eight")
    with pytest.raises(Stopped):
        run(small(**UNDIVIDED), folder / "undivided", report=stop)
    runs = [(model, model, {**SMALL, **SIZES[model]}) for model in MODELS]
    runs.append(("undivided", "lstm", {**SMALL, **SIZES["lstm"], **UNDIVIDED}))
    environment = command("lstm", 8)["env"]
    subprocess.run([sys.executable, "-c", EIGHT.format(runs=runs), str(folder)], env=environment, check=True)
    return folder


@pytest.mark.parametrize("name", [*MODELS, "undivided"])
def test_eight_devices_have_the_losses_of_one(alone, eight, name):
    assert close(alone / name, eight / name)
    said = [read_about(checkpoints(folder / name)[-1])["hardware"] for folder in (alone, eight)]
    assert said[1] == f"8 × {said[0]}"


def test_a_batch_that_the_devices_do_not_divide_is_refused_before_anything_is_written(tmp_path):
    done = trained(tmp_path / "run", "lstm", 8, accumulate=2, batch_size=40)
    assert done.returncode == 2
    assert "expected: --batch-size a multiple of 16: 8 devices × --accumulate 2\n  got: --batch-size 40" in done.stderr
    assert "what to do: --batch-size 32, or fewer visible devices" in done.stderr
    assert not list(tmp_path.rglob("*"))


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


def free_port():
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def on_hosts(
    folder,
    *arguments,
    processes=2,
    absent=(),
    devices=2,
    wait=300,
    each=lambda number: (),
    environment=lambda number: {},
    **options,
):
    """`train` on simulated hosts, each with a folder of its own: what every process printed, and its status."""
    started, port = [], free_port()
    for number in set(range(processes)) - set(absent):
        (folder / f"host{number}").mkdir(exist_ok=True)
        hosts = ["--coordinator", f"localhost:{port}", "--processes", str(processes), "--process", str(number)]
        more = ["--wait", str(wait), "--output", "run", *arguments, *each(number)]
        start = command("lstm", devices, *hosts, *more, **options)
        start["env"] |= environment(number)
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen(**start, cwd=folder / f"host{number}", **pipes))
    said = [process.communicate(timeout=300) for process in started]
    return [(process.returncode, out + err) for process, (out, err) in zip(started, said, strict=True)]


def test_two_hosts_have_the_losses_of_one_process_and_the_first_alone_writes(alone, tmp_path):
    done = on_hosts(tmp_path)
    assert [status for status, _ in done] == [0, 0], done
    assert close(alone / "lstm", tmp_path / "host0" / "run")
    assert not list((tmp_path / "host1").iterdir())
    assert "step       6" in done[0][1]
    assert "step" not in done[1][1]
    about = json.loads((tmp_path / "host0" / "run" / "run.json").read_text())
    assert about["hardware"].startswith("4 × cpu")
    assert about["hardware"].endswith(", 2 processes")
    refused = on_hosts(tmp_path)
    assert [status for status, _ in refused] == [2, 2], refused
    assert all("this folder holds a run" in text for _, text in refused)
    assert "where: process 0" in refused[1][1]


def test_two_hosts_go_on_where_one_process_was(alone, tmp_path):
    with pytest.raises(Stopped):
        run(small(), tmp_path / "host0" / "run", report=stop)
    done = on_hosts(tmp_path, "--resume", devices=1)
    assert [status for status, _ in done] == [0, 0], done
    assert close(alone / "lstm", tmp_path / "host0" / "run")


@pytest.mark.parametrize(("processes", "absent"), [(3, [0]), (3, [2])])
def test_a_host_that_does_not_come_ends_all_others_in_time(tmp_path, processes, absent):
    done = on_hosts(tmp_path, processes=processes, absent=absent, wait=4)
    for status, text in done:
        assert status == 2, text
        assert text.count("error:") == 1
        assert f"expected: {processes} processes at localhost:" in text
        assert "within 4 s" in text
    assert any(re.search(rf"got: none from --process .*\b{absent[0]}\b", text) for _, text in done)
    assert not list(tmp_path.rglob("run.json"))


def test_a_host_with_other_settings_is_refused(tmp_path):
    done = on_hosts(tmp_path, each=lambda number: ["--seed", str(number)])
    for status, text in done:
        assert status == 2, text
        assert "other settings than process 0\n  expected: seed = 0\n  got: seed = 1" in text


@pytest.mark.parametrize("victim", [0, 1])
def test_a_host_that_dies_ends_the_others(tmp_path, victim):
    """Where it is process 0, JAX may abort the others before they can say anything."""
    port, started = free_port(), []
    for number in (0, 1):
        folder = tmp_path / f"host{number}"
        folder.mkdir()
        hosts = ["--coordinator", f"localhost:{port}", "--processes", "2", "--process", str(number), "--output", "run"]
        start = command("lstm", 1, *hosts, steps=1_000_000)
        with (folder / "said").open("w") as said:
            started.append(subprocess.Popen(**start, cwd=folder, stdout=said, stderr=said))
    deadline = time.monotonic() + 300
    while not list((tmp_path / "host0").glob("run/checkpoint-*.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    started[victim].kill()
    assert started[victim].wait() == -signal.SIGKILL
    status, text = started[1 - victim].wait(timeout=300), (tmp_path / f"host{1 - victim}" / "said").read_text()
    if victim == 0 and status == -signal.SIGABRT:
        return
    assert status == 2, text
    assert "lost each other" in text
    assert "--resume" in text


def test_a_host_without_the_images_ends_all(tmp_path, prepared_data):
    """Process 1 has neither data nor network; process 0 would wait for it in the first operation of both."""
    nothing = {"TFDS_DATA_DIR": str(tmp_path / "none"), "GPICL_BENCH_CACHE": str(tmp_path / "cache")}
    done = on_hosts(tmp_path, suite="fashion_mnist-none-perm-v0", environment=lambda number: nothing if number else {})
    assert [status for status, _ in done] == [2, 2], done
    assert "where: process 1" in done[0][1]
    assert not list(tmp_path.rglob("run.json"))


GOOD = {"--coordinator": "localhost:1234", "--processes": "2", "--process": "0"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({**GOOD, "--process": "2"}, "expected: --process from 0 to 1"),
        ({**GOOD, "--process": "-1"}, "process is out of range"),
        ({**GOOD, "--processes": "0"}, "processes is out of range"),
        ({**GOOD, "--wait": "0"}, "wait is out of range"),
        ({**GOOD, "--wait": "nan"}, "wait is out of range"),
        ({**GOOD, "--coordinator": "localhost"}, "expected: HOST:PORT"),
        ({**GOOD, "--coordinator": "::1:1234"}, "[IPv6]:PORT"),
        ({**GOOD, "--coordinator": "localhost:99999"}, "expected: HOST:PORT"),
        ({"--processes": "2"}, "without --coordinator, --process"),
        ({"--wait": "3"}, "belong together"),
    ],
)
def test_hosts_are_refused_in_words(options, message, capsys):
    from baselines.commands import main

    assert main(["train", "lstm", *[f"{name}={value}" for name, value in options.items()]]) == 2
    assert message in capsys.readouterr().err


def test_the_number_of_one_process_changes_nothing(alone, tmp_path, monkeypatch, capsys):
    from baselines.commands import main

    monkeypatch.chdir(tmp_path)
    hosts = ["--coordinator", "localhost:1234", "--processes", "1", "--process", "0"]
    assert main([*command("lstm", 1, *hosts, "--output", "run")["args"][3:]]) == 0
    files = [next(folder.glob("checkpoint-0000000006.safetensors")) for folder in (alone / "lstm", tmp_path / "run")]
    assert files[0].read_bytes() == files[1].read_bytes()
