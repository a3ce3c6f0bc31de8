"""Entries of a leaderboard: made once, whole, of known files, and every edit named."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpicl_bench import load_diagnosis, load_result, make
from gpicl_bench.commands import main
from gpicl_bench.errors import EntryError, GpiclBenchError, LearnerFileError, ResultError
from gpicl_bench.leaderboard import submission as submitting
from gpicl_bench.leaderboard.bundle import check_content, check_files, check_no_others, check_place, gather
from gpicl_bench.leaderboard.entry import field_digests, plain, schema
from gpicl_bench.leaderboard.reading import bundle, entry_paths, read_entry, write_entry
from gpicl_bench.leaderboard.submission import submit
from gpicl_bench.leaderboard.tracks import track
from gpicl_bench.leaderboard.yaml_files import read_yaml, write_yaml
from tests import entries
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One entry, which no test changes."""
    with pytest.MonkeyPatch.context() as patch:
        entries.quick(patch, audit="full")
        yield entries.made(tmp_path_factory.mktemp("made"))


def test_an_entry_says_what_was_found(made):
    entry, folder = read_entry(made), bundle(made)
    result = load_result(folder / "results/0.json")
    y = np.stack([make(entries.SUITE).meta_test.episode(i).y for i in range(entries.NUM_TASKS)])
    right = result.prediction == y
    assert entry.claimed.score == pytest.approx((right[:, 1:].mean() - 0.1) / 0.9)
    assert entry.claimed.accuracy == pytest.approx(right[:, 99].mean())
    assert entry.claimed.score_interval[0] < entry.claimed.score < entry.claimed.score_interval[1]
    assert (entry.track, entry.claimed.audit, entry.claimed.over) == ("none", "passed", "tasks")
    assert entry.claimed.meta_training_seconds == 0
    assert sorted(entry.files) == ["centroid.py", "diagnoses/0.json", "metric.py", "results/0.json"]
    assert result.audit.level == "full"
    assert result.log_loss is None
    assert load_diagnosis(folder / "diagnoses/0.json").learner == result.learner
    assert [*entry_paths(made.parents[1])] == [made]


def test_nothing_is_overwritten(made):
    before = made.read_bytes()
    model = made.parents[2] / "model"
    with pytest.raises(EntryError, match="there is such an entry"):
        submit(entries.submission(model), made.parents[1])
    assert made.read_bytes() == before


def test_an_interrupted_submission_goes_on(tmp_path, monkeypatch):
    entries.quick(monkeypatch)
    asked = []
    evaluate = submitting.evaluate
    monkeypatch.setattr(submitting, "evaluate", lambda *args, **options: asked.append(1) or evaluate(*args, **options))
    quick = submitting.diagnose

    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(submitting, "diagnose", interrupted)
    with pytest.raises(KeyboardInterrupt):
        entries.made(tmp_path)
    assert [*entry_paths(tmp_path / "leaderboards")] == []
    monkeypatch.setattr(submitting, "diagnose", quick)
    with pytest.raises(ResultError, match="another submission"):
        entries.made(tmp_path, entries.CENTROID + "\n# another\n")
    path = entries.made(tmp_path)
    assert asked == [1]
    check_files(read_entry(path).files, bundle(path))
    assert sorted(p.name for p in path.parent.iterdir()) == ["centroid", "centroid.yaml"]


def test_a_submission_that_was_interrupted_at_its_last_step_is_finished(tmp_path, monkeypatch):
    entries.quick(monkeypatch)
    write = submitting.write_entry

    def interrupted(entry, path):
        if path.parent.parent == tmp_path / "leaderboards":
            raise KeyboardInterrupt
        write(entry, path)

    monkeypatch.setattr(submitting, "write_entry", interrupted)
    with pytest.raises(KeyboardInterrupt):
        entries.made(tmp_path)
    monkeypatch.setattr(submitting, "write_entry", write)
    monkeypatch.setattr(submitting, "evaluate", None)  # all that was found is there
    path = entries.made(tmp_path)
    check_files(read_entry(path).files, bundle(path))


