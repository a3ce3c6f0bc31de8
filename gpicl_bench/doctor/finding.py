"""One thing that was looked at."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What was found of one thing.

    Attributes:
        section: `versions`, `devices`, `data`, `cache`, `fingerprints` or `plug-ins`.
        name: of the thing.
        state: `ok`; `missing`, which is no fault: it is not here, or not needed yet; or `broken`.
        detail: what was found.
        hint: what to do about it, if anything.
    """

    section: str
    name: str
    state: Literal["ok", "missing", "broken"]
    detail: str
    hint: str | None = None
