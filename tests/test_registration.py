"""Ids, specifications and the registry."""

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpicl_bench import SuiteSpec, benchmark, errors, make, pprint_registry, register, registration, registry, spec
from gpicl_bench.builtin import BENCHMARKS

INPUTS, LABELS = ("proj", "pixperm", "none"), ("perm", "none")


@pytest.fixture
def scratch(monkeypatch):
    """A registry that forgets what a test registers."""
    known = dict(registration._suites)
    yield
    registration._suites.clear()
    registration._suites.update(known)


@given(
    st.from_regex(r"\A[a-z0-9_]+\Z"),
    st.sampled_from(INPUTS),
    st.sampled_from(LABELS),
    st.integers(0, 10**6),
    st.integers(2, 500),
)
def test_ids_spell_suites_out(dataset, input, label, version, num_examples):
    made = SuiteSpec(f"{dataset}-{input}-{label}-v{version}", num_examples, deprecated="other")
    assert (made.dataset, made.input, made.label, made.version) == (dataset, input, label, version)
    assert SuiteSpec.from_json(made.to_json()) == made


@pytest.mark.parametrize("id", registry)
def test_specifications_survive_json_pickle_and_copies(id):
    for again in (
        SuiteSpec.from_json(spec(id).to_json()),
        pickle.loads(pickle.dumps(spec(id))),
        copy.deepcopy(spec(id)),
    ):
        assert again == spec(id)
        assert again.of_record == ("meta_test" in spec(id).fingerprints)


def test_pinned_fingerprints_cannot_be_changed():
    with pytest.raises(TypeError):
        spec("digits-proj-perm-v0").fingerprints["meta_test"] = "0" * 64
    with pytest.raises(TypeError):
        registry["digits-proj-perm-v0"] = SuiteSpec("digits-proj-none-v0")


@pytest.mark.parametrize(
    ("id", "kind", "says"),
    [
        ("mnist-proj-perm", errors.MalformedId, "did you mean mnist-proj-perm-v0"),
        ("mnist-proj-perm-v01", errors.MalformedId, "no suite id"),
        ("MNIST-proj-perm-v0", errors.MalformedId, "no suite id"),
        ("mnist-proj-perm-v0\n", errors.MalformedId, "no suite id"),
        ("mnist-project-perm-v0", errors.MalformedId, "input one of proj, pixperm, none"),
        ("", errors.MalformedId, "list"),
        ("minst-proj-perm-v0", errors.SuiteNotFound, "did you mean mnist-proj-perm-v0"),
        ("imagenet-none-none-v0", errors.SuiteNotFound, "no suite has this id"),
        ("mnist-proj-perm-v7", errors.VersionNotFound, "use mnist-proj-perm-v0"),
    ],
)
def test_wrong_ids_are_refused_by_kind(id, kind, says):
    with pytest.raises(kind, match=says) as caught:
        make(id)
    assert type(caught.value) is kind


def test_register_and_deprecate(scratch):
    added = register("digits-proj-none-v0")
    assert make("digits-proj-none-v0").meta_test.episode(0).y.shape == (100,)
    assert not added.of_record
    assert register(added) is added
    with pytest.raises(errors.AlreadyRegistered, match="digits-proj-none-v1"):
        register(SuiteSpec("digits-proj-none-v0", num_examples=50))
    register(SuiteSpec("digits-pixperm-none-v0", deprecated="digits-pixperm-none-v1"))
    with pytest.raises(errors.DeprecatedSuite, match="use digits-pixperm-none-v1"):
        make("digits-pixperm-none-v0")


def test_a_dataset_that_does_not_exist(scratch):
    register("cifar11-proj-perm-v0")
    with pytest.raises(errors.SuiteNotFound, match="no base dataset"):
        make("cifar11-proj-perm-v0")


def test_a_wrong_pin_is_found_when_the_data_is_first_used():
    pins = {**spec("digits-proj-perm-v0").fingerprints, "meta_test": "0" * 64}
    suite = type(make("digits-proj-perm-v0"))(SuiteSpec("digits-proj-perm-v0", fingerprints=pins))
    with pytest.raises(errors.DataCorrupt, match="not what its id means"):
        suite.meta_test.episode(0)
    assert suite.meta_train.episode(0).x.shape == (100, 64)


def test_an_override_is_not_of_record():
    assert make("digits-proj-perm-v0", num_examples=100).of_record
    short = make("digits-proj-perm-v0", num_examples=99)
    assert not short.of_record
    assert short.meta_test.fingerprint != make("digits-proj-perm-v0").meta_test.fingerprint


MALFORMED = [
    "",
    "[]",
    "{}",
    '{"id": "x"}',
    *('{"id": "digits-proj-perm-v0", ' + rest for rest in (
        '"colour": 1}',
        '"num_examples": true}',
        '"num_examples": 1}',
        '"fingerprints": []}',
        '"fingerprints": {"meta_test": "abc"}}',
        '"fingerprints": {"test": "' + "0" * 64 + '"}}',
        '"deprecated": 3}',
    )),
]  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED)
def test_malformed_specifications_are_refused(text):
    with pytest.raises((errors.InvalidArgument, errors.MalformedId)):
        SuiteSpec.from_json(text)


def test_only_built_in_suites_are_of_record():
    pins = dict(spec("digits-proj-perm-v0").fingerprints)
    assert SuiteSpec("digits-proj-perm-v0", fingerprints=pins).of_record
    assert not SuiteSpec("digits-proj-perm-v0", num_examples=50, fingerprints=pins).of_record
    assert not SuiteSpec("digits-proj-perm-v1", fingerprints=pins).of_record
    assert not SuiteSpec("digits-proj-perm-v0", fingerprints={"meta_test": pins["meta_test"]}).of_record


def test_benchmarks_name_suites_that_exist():
    for id in BENCHMARKS:
        assert set(benchmark(id)) <= set(registry)
    with pytest.raises(errors.SuiteNotFound, match="did you mean offline-v0"):
        benchmark("ofline-v0")


def test_the_registry_prints_every_id(capsys):
    pprint_registry()
    printed = capsys.readouterr().out.split()
    assert {*registry, *BENCHMARKS} <= set(printed)
