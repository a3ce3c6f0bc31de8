"""`check_suite`: what every suite must keep."""

from functools import partial

from gpicl_bench.conformance import drawing, images, sampling, transforms
from gpicl_bench.conformance.outcome import Outcome, judge, outcomes, require, require_same
from gpicl_bench.conformance.places import Looked
from gpicl_bench.datasets import PARTS, load_part
from gpicl_bench.errors import InvalidArgument
from gpicl_bench.registration import SuiteSpec, make, registry
from gpicl_bench.suite import Split, Suite


def check_suite(suite: str | Suite) -> tuple[Outcome, ...]:
    """Check that a suite keeps the contract of suites; its images must be on this machine.

    Ids, shapes and dtypes; inputs and label maps by the formulas of the protocol; the mean and the spread of
    projections; the same episodes in a second make and in another order, others at another seed; tasks of meta-train
    and meta-test from different streams, their images from different parts; the JAX sampler and the NumPy episodes
    byte for byte the same; pinned fingerprints. It takes seconds; with 3,072 inputs, half a minute.

    Args:
        suite: a suite or its id.

    Returns:
        The outcome of each check.

    Raises:
        ConformanceError: a check failed; the error names every one that did, what was expected and what came.
        InvalidArgument, MalformedId, SuiteNotFound: it is no suite, there is none of this id.
        DataUnavailable: its images are not on this machine.

    >>> [outcome.check for outcome in check_suite("digits-pixperm-perm-v0") if outcome.status != "passed"]
    ['projection']
    """
    found = make(suite) if isinstance(suite, str) else suite
    if not isinstance(found, Suite):
        raise InvalidArgument("this is no suite", expected="a suite or its id", got=type(suite).__name__)
    for part in PARTS:
        load_part(found.spec.dataset, part)  # images that are not here are no breach of the contract
    looked = Looked(found)
    return judge(found.id, outcomes({name: partial(check, looked) for name, check in _CHECKS.items()}))


def _id(looked: Looked) -> None:
    """The id spells the suite out, is registered, and the specification survives a file."""
    suite, spec, known = looked.suite, looked.suite.spec, registry.get(looked.id)
    where = f"{suite.id}, specification"
    spelt = f"{spec.dataset}-{spec.input}-{spec.label}-v{spec.version}"
    require_same("the id means something else", (suite.id, suite.info.id), (spelt, spelt), where)
    overridden = known is not None and known.num_examples != spec.num_examples and not spec.fingerprints
    require(known == spec or overridden, "another suite is registered", expected=known, got=spec, where=where)
    require_same("it does not survive JSON", SuiteSpec.from_json(spec.to_json()), spec, where)
    for name, part in {"meta_train": "train", "meta_validation": "train", "meta_test": "test"}.items():
        split: Split = getattr(suite, name)
        require_same("a split is another", (split.name, split.images), (name, part), where)


_CHECKS = {
    "id": _id,
    "base dataset": images.base_dataset,
    "held-out images": images.held_out,
    "shapes": transforms.shapes,
    "label maps": transforms.label_maps,
    "inputs": transforms.inputs,
    "projection": transforms.spread,
    "determinism": drawing.determinism,
    "seeds and splits": drawing.apart,
    "streams": drawing.streams,
    "batches": drawing.batches,
    "sampler": sampling.same_bytes,
    "fingerprints": drawing.fingerprints,
}
