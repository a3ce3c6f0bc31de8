"""Scoring: the harness owns the labels, and every number is derived from what was predicted. NumPy only."""

from gpicl_bench.evaluation.comparison import Comparison, compare
from gpicl_bench.evaluation.environment import provenance
from gpicl_bench.evaluation.harness import evaluate
from gpicl_bench.evaluation.results import Provenance, Result
from gpicl_bench.evaluation.storage import load_result

__all__ = ["Comparison", "Provenance", "Result", "compare", "evaluate", "load_result", "provenance"]
