"""One thread for what a learner computes: with two, the bits of a matrix product may differ."""

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from gpicl_bench.learners.torch_module import loaded_torch


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread for BLAS, for OpenMP, and for torch, whose own pools threadpoolctl does not know; then as before.

    It reaches what is loaded when the block begins, in the thread that it runs in. XLA's threads are outside it.
    """
    torch = loaded_torch()
    before = 0 if torch is None else torch.get_num_threads()  # asked first: torch counts OpenMP's, limited below
    with threadpool_limits(1):
        if torch is not None:
            torch.set_num_threads(1)
        try:
            yield
        finally:
            if torch is not None:
                torch.set_num_threads(before)
