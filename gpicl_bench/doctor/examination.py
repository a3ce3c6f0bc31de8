"""Every section in turn. None needs a network, and what a section cannot look at is broken: the others are told."""

from collections.abc import Callable, Iterable

from gpicl_bench.doctor import caching, devices, fingerprints, images, plugged, versions
from gpicl_bench.doctor.finding import Finding
from gpicl_bench.errors import GpiclBenchError


def examine(thorough: bool = False) -> list[Finding]:
    """Look at everything that the package needs here; seconds, or with what hangs a minute or two.

    Args:
        thorough: check the fingerprints of all splits; else those of the splits meta_test.
    """
    sections: dict[str, Callable[[], Iterable[Finding]]] = {
        "versions": versions.look,
        "devices": devices.look,
        "data": images.look,
        "cache": caching.look,
        "fingerprints": lambda: fingerprints.look(thorough),
        "plug-ins": plugged.look,
    }
    return [finding for name, look in sections.items() for finding in _section(name, look)]


def _section(name: str, look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(look())
    except GpiclBenchError as error:
        said = ": ".join(str(part) for part in (error.what, error.got) if part is not None)
        found.append(Finding(name, "the rest", "broken", said, error.hint))
    except OSError as error:
        found.append(Finding(name, "the rest", "broken", f"{error.strerror or error}: {error.filename}"))
    except Exception as error:  # not foreseen: the other sections are told all the same
        found.append(Finding(name, "the rest", "broken", f"{type(error).__name__}: {error}"))
    return found
