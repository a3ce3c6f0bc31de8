"""Whether the links of the documentation to other sites lead somewhere: `python -m tests.pages.external`. It needs a network.

Exit status 1 if one does not. A site that refuses programs (401, 403, 429) is there.
"""

import re
import sys

import requests

from tests.conftest import ROOT

REFUSALS = (401, 403, 429)


def links():
    """Every address that a page links to, and the first page that does."""
    found = {}
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for address in re.findall(r"\]\((https?://[^)\s]+)\)", page.read_text()):
            found.setdefault(address.partition("#")[0], page.relative_to(ROOT).as_posix())
    return found


def fault(address):
    """Why an address leads nowhere, or None."""
    try:
        with requests.get(address, timeout=20, stream=True, headers={"User-Agent": "Mozilla/5.0"}) as answer:
            return None if answer.ok or answer.status_code in REFUSALS else f"status {answer.status_code}"
    except requests.RequestException as error:
        return type(error).__name__


def main():
    faults = {address: fault(address) for address in links()}
    for address, page in links().items():
        print(f"{faults[address] or 'there':16} {address}  ({page})")
    return int(any(faults.values()))


if __name__ == "__main__":
    sys.exit(main())
