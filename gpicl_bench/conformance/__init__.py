"""What every suite and every learner must keep: the checks that the project runs on its own, for those of others."""

from gpicl_bench.conformance.learners import check_learner
from gpicl_bench.conformance.outcome import Outcome
from gpicl_bench.conformance.suites import check_suite

__all__ = ["Outcome", "check_learner", "check_suite"]