def test_a_learner_that_writes_into_its_folder_is_named_at_once(tmp_path, monkeypatch):
    entries.quick(monkeypatch)
    monkeypatch.setattr(submitting, "evaluate", None)
    with pytest.raises(EntryError, match=r"(?s)does not list.*cache.txt"):
        entries.made(tmp_path, "from pathlib import Path\nPath('cache.txt').write_text('x')\n" + entries.CENTROID)


def test_several_runs_are_one_entry(tmp_path, monkeypatch):
    entries.quick(monkeypatch)
    text = """
import numpy as np
import gpicl_bench

def make_learner(info, seed, scale=1.0):
    weights = np.random.default_rng(seed).normal(size=(info.D, info.C)).astype(np.float32) * scale

    @gpicl_bench.sequence_learner
    def learner(x, y):
        return x @ weights

    learner.card = {"meta_training": {"suite": info.id, "num_tasks": 4, "seed": seed, "seconds": 10.0 * seed}}
    return learner
"""
    seeds = [{"seed": n} for n in range(3)]
    path = entries.made(tmp_path, text, args={"scale": 2.0}, runs=seeds, selection="meta-validation", trials=3)
    entry = read_entry(path)
    scores = [load_result(bundle(path) / run.result).score for run in entry.runs]
    assert entry.claimed.score == pytest.approx(np.mean(scores))
    assert (entry.claimed.over, entry.track, entry.single_run) == ("runs", "same", False)
    half = 4.303 * np.std(scores, ddof=1) / np.sqrt(3)  # Student's t with two degrees of freedom
    assert entry.claimed.score_interval[1] - entry.claimed.score == pytest.approx(half, rel=1e-3)
    assert entry.claimed.meta_training_seconds == pytest.approx(10)
    assert [run.args for run in entry.runs] == seeds


@pytest.mark.parametrize(
    ("suite", "trainings", "belongs"),
    [
        ("mnist-proj-perm-v0", ["none"], "none"),
        ("mnist-proj-perm-v0", [{"suite": "mnist-none-perm-v0"}], "mnist"),
        ("fashion_mnist-proj-perm-v0", [{"suite": "mnist_8-proj-perm-v0"}], "mnist"),
        ("fashion_mnist-proj-perm-v0", [{"suite": "fashion_mnist_rgb32-proj-perm-v0"}], "same"),
        ("fashion_mnist-proj-perm-v0", [{"suite": "digits-proj-perm-v0"}], "open"),
        ("digits-proj-perm-v0", ["none", {"suite": "digits-proj-perm-v0"}], "open"),
        ("digits-proj-perm-v0", [{"num_tasks": 4}], "open"),
        ("digits-proj-perm-v0", [None], "open"),
        ("digits-proj-perm-v0", [{"suite": "nonsense"}], "open"),
        ("digits-proj-perm-v0", [{"suite": "none-proj-perm-v0"}], "open"),
        ("mnist-proj-perm-v0", [{"suite": "mnist-proj-perm-v77"}], "open"),
    ],
)
def test_the_track_follows_from_the_cards(suite, trainings, belongs):
    assert track(suite, [{} if t is None else {"meta_training": t} for t in trainings]) == belongs


def test_the_published_schema_is_current():
    assert json.loads((ROOT / "leaderboards" / "entry.schema.json").read_text()) == schema()


def leaves(value, path=()):
    """Every place of a plain value where something can be edited."""
    if isinstance(value, dict) and value:
        return [leaf for key, part in value.items() for leaf in leaves(part, (*path, key))]
    if isinstance(value, list) and value:
        return [leaf for key, part in enumerate(value) for leaf in leaves(part, (*path, key))]
    return [path]


