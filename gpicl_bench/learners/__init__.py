"""The forms a learner can take, and one adapter for each."""

from gpicl_bench.learners.adapter import Adapter, Block, adapt
from gpicl_bench.learners.loading import LoadedLearner, load_learner, named
from gpicl_bench.learners.sequence import sequence_learner

__all__ = ["Adapter", "Block", "LoadedLearner", "adapt", "load_learner", "named", "sequence_learner"]
