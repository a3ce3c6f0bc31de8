"""Meta-training batches in JAX: the tasks of record, to the bit, and implicit ones that only have their law.

Inside `jit` a 64-bit number is a uint32 array `[2]`, (high, low): JAX's default has no 64-bit integers.
"""

from gpicl_bench.sampling.implicit import ImplicitSampler, make_implicit_sampler
from gpicl_bench.sampling.sampler import Sampler, Step, make_sampler

__all__ = ["ImplicitSampler", "Sampler", "Step", "make_implicit_sampler", "make_sampler"]