def edited(value):
    """Another value of the same type, which the schema allows as often as can be."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str) and value:
        return ("0" if value[0] != "0" else "1") + value[1:]
    return "x" if value == "" else 1


def test_every_edit_of_a_field_is_named(made, tmp_path):
    fields = plain(read_entry(made))
    place = entries.copied(made, tmp_path)
    count = 0
    for path in leaves({name: value for name, value in fields.items() if value is not None}):
        changed = json.loads(json.dumps(fields))
        part = changed
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = edited(part[path[-1]])
        write_yaml(place, changed)
        with pytest.raises(EntryError) as caught:
            read_entry(place)
        assert path[0] in str(caught.value)
        count += 1
    assert count > 50


def test_every_edit_of_a_file_is_named(made, tmp_path):
    place = entries.copied(made, tmp_path)
    files = read_entry(place).files
    for name in files:
        file = bundle(place) / name
        before = file.read_bytes()
        file.write_bytes(before.replace(b" ", b"  ", 1))
        with pytest.raises(EntryError, match="altered") as caught:
            check_files(files, bundle(place))
        assert name in str(caught.value)
        file.unlink()
        with pytest.raises(EntryError, match="missing"):
            check_files(files, bundle(place))
        file.write_bytes(before)
    (bundle(place) / "more.py").write_text("")
    with pytest.raises(EntryError, match="does not list"):
        check_no_others(files, bundle(place))
    (bundle(place) / "more.py").unlink()
    (bundle(place) / "metric.py").unlink()
    (bundle(place) / "metric.py").symlink_to(made.parents[2] / "model" / "metric.py")
    with pytest.raises(EntryError, match="a link"):
        check_files(files, bundle(place))


def test_an_entry_in_another_place_is_named(made, tmp_path):
    place = entries.copied(made, tmp_path)
    with pytest.raises(EntryError, match="lies elsewhere"):
        read_entry(place.rename(place.with_name("other.yaml")))


PLACES = ["../x.py", "/etc/passwd", "a/../../x.py", ".hidden.py", "a//b.py", "a\\b.py", "", "a/", "a\n.py", "x" * 300]


@pytest.mark.parametrize("place", PLACES)
def test_no_place_leaves_the_folder(place, made, tmp_path):
    with pytest.raises(EntryError):
        check_place(place)
    spoilt = entries.copied(made, tmp_path)
    with pytest.raises(EntryError):
        entries.sealed_again(spoilt, lambda fields: fields["files"].update({place: "0" * 64}))


class Loud:
    """What runs code when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("it-ran",)


