"""Workers: the same result for every number of them, and clear errors from other processes."""

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier

from gpicl_bench import errors, evaluate, load_learner, make
from gpicl_bench.evaluation import workers as pool
from gpicl_bench.evaluation.journal import num_kept
from tests.conftest import ROOT
from tests.learners import Guess, StepNearest, environment, guess, nearest, nesting, scored_nearest, sequence_nearest

SUITE = make("digits-proj-perm-v0")
FEW = {"num_tasks": 11, "positions": [0, 5, 30]}


def same(one, other):
    """Everything but the times."""
    assert (one.setting, one.learner, one.provenance) == (other.setting, other.learner, other.provenance)
    assert one.prediction.tobytes() == other.prediction.tobytes()
    assert one.outcome.tobytes() == other.outcome.tobytes()
    assert (one.log_loss is None) == (other.log_loss is None)
    assert one.log_loss is None or one.log_loss.tobytes() == other.log_loss.tobytes()
    return True


@pytest.mark.parametrize(
    "learner",
    [nearest, scored_nearest, guess, StepNearest(), Guess(), SGDClassifier(loss="log_loss", max_iter=5, tol=None, alpha=0.1),
     SGDClassifier(max_iter=5, tol=None), lambda context_x, context_y, query_x: query_x[:, :10] * len(context_y)],
    ids=["labels", "scores", "keys", "step", "step with keys", "scikit-learn", "scikit-learn labels", "lambda"],
)  # fmt: skip
def test_every_number_of_workers_gives_the_same_result(learner):
    alone = evaluate(learner, SUITE, **FEW, learner_seed=3)
    for workers in (2, 3):
        assert same(alone, evaluate(learner, SUITE, **FEW, learner_seed=3, workers=workers))
    assert len(np.unique(alone.prediction)) > 1


def test_the_work_is_done_in_other_processes(tmp_path):
    def signed(context_x, context_y, query_x):
        (tmp_path / str(os.getpid())).touch()
        time.sleep(0.05)
        return np.zeros(1, int)

    evaluate(signed, SUITE, num_tasks=16, positions=[3])
    assert os.listdir(tmp_path) == [str(os.getpid())]
    evaluate(signed, SUITE, num_tasks=16, positions=[3], workers=2)
    assert len(os.listdir(tmp_path)) == 3


@pytest.fixture
def written(tmp_path):
    """A learner file with a neighbour, an argument, and a lock: it cannot be pickled."""
    (tmp_path / "neighbour.py").write_text("from numpy import roll\ndef rule(x, by):\n    return roll(x[:, :10], by)\n")
    (tmp_path / "mine.py").write_text(
        "import threading\nfrom neighbour import rule\n"
        "def make_learner(info, by=0):\n"
        "    held = threading.Lock()\n"
        "    return lambda context_x, context_y, query_x: rule(query_x, by + held.locked())\n"
    )
    return tmp_path / "mine.py"


def test_a_learner_file_is_loaded_in_each_worker(written):
    loaded = load_learner(written, SUITE.info, {"by": 4})
    alone, shared = (evaluate(loaded, SUITE, **FEW, workers=n) for n in (1, 2))
    assert same(alone, shared)
    assert shared.learner.source_sha256 == hashlib.sha256(written.read_bytes()).hexdigest()
    other = evaluate(load_learner(written, SUITE.info, {"by": 5}), SUITE, **FEW, workers=2)
    assert not np.array_equal(other.prediction, shared.prediction)


def test_a_file_that_was_changed_meanwhile_is_refused(written):
    loaded = load_learner(written, SUITE.info)
    written.write_text(written.read_text() + "\n")
    with pytest.raises(errors.LearnerFileError, match=r"another learner file(.|\n)*mine.py"):
        evaluate(loaded, SUITE, **FEW, workers=2)
    written.unlink()
    with pytest.raises(errors.LearnerFileError, match="No such file"):
        evaluate(loaded, SUITE, **FEW, workers=2)


