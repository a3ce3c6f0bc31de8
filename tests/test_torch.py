"""Torch modules: the same numbers as an independent computation, in every process; what is wrong is named."""

import os
import re
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="no torch here: pip install 'gpicl_bench[torch]'")

from torch import nn  # noqa: E402

from gpicl_bench import audit, diagnose, errors, evaluate, load_learner, make, provenance, sequence_learner  # noqa: E402
from gpicl_bench.leaderboard.rerun import Limits, asking  # noqa: E402
from gpicl_bench.learners import Block, adapt  # noqa: E402
from gpicl_bench.learners.threads import one_thread  # noqa: E402

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "docs" / "examples" / "torch_gru.py"
SUITE = make("digits-proj-perm-v0")
SEED = "5eed" * 16
FEW = {"num_tasks": 3, "positions": [0, 1, 30, 99]}

STEPPED = """
import torch
from torch import nn

torch.set_num_threads(2)


class Stepped(nn.Module):
    def __init__(self, info, width):
        super().__init__()
        self.num_classes, self.width = info.C, width
        self.cell = nn.GRUCell(info.D + info.C, width)
        self.readout = nn.Linear(width, info.C)

    def init(self):
        return self.readout.weight.new_zeros(self.width)

    def step(self, state, x, y_prev):
        label = x.new_zeros(self.num_classes)
        if y_prev >= 0:
            label[y_prev] = 1
        state = self.cell(torch.cat([x, label]), state)
        return state, self.readout(state)


class Threads(nn.Module):
    def init(self):
        return None

    def step(self, state, x, y_prev):
        return state, nn.functional.one_hot(torch.tensor(torch.get_num_threads()), 10)


def make_learner(info, kind="stepped"):
    if kind == "threads":
        return Threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Stepped(info, 16)
"""