def test_what_runs_code_when_it_is_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps(Loud())
    for name in ("weights.pkl", "weights.pt", "weights.npy", "weights", "weights.txt", "a.npz", "a.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(EntryError):
            gather(tmp_path, [tmp_path / name])
    np.savez(tmp_path / "objects.npz", a=np.zeros(2), b=np.array([Loud()], object))
    with pytest.raises(EntryError, match="pickle"):
        check_content("objects.npz", tmp_path / "objects.npz")
    deflated = bytearray((tmp_path / "objects.npz").read_bytes())
    deflated[60:80] = b"?" * 20
    (tmp_path / "spoilt.npz").write_bytes(deflated)
    (tmp_path / "deep.safetensors").write_bytes((200_000).to_bytes(8, "little") + b"[" * 200_000)
    (tmp_path / "circle.py").symlink_to(tmp_path / "circle.py")
    for name in ("spoilt.npz", "deep.safetensors", "circle.py"):
        with pytest.raises(EntryError):
            gather(tmp_path, [tmp_path / name])
    np.savez_compressed(tmp_path / "numbers.npz", a=np.zeros(2), b=np.ones((2, 3), np.float32))
    check_content("numbers.npz", tmp_path / "numbers.npz")
    with pytest.raises(EntryError, match="cannot be part"):
        gather(tmp_path / "elsewhere", [tmp_path / "numbers.npz"])
    assert not Path("it-ran").exists()


YAMLS = {
    "an alias": "a: &x [1]\nb: *x\n",
    "a bomb": "a: &a [1,1]\nb: &b [*a,*a]\nc: &c [*b,*b]\n",
    "a tag": "a: !!python/object/apply:os.mkdir [it-ran]\n",
    "a key twice": "a: 1\na: 2\n",
    "depth": "[" * 5000 + "]" * 5000,
    "no UTF-8": b"a: \xff\xfe\n",
    "size": b"a: " + b"x" * 2_000_000,
    "no YAML": "a: [",
    "a date that is none": "a: 2026-99-99\n",
    "a long number": f"a: {'9' * 10_000}\n",
    "a list": "- 1\n",
    "nothing": "",
    "a key that is a list": "{[1]: 2}\n",
    "a binary": "a: \x00\n",
    "a merge": "<<: {a: 1}\nb: 2\n",
    "many keys": "".join(f"k{n}: 1\n" for n in range(100_000)),
    "a number in sixties": "a: " + ":".join(["1"] * 100_000) + "\n",
}


@pytest.mark.parametrize("kind", YAMLS)
def test_what_is_no_plain_yaml_is_refused(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "digits-proj-perm-v0" / "x.yaml"
    path.parent.mkdir()
    text = YAMLS[kind]
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(EntryError) as caught:
        read_entry(path)
    assert str(path) in str(caught.value)
    assert not Path("it-ran").exists()


WEIRD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(PLACES + ["x" * 5000, "2026-11-25", "0x10", "1e999", "~", "${HOME}", "{{1}}", "!!int"]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=3),
    st.recursive(st.integers(), lambda inner: st.lists(inner, min_size=1, max_size=1), max_leaves=40),
)


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_mutated_entries_give_clear_errors(data, made, tmp_path):
    """500 edits: a value, a key or some bytes; each is named or changes nothing."""
    fields = plain(read_entry(made))
    place = tmp_path / "leaderboards" / entries.SUITE / "centroid.yaml"
    place.parent.mkdir(parents=True, exist_ok=True)
    path = data.draw(st.sampled_from(leaves(fields)))
    part = fields
    for key in path[:-1]:
        part = part[key]
    kind = data.draw(st.sampled_from(["value", "delete", "add", "bytes"]))
    if kind == "value":
        part[path[-1]] = data.draw(WEIRD)
    elif kind == "delete":
        del part[path[-1]]
    elif kind == "add" and isinstance(part, dict):
        part[data.draw(st.text(max_size=10))] = data.draw(WEIRD)
    try:
        content = yaml.safe_dump(fields, sort_keys=False).encode()
    except UnicodeEncodeError:
        content = b"\xed\xa0\x80"
    if kind == "bytes":
        start = data.draw(st.integers(0, len(content) - 1))
        content = content[:start] + data.draw(st.binary(max_size=8)) + content[start + data.draw(st.integers(0, 40)) :]
    place.write_bytes(content)
    try:
        found = read_entry(place)
    except EntryError:
        return
    assert found.digest == read_entry(made).digest


@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.data())
def test_mutated_results_and_diagnoses_give_clear_errors(data, made, tmp_path):
    name, load = data.draw(st.sampled_from([("results", load_result), ("diagnoses", load_diagnosis)]))
    fields = json.loads((bundle(made) / name / "0.json").read_text())
    path = data.draw(st.sampled_from(leaves(fields)))
    part = fields
    for key in path[:-1]:
        part = part[key]
    before = part[path[-1]]
    part[path[-1]] = data.draw(WEIRD)
    place = tmp_path / "mutated.json"
    place.write_text(json.dumps(fields), encoding="utf-8", errors="surrogatepass")
    try:
        load(place)
    except ResultError:
        return
    unsealed = {"times", "ledger"}  # seconds are under no digest of the file; the entry has one of all its bytes
    assert path[0] in unsealed or part[path[-1]] == before


