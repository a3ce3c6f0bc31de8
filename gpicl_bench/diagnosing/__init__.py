"""The diagnosis: which kind of learner is it? Phases, symmetries and a ledger, each with its evidence."""

from gpicl_bench.diagnosing.diagnosis import Diagnosis
from gpicl_bench.diagnosing.running import diagnose
from gpicl_bench.diagnosing.storage import load_diagnosis

__all__ = ["Diagnosis", "diagnose", "load_diagnosis"]
