"""Learner files: exactly the bytes that are hashed run, with their own neighbours, and whatever they raise is reported."""

import hashlib
import sys

import numpy as np
import pytest

from gpicl_bench import errors, evaluate, load_learner, make

SUITE = make("digits-proj-perm-v0")
QUERY = np.zeros((0, 64), "f4"), np.zeros(0, "i4"), np.zeros((1, 64), "f4")


def constant(value):
    return f"import numpy as np\ndef learner(context_x, context_y, query_x):\n    return np.array([{value}])\n"


def test_a_changed_file_is_run_as_it_is(tmp_path, monkeypatch):
    """Same name, same size, same second: Python's own import would take the compiled copy of the first."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "mine.py"
    for value in range(4):
        path.write_text(constant(value))
        loaded = load_learner(path, SUITE.info)
        assert loaded.learner(*QUERY).tolist() == [value]
        assert loaded.source_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [p.name for p in tmp_path.iterdir()] == ["mine.py"]


def test_each_file_has_neighbours_of_its_own(tmp_path):
    before = list(sys.path)
    for folder, label in (("one", 1), ("two", 2), ("one", 1)):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "neighbour_of_test.py").write_text(f"LABEL = {label}\n")
        text = "from neighbour_of_test import LABEL\nimport numpy as np\nlearner = lambda context_x, context_y, query_x: np.array([LABEL])\n"
        (tmp_path / folder / "mine.py").write_text(text)
        assert load_learner(tmp_path / folder / "mine.py", SUITE.info).learner(*QUERY).tolist() == [label]
    assert len(sys.path) <= len(before) + 1


def test_a_file_of_a_package_imports_the_package(tmp_path):
    inner = tmp_path / "package_of_test" / "inner"
    inner.mkdir(parents=True)
    for folder in (inner.parent, inner):
        (folder / "__init__.py").touch()
    (inner.parent / "label.py").write_text("LABEL = 3\n")
    (inner / "neighbour_in_package.py").write_text("OTHER = 4\n")
    text = "from package_of_test.label import LABEL\nimport numpy as np\nfrom neighbour_in_package import OTHER\n"
    (inner / "mine.py").write_text(text + "learner = lambda context_x, context_y, query_x: np.array([LABEL + OTHER])\n")
    assert load_learner(inner / "mine.py", SUITE.info).learner(*QUERY).tolist() == [7]
    (tmp_path / "neighbour_in_package.py").write_text("OTHER = 5\n")
    flat = "import numpy as np\nfrom neighbour_in_package import OTHER\n"
    (tmp_path / "flat.py").write_text(flat + "learner = lambda context_x, context_y, query_x: np.array([OTHER])\n")
    for file, label in (("flat.py", 5), ("package_of_test/inner/mine.py", 7), ("flat.py", 5)):
        assert load_learner(tmp_path / file, SUITE.info).learner(*QUERY).tolist() == [label]
    twin = tmp_path / "twin" / "package_of_test"
    twin.mkdir(parents=True)
    (twin / "__init__.py").touch()
    (twin / "mine.py").write_text(constant(1))
    with pytest.raises(errors.LearnerFileError, match="another package of this name"):
        load_learner(twin / "mine.py", SUITE.info)


@pytest.mark.parametrize(
    "body", ["sys.exit(0)", "raise GeneratorExit", "raise Unprintable()", "1 / 0", "np.asarray(Unready())"]
)
def test_whatever_a_learner_raises_is_its_error(tmp_path, body):
    path = tmp_path / "mine.py"
    path.write_text(
        "import sys, numpy as np\n"
        "class Unprintable(Exception):\n    def __str__(self): raise RuntimeError\n"
        "class Unready:\n    def __array__(self, *a, **k): raise RuntimeError('it needs detach()')\n"
        f"def learner(context_x, context_y, query_x):\n    {body}\n"
    )
    with pytest.raises(errors.LearnerError, match="task 0, position 0"):
        evaluate(load_learner(path, SUITE.info), SUITE, num_tasks=1)


def test_an_answer_that_is_no_array_is_located():
    class Unready:
        def __array__(self, *arguments, **options):
            raise RuntimeError("it needs detach()")

    with pytest.raises(errors.LearnerError, match=r"(?s)no array.*detach.*task 0, position 0"):
        evaluate(lambda context_x, context_y, query_x: Unready(), SUITE, num_tasks=1)


def test_the_interrupt_is_not_caught():
    def learner(context_x, context_y, query_x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(learner, SUITE, num_tasks=1)


@pytest.mark.parametrize("args", [{"s": {1, 2}}, {"s": float("inf")}, {"s": {(1, 2): 3}}, {"s": object()}, ["a"], 3])
def test_arguments_are_plain_values(tmp_path, args):
    path = tmp_path / "mine.py"
    path.write_text("def make_learner(info, s=None):\n    return None\n")
    with pytest.raises((errors.LearnerFileError, TypeError)):  # TypeError by the annotations, executed in these tests
        load_learner(path, SUITE.info, args)


@pytest.mark.parametrize("text", ["make_learner = 5\n", "make_learner = dict\n", "x = '\0'\n"])
def test_odd_files(tmp_path, text):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises((errors.LearnerFileError, errors.LearnerError), match="mine"):
        evaluate(load_learner(tmp_path / "mine.py", SUITE.info), SUITE, num_tasks=1)


def test_settings_of_numpy_do_not_break_the_score():
    def learner(context_x, context_y, query_x):
        np.seterr(all="raise")
        return np.eye(10)[[3]] * 1e6

    with np.errstate():
        assert evaluate(learner, SUITE, num_tasks=2).log_loss.max() == pytest.approx(1e6)


def test_mixed_answers_are_found_at_the_first_task():
    asked = []

    def learner(context_x, context_y, query_x):
        asked.append(1)
        return np.zeros((1, 10)) if len(asked) > 200 else np.array([1])

    with pytest.raises(errors.LearnerError, match=r"(?s)scores at some positions and labels at others.*task 2"):
        evaluate(learner, SUITE, num_tasks=50)
    assert len(asked) == 300