def test_marks_are_a_part_of_their_own(made, tmp_path, capsys):
    place = entries.copied(made, tmp_path)
    before = place.read_bytes()
    assert main(["leaderboard", "mark", str(place), "--unreliable", "predictions differ: --seed 5"]) == 0
    marked = read_entry(place)
    assert (marked.marks.unreliable, marked.marks.superseded_by) == ("predictions differ: --seed 5", None)
    assert {**plain(marked), "marks": None} == plain(read_entry(made))
    place.write_bytes(place.read_bytes().replace(b"predictions differ", b"nothing is wrong"))
    with pytest.raises(EntryError, match="marks was altered"):
        read_entry(place)
    place.write_bytes(before)
    for wrong in (["--superseded-by", "centroid"], ["--superseded-by", "none"], ["--unreliable", " "]):
        assert main(["leaderboard", "mark", str(place), *wrong]) == 2
    assert main(["leaderboard", "mark", str(place), "--unreliable", "x"]) == 0
    assert main(["leaderboard", "mark", str(place)]) == 0
    assert place.read_bytes() == before


def test_yaml_is_read_as_it_was_written(made, tmp_path):
    place = tmp_path / entries.SUITE / "centroid.yaml"
    place.parent.mkdir()
    write_entry(read_entry(made), place)
    assert place.read_bytes() == made.read_bytes()
    odd = {
        "a": [
            "a long command " * 200,
            "no",
            "2026-11-25",
            "0o17",
            "é\u2028",
            "a: b",
            "- x",
            "\x85",
            " x ",
            1e-5,
            10**30,
            "~",
        ]
    }
    write_yaml(place, odd)
    assert read_yaml(place) == odd


def test_digests_are_of_each_field(made):
    fields = plain(read_entry(made))
    digests = field_digests(fields)
    other = field_digests({**fields, "licence": "GPL"})
    assert {name for name in digests if digests[name] != other[name]} == {"licence"}
    assert set(digests) == set(fields) - {"digests", "digest", "verified", "marks"}


DEEP = []
for _ in range(30):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("fields", "error", "says"),
    [
        ({"name": "Upper"}, EntryError, "name is malformed"),
        ({"name": "../x"}, EntryError, "name is malformed"),
        ({"authors": []}, EntryError, "authors is malformed"),
        ({"link": "javascript:alert(1)"}, EntryError, "link is malformed"),
        ({"licence": "a\nb"}, EntryError, "licence is malformed"),
        ({"trials": 0}, EntryError, "trials is malformed"),
        ({"suite": "cifar10-proj-perm-v0"}, EntryError, "has no leaderboard"),
        ({"include": []}, LearnerFileError, "metric"),
        ({"args": {"x": {1, 2}}}, EntryError, "plain values"),
        ({"args": {"x": float("nan")}}, EntryError, "malformed|plain values|JSON"),
        ({"args": {"x": DEEP}}, EntryError, "nested"),
        ({"runs": [{}] * 21}, EntryError, "runs is malformed"),
        ({"runs": [{}] * 2}, EntryError, "no runs of one learner"),
        ({"name": "mine.yaml"}, EntryError, "name is malformed"),
    ],
)
def test_what_cannot_be_an_entry_is_named_before_any_work(tmp_path, monkeypatch, fields, error, says):
    monkeypatch.setattr(submitting, "evaluate", None)
    with pytest.raises(error, match=says):
        entries.made(tmp_path, **fields)
    assert [*entry_paths(tmp_path / "leaderboards")] == []


def test_the_command_makes_an_entry(tmp_path, monkeypatch, capsys):
    entries.quick(monkeypatch)
    entries.submission(tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    arguments = ["submit", "model/centroid.py", "--suite", entries.SUITE, "--name", "mine", "--author", "A. Author"]
    arguments += ["--licence", "MIT", "--include", "model/metric.py"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    entry = read_entry(tmp_path / "leaderboards" / entries.SUITE / "mine.yaml")
    assert entry.digest in said
    assert entry.command.startswith("python -m gpicl_bench submit model/centroid.py")
    assert main(arguments) == 2
    assert "none is overwritten" in capsys.readouterr().err
    assert isinstance(EntryError("x"), GpiclBenchError)
