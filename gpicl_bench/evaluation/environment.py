"""The environment of a process: where its results come from."""

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from gpicl_bench.evaluation.results import Provenance
from gpicl_bench.learners.torch_module import loaded_torch

_PACKAGES = ("gpicl-bench", "numpy", "jax", "jaxlib", "scikit-learn", "scipy", "equinox", "optax", "torch")


def provenance() -> Provenance:
    """Versions, platform, device and commit of this process."""
    versions = {name: version for name in _PACKAGES if (version := _version(name))}
    return Provenance(
        versions={"python": platform.python_version(), **versions},
        platform=platform.platform(),
        device=device(),
        commit=_commit(),
    )


def device() -> str:
    """The GPU that torch has used, if it has; else JAX's default device where JAX has been imported; else the CPU."""
    torch = loaded_torch()
    if torch is not None and torch.cuda.is_initialized():
        return str(torch.cuda.get_device_name())
    if "jax" not in sys.modules:
        return "cpu"
    import jax

    return str(jax.devices()[0].device_kind)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The commit of the checkout that the package runs from, marked -dirty if files differ; None if installed."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():
        return None
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
