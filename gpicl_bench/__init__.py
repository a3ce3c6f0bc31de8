"""gpicl_bench: a benchmark for general-purpose in-context learning.

>>> import gpicl_bench
>>> suite = gpicl_bench.make("digits-proj-perm-v0")
>>> episode = suite.meta_test.episode(0)
>>> episode.x.shape, episode.y.shape
((100, 64), (100,))
"""

from gpicl_bench import errors
from gpicl_bench.auditing import Audit, Check, audit
from gpicl_bench.conformance import check_learner, check_suite
from gpicl_bench.datasets import register_dataset
from gpicl_bench.diagnosing import Diagnosis, diagnose, load_diagnosis
from gpicl_bench.disjointness import Overlap, overlap
from gpicl_bench.evaluation import Comparison, Provenance, Result, compare, evaluate, load_result, provenance
from gpicl_bench.learners import load_learner, sequence_learner
from gpicl_bench.registration import SuiteSpec, benchmark, make, pprint_registry, register, registry, spec
from gpicl_bench.suite import Batch, Episode, ImplicitBatch, Info, Split, Suite, Task

__version__ = "0.1.0"

__all__ = [
    "Audit",
    "Batch",
    "Check",
    "Comparison",
    "Diagnosis",
    "Episode",
    "ImplicitBatch",
    "Info",
    "Overlap",
    "Provenance",
    "Result",
    "Split",
    "Suite",
    "SuiteSpec",
    "Task",
    "audit",
    "benchmark",
    "check_learner",
    "check_suite",
    "compare",
    "diagnose",
    "errors",
    "evaluate",
    "load_diagnosis",
    "load_learner",
    "load_result",
    "make",
    "overlap",
    "pprint_registry",
    "provenance",
    "register",
    "register_dataset",
    "registry",
    "sequence_learner",
    "spec",
]
