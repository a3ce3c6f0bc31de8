"""Evidence for a score: does a learner predict from the past, from its own episode, from this query alone?"""

from gpicl_bench.auditing.report import Audit, Check
from gpicl_bench.auditing.running import audit

__all__ = ["Audit", "Check", "audit"]