def test_an_object_that_cannot_be_sent_is_named(tmp_path):
    class Holding:
        def __init__(self):
            self.file = open(tmp_path / "a", "w")  # noqa: SIM115

        def __call__(self, context_x, context_y, query_x):
            return np.zeros((1, 10))

    learner = Holding()
    with pytest.raises(errors.LearnerError, match=r"cannot be sent(.|\n)*Holding(.|\n)*learner file"):
        evaluate(learner, SUITE, **FEW, workers=2)
    learner.file.close()


def test_an_error_in_a_worker_names_task_and_position():
    target = SUITE.meta_test.episode(7)

    def failing(context_x, context_y, query_x):
        if np.array_equal(query_x[0], target.x[30]):
            raise OSError("no\nmore")
        return np.zeros(1, int)

    told = []
    for workers in (1, 2):
        with pytest.raises(errors.LearnerError) as raised:
            evaluate(failing, SUITE, **FEW, workers=workers)
        told.append((str(raised.value), raised.value.what, raised.value.got, raised.value.where))
    assert told[0] == told[1]
    assert told[0][2:] == ("OSError: no / more", "failing, task 7, position 30")


@pytest.mark.parametrize("end", ["os._exit(3)", "os.kill(os.getpid(), 9)"])
def test_a_worker_that_dies_is_an_error(tmp_path, end):
    (tmp_path / "mine.py").write_text(f"import os\ndef learner(context_x, context_y, query_x):\n    {end}\n")
    with pytest.raises(errors.LearnerError, match=r"a worker process died(.|\n)*mine(.|\n)*memory"):
        evaluate(load_learner(tmp_path / "mine.py", SUITE.info), SUITE, **FEW, workers=2)
    assert same(*(evaluate(nearest, SUITE, **FEW, workers=n) for n in (1, 2)))  # and new ones are started


@pytest.mark.parametrize("workers", [0, -1, 1025, 10**9, True])
def test_what_is_no_number_of_workers_is_refused(workers):
    with pytest.raises(errors.InvalidArgument, match="workers"):
        evaluate(nearest, SUITE, **FEW, workers=workers)


def test_forms_that_take_whole_blocks_take_no_workers():
    with pytest.raises(errors.InvalidArgument, match="64 episodes a call"):
        evaluate(sequence_nearest, SUITE, **FEW, workers=2)


def test_threads_of_another_back_end_do_not_disturb_each_other(tmp_path):
    """Loading changes the path of imports, and BLAS has one number of threads: of the process, not of a thread."""
    (tmp_path / "mine.py").write_text(
        "import os, time\n"
        "def learner(context_x, context_y, query_x):\n"
        "    os.close(os.open(__file__ + '.busy', os.O_CREAT | os.O_EXCL))\n"
        "    time.sleep(0.005)\n"
        "    os.remove(__file__ + '.busy')\n"
        "    return query_x[:, :10]\n"
    )
    loaded = load_learner(tmp_path / "mine.py", SUITE.info)
    alone = evaluate(loaded, SUITE, **FEW)
    with joblib.parallel_config(backend="threading"):
        assert same(alone, evaluate(loaded, SUITE, **FEW, workers=3))