@pytest.fixture
def two_threads():
    """As on a machine with two cores, whatever this one has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def stepped_file(tmp_path, two_threads):
    """A learner file; what it does to torch's threads ends with the test."""
    path = tmp_path / "stepped.py"
    path.write_text(STEPPED)
    return path


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def gru(weights, inputs):
    """A layer of Cho et al. (2014) with torch's order of gates (r, z, n), in float64: inputs [T, I] -> [T, H]."""
    w_in, w_state, b_in, b_state = (weights[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    state, states = np.zeros(w_state.shape[1]), []
    for row in inputs:
        r_in, z_in, n_in = np.split(w_in @ row + b_in, 3)
        r_state, z_state, n_state = np.split(w_state @ state + b_state, 3)
        r, z = sigmoid(r_in + r_state), sigmoid(z_in + z_state)
        state = (1 - z) * np.tanh(n_in + r * n_state) + z * state
        states.append(state)
    return np.array(states)


def expected_scores(module, x, y, cell="gru."):
    """What the example, or the same in the step form, says of an episode, from its weights alone."""
    weights = {name: value.numpy().astype(np.float64) for name, value in module.state_dict().items()}
    before = np.vstack([np.zeros(10), np.eye(10)[y[:-1]]])
    suffix = "" if cell == "gru." else "_l0"
    inside = {name.removeprefix(cell) + suffix: value for name, value in weights.items() if name.startswith(cell)}
    return gru(inside, np.hstack([x, before])) @ weights["readout.weight"].T + weights["readout.bias"]


def block(num_tasks):
    episodes = [SUITE.meta_test.episode(i) for i in range(num_tasks)]
    x, y = np.stack([e.x for e in episodes]), np.stack([e.y for e in episodes])
    return Block(range(num_tasks), x, y, np.zeros((num_tasks, 2), np.uint32))


def scores(module, num_tasks=2, positions=range(100)):
    return adapt(module, SUITE.info, "module").predict(block(num_tasks), np.array(positions))


def example():
    return load_learner(EXAMPLE, SUITE.info).learner


@pytest.mark.parametrize("form", ["sequence", "step"])
def test_scores_are_those_of_an_independent_computation(form, stepped_file):
    module = example() if form == "sequence" else load_learner(stepped_file, SUITE.info).learner
    adapter = adapt(module, SUITE.info, "module")
    assert (adapter.form, adapter.withholds_labels) == (form, form == "step")
    asked = block(3)
    found = adapter.predict(asked, np.arange(100))
    cell = "gru." if form == "sequence" else "cell."
    expected = np.stack([expected_scores(module, x, y, cell) for x, y in zip(asked.x, asked.y, strict=True)])
    assert np.abs(found - expected).max() < 1e-5
    result = evaluate(module, SUITE, **FEW, audit="off")
    assert np.array_equal(result.prediction, found.argmax(axis=-1)[:, FEW["positions"]])


class Recording(nn.Module):
    """Scores at chance from weights of its own; it keeps what it was asked with."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.readout = nn.Linear(64, 10, dtype=dtype)
        self.dropout = nn.Dropout(0.5)
        self.seen = []

    def forward(self, x, y):
        self.seen.append((x, y, torch.is_grad_enabled(), self.dropout.training))
        return self.dropout(self.readout(x.to(self.readout.weight.dtype)))


def test_a_module_gets_whole_blocks_of_tensors_and_no_gradients():
    module = Recording()
    scores(module, num_tasks=2)
    ((x, y, grad, training),) = module.seen
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((64, 100, 64), torch.float32, (64, 100), torch.int64)
    assert np.array_equal(x[1].numpy(), SUITE.meta_test.episode(1).x)
    assert np.array_equal(y[1].numpy(), SUITE.meta_test.episode(1).y)
    assert (grad, training) == (False, False)
    assert module.readout.weight.grad is None
    assert torch.is_grad_enabled()


def test_a_module_in_training_is_asked_in_eval_mode_and_left_as_it_was():
    """Dropout does not drop, BatchNorm's statistics stay; parts that were frozen stay frozen."""
    module = nn.Sequential(nn.BatchNorm1d(64), nn.Dropout(0.5), nn.Linear(64, 10), nn.Dropout(0.5))
    module.forward = lambda x, y: nn.Sequential.forward(module, x.flatten(0, 1)).reshape(*y.shape, 10)
    module.eval()
    calm = scores(module)
    module.train()
    module[3].eval()
    statistics = {name: value.clone() for name, value in module.state_dict().items()}
    assert np.array_equal(scores(module), calm)
    assert [part.training for part in (module, *module)] == [True, True, True, True, False]
    assert all(torch.equal(value, statistics[name]) for name, value in module.state_dict().items())

    def broken(x, y):
        raise RuntimeError("no idea")

    module.forward = broken
    with pytest.raises(errors.LearnerError, match="no idea"):
        scores(module)
    assert [part.training for part in (module, *module)] == [True, True, True, True, False]


def test_training_goes_on_after_an_evaluation():
    module = example().train()
    evaluate(module, SUITE, **FEW, audit="off")
    episode = block(2)
    module(torch.tensor(episode.x), torch.tensor(episode.y, dtype=torch.int64)).sum().backward()
    assert module.readout.bias.grad.tolist() == pytest.approx([200.0] * 10)


def test_what_a_module_keeps_from_an_evaluation_serves_its_training():
    class Rotating(nn.Module):
        """It makes a table at its first call, as rotary positions are made."""

        def __init__(self):
            super().__init__()
            self.readout, self.table = nn.Linear(64, 10), None

        def forward(self, x, y):
            if self.table is None:
                self.table = torch.cos(torch.arange(x.shape[1]).float())[:, None]
            return self.readout(x) * self.table

    module = Rotating()
    evaluate(module, SUITE, **FEW, audit="off")
    module(torch.tensor(block(2).x), None).sum().backward()
    assert module.readout.weight.grad.abs().sum() > 0


def test_parts_named_as_the_methods_of_the_step_form_are_parts():
    module = Recording()
    module.init, module.step = nn.Linear(2, 2), nn.Linear(2, 2)
    assert scores(module).shape == (2, 100, 10)


def test_a_module_may_learn_by_gradients_while_it_answers():
    """A step of least squares from zero weights: after y_0 = c, scores are x_t · x_0 for c, and else 0."""

    class Descent(nn.Module):
        def forward(self, x, y):
            with torch.enable_grad():
                weights = torch.zeros(len(x), 64, 10, requires_grad=True)
                target = nn.functional.one_hot(y[:, 0], 10).float()
                loss = (torch.einsum("bd,bdc->bc", x[:, 0], weights) - target).square().sum() / 2
                (gradient,) = torch.autograd.grad(loss, weights)
            learned = -torch.einsum("btd,bdc->btc", x, gradient)
            return torch.cat([torch.zeros_like(learned[:, :1]), learned[:, 1:]], dim=1)

    x, y = block(2).x.astype(np.float64), block(2).y
    expected = np.einsum("btd,bd->bt", x, x[:, 0])[..., None] * np.eye(10)[y[:, 0]][:, None]
    expected[:, 0] = 0
    assert scores(Descent()) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    assert audit(Descent(), SUITE, "quick", seed=SEED).status == "passed"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_scores_of_other_precisions_are_scores(dtype):
    module = Recording(dtype)
    weight, bias = (p.detach().double().numpy() for p in (module.readout.weight, module.readout.bias))
    coarse = {torch.float16: 2e-2, torch.bfloat16: 2e-1, torch.float64: 1e-9}[dtype]
    x = torch.tensor(block(2).x).to(dtype).double().numpy()
    assert np.abs(scores(module) - (x @ weight.T + bias)).max() < coarse


def test_inputs_go_to_the_device_of_the_module():
    """`meta` is a device that every machine has; nothing comes back from it."""
    module = Recording().to("meta")
    with pytest.raises(errors.LearnerError, match="(?s)raised an error.*meta tensor"):
        scores(module)
    x, y, *_ = module.seen[0]
    assert x.device.type == y.device.type == "meta"
    if torch.cuda.is_available():
        there = example().to("cuda")
        assert np.abs(scores(there) - scores(example())).max() < 1e-2
        assert provenance().device == torch.cuda.get_device_name()


def test_stochastic_modules_get_keys():
    class Guess(nn.Module):
        card = {"stochastic": True}

        def forward(self, x, y, keys):
            assert (keys.shape, keys.dtype) == ((64, 2), torch.int64)
            rows = [
                torch.randn(10, generator=torch.Generator().manual_seed(int(high) << 32 | int(low)))
                for high, low in keys
            ]
            return torch.stack(rows)[:, None].expand(-1, 100, -1)

    class GuessStep(nn.Module):
        card = {"stochastic": True}

        def init(self, key):
            return torch.Generator().manual_seed(int(key[0]) << 32 | int(key[1]))

        def step(self, state, x, y_prev):
            return state, torch.randn(10, generator=state)

    state = torch.random.get_rng_state()
    for learner in (Guess(), GuessStep()):
        first, again = (evaluate(learner, SUITE, **FEW, audit="off") for _ in range(2))
        other = evaluate(learner, SUITE, **FEW, audit="off", learner_seed=2**63)
        assert np.array_equal(first.log_loss, again.log_loss)
        assert not np.array_equal(first.log_loss, other.log_loss)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_workers_give_the_same_bits(stepped_file):
    """From a file, and from an object whose class exists here only."""
    asked = {"num_tasks": 9, "positions": [0, 5, 30]}
    loaded = load_learner(stepped_file, SUITE.info)
    here = {"__name__": "__main__"}  # as in a notebook
    exec(STEPPED, here)
    alone = evaluate(loaded, SUITE, **asked)
    for learner in (loaded, here["make_learner"](SUITE.info)):
        shared = evaluate(learner, SUITE, **asked, workers=2)
        assert shared.log_loss.tobytes() == alone.log_loss.tobytes()
        assert shared.prediction.tobytes() == alone.prediction.tobytes()


def test_the_sequence_form_takes_no_workers():
    with pytest.raises(errors.InvalidArgument, match="form sequence takes no workers"):
        evaluate(example(), SUITE, **FEW, workers=2)


@pytest.mark.parametrize("known", [True, False], ids=["OpenMP that threadpoolctl knows", "threads of torch alone"])
def test_one_thread_limits_torch_and_gives_its_threads_back(known, two_threads, monkeypatch):
    if not known:
        monkeypatch.setattr("gpicl_bench.learners.threads.threadpool_limits", lambda limit: nullcontext())

    def broken():
        with one_thread():
            assert torch.get_num_threads() == 1
            with one_thread():
                assert torch.get_num_threads() == 1
            assert torch.get_num_threads() == 1
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_learners_run_in_one_thread(workers, stepped_file, two_threads):
    """Also at a worker's first block, before which its learner file asks torch for two."""
    loaded = load_learner(stepped_file, SUITE.info, {"kind": "threads"})
    assert (evaluate(loaded, SUITE, num_tasks=9, positions=[0, 4], workers=workers).prediction == 1).all()
    assert torch.get_num_threads() == 2


def test_audits_and_diagnoses_run_in_one_thread(two_threads):
    class Threads(nn.Module):
        seen = set()

        def forward(self, x, y):
            self.seen.add(torch.get_num_threads())
            return x[..., :10]

    audit(Threads(), SUITE, "quick", seed=SEED)
    diagnose(Threads(), SUITE, 2)
    assert Threads.seen == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("level", ["quick", "full"])
def test_the_example_passes_its_audit(level):
    found = audit(load_learner(EXAMPLE, SUITE.info), SUITE, level, seed=SEED)
    assert found.status == "passed", found


def test_the_example_is_verified_in_a_process_that_is_told_no_later_label():
    asked = block(3)
    with asking("torch_gru.py", EXAMPLE.parent, {}, SUITE.info, Limits(120.0)) as learner:
        again = learner.answers(asked, [0, 9, 50])
    assert again.tobytes() == scores(example(), 3, [0, 9, 50]).tobytes()


def test_the_example_reads_weights(tmp_path):
    module = example()
    with torch.no_grad():
        module.readout.bias += torch.arange(10)
    torch.save(module.state_dict(), tmp_path / "gru.pt")
    read = load_learner(EXAMPLE, SUITE.info, {"weights": str(tmp_path / "gru.pt")}).learner
    assert np.array_equal(scores(read), scores(module))
    assert not np.array_equal(scores(read), scores(example()))
    assert module.card["meta_training"] == "none"
    assert not hasattr(read, "card")


class Leaky(nn.Module):
    """It reads the episode from both ends."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(74, 8, batch_first=True, bidirectional=True)
        self.readout = nn.Linear(16, 10)

    def forward(self, x, y):
        before = nn.functional.pad(nn.functional.one_hot(y, 10)[:, :-1], (0, 0, 1, 0))
        return self.readout(self.gru(torch.cat([x, before], dim=-1))[0])


def test_a_bidirectional_gru_is_caught():
    found = audit(Leaky(), SUITE, "quick", seed=SEED)
    assert found.status == "failed"
    assert {check.name for check in found.checks if check.status == "failed"} >= {"later labels", "later inputs"}
    assert "AUDIT FAILED" in evaluate(Leaky(), SUITE, num_tasks=64).evidence


def test_a_module_that_remembers_earlier_calls_is_caught():
    class Remembering(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x, y):
            self.calls += 1
            return x[..., :10] * self.calls

    assert audit(Remembering(), SUITE, "quick", seed=SEED).status == "not auditable"


def test_a_module_that_draws_from_the_global_generator_is_caught():
    class Drawing(nn.Module):
        def forward(self, x, y):
            return torch.randn(*y.shape, 10)

    assert audit(Drawing(), SUITE, "quick", seed=SEED).status == "not auditable"


class BothForms(nn.Module):
    """Scores -1 for the label before, the sign of `sign` in the step form."""

    def __init__(self, sign):
        super().__init__()
        self.register_buffer("sign", torch.tensor(float(sign)))

    def forward(self, x, y):
        return nn.functional.pad(-nn.functional.one_hot(y, 10)[:, :-1], (0, 0, 1, 0)).float()

    def init(self):
        return None

    def step(self, state, x, y_prev):
        return state, self.sign * (torch.arange(10) == y_prev)


@pytest.mark.parametrize(("sign", "status"), [(-1, "passed"), (1, "failed")])
def test_two_forms_of_a_module_are_compared(sign, status):
    module = BothForms(sign)
    assert evaluate(module, SUITE, **FEW).learner.form == "step"
    found = audit(sequence_learner(module), SUITE, "quick", seed=SEED)
    assert found.check("forms agree").status == status


def test_the_ledger_counts_parameters_and_state(stepped_file):
    ledger = diagnose(load_learner(EXAMPLE, SUITE.info), SUITE, 2).ledger
    assert ledger.parameters == 3 * 32 * (74 + 32 + 2) + 10 * (32 + 1)
    assert ledger.state_bytes is None
    ledger = diagnose(load_learner(stepped_file, SUITE.info), SUITE, 2).ledger
    assert ledger.parameters == 3 * 16 * (74 + 16 + 2) + 10 * (16 + 1)
    assert ledger.state_bytes == 16 * 4


def test_name_and_card_are_those_of_the_module():
    module = example()
    record = evaluate(module, SUITE, **FEW, audit="off").learner
    assert (record.name, record.card) == ("GRU", module.card)
    assert provenance().versions["torch"] == torch.__version__


class Returning(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, x, y):
        return self.value


class OneInput(nn.Module):
    def forward(self, x):
        return x


class Raising(nn.Module):
    def forward(self, x, y):
        raise RuntimeError("no idea")


class StepShape(nn.Module):
    def init(self):
        return None

    def step(self, state, x, y_prev):
        return state, torch.zeros(9)


class StepInput(StepShape):
    def step(self, state, x):
        return state, torch.zeros(10)


class StepNoPair(StepShape):
    def step(self, state, x, y_prev):
        return torch.zeros(10)


LATE_NAN = torch.zeros(64, 100, 10)
LATE_NAN[1, 7, 3] = float("nan")


@pytest.mark.parametrize(
    ("learner", "says"),
    [
        (Returning(torch.zeros(64, 99, 10)), r"(?s)no scores.*\(64, 100, 10\).*float32 of shape \(64, 99, 10\).*tasks 0 to 1"),
        (Returning(torch.zeros(64, 100, 10, dtype=torch.complex64)), "(?s)no scores.*complex64"),
        (Returning(torch.zeros(64, 100, 10, dtype=torch.bool)), "(?s)no scores.*bool"),
        (Returning(LATE_NAN), "(?s)not finite.*got: nan.*task 1, position 7"),
        (Returning(torch.full((64, 100, 10), 1e4, dtype=torch.half) * 10), "(?s)not finite.*inf"),
        (Returning((torch.zeros(64, 100, 10), None)), "(?s)raised an error.*must give a tensor of scores, this gives a tuple"),
        (Returning(np.zeros((64, 100, 10))), "gives a ndarray"),
        (Returning(None), "gives a NoneType"),
        (OneInput(), r"(?s)wrong arguments.*expected: \(x, y\).*got: \(x\)"),
        (Raising(), "(?s)raised an error.*RuntimeError: no idea.*tasks 0 to 1"),
        (nn.Module(), "NotImplementedError"),
        (nn.GRU, "a class, not an object"),
        (Leaky().double(), "(?s)raised an error.*dtype"),
        (StepShape(), r"(?s)no scores.*\(10,\).*\(9,\).*task 0, position 0"),
        (StepInput(), r"(?s)wrong arguments.*\(state, x, y_prev\)"),
        (StepNoPair(), "raised an error"),
    ],
)  # fmt: skip
def test_what_is_no_prediction_is_refused(learner, says):
    with pytest.raises(errors.LearnerError, match=says):
        evaluate(learner, SUITE, num_tasks=2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_module_for_a_gpu_that_is_not_there_is_refused(tmp_path):
    path = tmp_path / "far.py"
    path.write_text("import torch\nlearner = torch.nn.Linear(2, 2).to('cuda')\n")
    with pytest.raises(errors.LearnerFileError, match="(?s)raised an error while it was loaded.*far.py"):
        load_learner(path, SUITE.info)


def test_the_package_itself_never_imports_torch():
    program = f"""
import sys, gpicl_bench
from gpicl_bench.learners.threads import one_thread
from sklearn.neighbors import KNeighborsClassifier
with one_thread():
    result = gpicl_bench.evaluate(KNeighborsClassifier(1), "digits-proj-perm-v0", num_tasks=2, positions=[4], audit="quick")
gpicl_bench.diagnose(KNeighborsClassifier(1), "digits-proj-perm-v0", 2)
assert "torch" not in sys.modules
gpicl_bench.load_learner({str(EXAMPLE)!r}, gpicl_bench.make("digits-proj-perm-v0").info)
assert "torch" in sys.modules
"""
    assert run(["-W", "error", "-c", program]).returncode == 0


def test_the_readme_shows_what_the_example_prints():
    """Up to the numbers, which may be others on another machine; the score is at chance there too."""
    section = (ROOT / "README.md").read_text().partition("### A torch module\n")[2]
    command, shown = re.search(r"```bash\npython (.*)\n```\n\n```text\n(.*?)```", section, re.DOTALL).groups()
    done = run(command.split())
    assert done.returncode == 0, done.stderr
    printed = [re.sub(r"-?[\d.,]+", "#", line.rstrip()) for line in done.stdout.splitlines()]
    assert all(re.sub(r"-?[\d.,]+", "#", line.rstrip()) in printed for line in shown.splitlines() if line != "…")
    assert abs(float(re.search(r"^score +(\S+)", done.stdout, re.MULTILINE)[1])) < 0.02


def run(arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_a_state_of_tensors_has_the_bytes_of_its_memory():
    from gpicl_bench.diagnosing.ledger import _size

    row = torch.zeros(100)
    assert _size(row) == _size([row, row[:50], row[50:]]) == 400
    assert _size(torch.zeros(1).expand(1000)) == 4
    with pytest.raises(TypeError, match="unknown kind"):
        _size(torch.eye(10).to_sparse())
