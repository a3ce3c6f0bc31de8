"""Bytes, seconds and counts as people read them."""

from gpicl_bench.reporting.rows import NOTHING


def size(count: int | None) -> str:
    """Bytes.

    >>> size(512), size(4096), size(None)
    ('512 B', '4.1 kB', '–')
    """
    return NOTHING if count is None else _scaled(count, (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)), "B")


def duration(seconds: float | None) -> str:
    """Seconds.

    >>> duration(0.002), duration(90.0), duration(7200.0)
    ('2 ms', '1.5 min', '2 h')
    """
    if seconds is not None and 0 < seconds < 1:
        return f"{1000 * seconds:.3g} ms"
    return NOTHING if seconds is None else _scaled(seconds, (("d", 86400), ("h", 3600), ("min", 60)), "s")


def count(number: int | None) -> str:
    """How many.

    >>> count(12345)
    '12,345'
    """
    return NOTHING if number is None else f"{number:,}"


def _scaled(value: float, units: tuple[tuple[str, float], ...], least: str) -> str:
    for unit, factor in units:
        if value >= factor:
            return f"{_short(value / factor)} {unit}"
    return f"{_short(value)} {least}"


def _short(value: float) -> str:
    """Two digits of what is small, whole numbers of what is not."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 10 else f"{value:.3g}"