def test_workers_go_on_after_jax_has_started():
    """No fork: JAX's threads would not survive it. A warning would be an error."""
    program = (
        "import jax, gpicl_bench, numpy as np\n"
        "jax.numpy.zeros(3).block_until_ready()\n"
        "learner = lambda context_x, context_y, query_x: query_x[:, :10]\n"
        "one, two = (gpicl_bench.evaluate(learner, 'digits-proj-perm-v0', num_tasks=4, positions=[5], workers=n) for n in (1, 2))\n"
        "assert one.log_loss.tobytes() == two.log_loss.tobytes() and one.provenance == two.provenance\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


PEAKS = """
import os, re, sys
from pathlib import Path
import gpicl_bench

def learner(context_x, context_y, query_x):
    return query_x[:, :10]

def status(pid, field):
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):  # any process of the machine may end between the list and here
        return 0
    found = re.search(rf"^{field}:\\s+(\\d+)", text, re.MULTILINE)
    return int(found[1]) if found else 0  # a zombie has no memory

def of_workers():
    return max([0, *(status(pid, "VmHWM") for pid in os.listdir("/proc") if pid.isdigit() and status(pid, "PPid") == os.getpid())])

for num_tasks in (1_000, 10_000):
    gpicl_bench.evaluate(learner, "digits-proj-perm-v0", num_tasks=num_tasks, positions=[0, 99], workers=int(sys.argv[1]))
    print(status("self", "VmHWM"), of_workers())
"""


@pytest.mark.parametrize("workers", [1, 2])
def test_memory_is_flat_from_1000_to_10000_tasks(workers):
    """The episodes alone of 9,000 tasks more would be 230 MB.

    The peaks are those of the kernel for the program that runs: a process inherits `ru_maxrss` from what started it.
    """
    command = [sys.executable, "-c", PEAKS, str(workers)]  # fresh, without the type checks of the tests
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    (parent, worker), (parent_later, worker_later) = (
        [int(kB) * 1024 for kB in row.split()] for row in printed.splitlines()
    )
    assert parent_later - parent < 15e6
    assert worker_later - worker < 15e6
    assert parent > 30e6
    assert (worker > 30e6) == (workers > 1)


def test_an_error_loses_no_block_that_was_asked_with_it(tmp_path):
    """Task 200 is in block 12 of 16; the three others of its window are finished and kept."""
    tiring = SUITE.meta_test.episode(200).x[5]

    def tired(context_x, context_y, query_x):
        if len(context_y) == 5 and np.array_equal(query_x[0], tiring):
            raise RuntimeError("tired")
        return context_y[-1:] if len(context_y) else [0]

    with pytest.raises(errors.LearnerError, match=r"(?s)tired.*task 200, position 5"):
        evaluate(tired, SUITE, num_tasks=256, positions=[0, 5], workers=2, checkpoint=tmp_path / "journal")
    assert num_kept(tmp_path / "journal") == 256 - 16


def test_the_processes_of_each_evaluation_are_fresh(monkeypatch):
    for answer in ("3", "4"):
        monkeypatch.setenv("ANSWER", answer)
        result = evaluate(environment, SUITE, num_tasks=8, positions=[0], workers=2)
        assert np.unique(result.prediction).tolist() == [int(answer)]


def test_an_evaluation_within_a_worker_takes_no_workers():
    with pytest.raises(errors.LearnerError, match="an evaluation with workers runs in this process already"):
        evaluate(nesting, SUITE, num_tasks=2, positions=[0], workers=2)


def test_blocks_do_not_pile_up(monkeypatch):
    """joblib would keep arrays over 1 MB in a file until the end, and draw tasks ahead of a slow disk."""
    judged, drawn, ahead, files = pool.judged, pool.drawn, [0], []

    def counting(plan, tasks):
        ahead.append(ahead[-1] + 1)
        return drawn(plan, tasks)

    def looking(*arguments):
        folders = [
            f
            for place in ("/dev/shm", tempfile.gettempdir())
            for f in Path(place).glob(f"joblib_memmapping_folder_{os.getpid()}_*")
        ]
        files.extend(path for folder in folders for path in folder.rglob("*") if path.is_file())
        ahead.append(ahead[-1] - 1)
        return judged(*arguments)

    monkeypatch.setattr(pool, "drawn", counting)
    monkeypatch.setattr(pool, "judged", looking)
    evaluate(environment, "random-proj-perm-v0", num_tasks=256, positions=[0], workers=2)
    assert files == []
    assert max(ahead) <= 4


def test_a_back_end_that_gives_all_answers_together(monkeypatch):
    """As Ray's does."""
    parallel = joblib.Parallel

    def together(*, return_as, **options):
        if return_as != "list":
            raise ValueError("this back end does not support it")
        return parallel(return_as=return_as, **options)

    monkeypatch.setattr(joblib, "Parallel", together)
    one, two = (evaluate(environment, SUITE, num_tasks=40, positions=[0], workers=n) for n in (1, 2))
    assert np.array_equal(one.prediction, two.prediction)
