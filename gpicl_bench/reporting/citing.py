"""What to cite, in BibTeX: the package, the paper whose tasks it makes executable, and the base datasets used."""

import re
from collections.abc import Iterable, Mapping

from gpicl_bench.datasets.table import DATASETS
from gpicl_bench.errors import MalformedId
from gpicl_bench.registration import SuiteSpec
from gpicl_bench.reporting.latex import escaped
from gpicl_bench.reporting.text import plain

TITLE = "gpicl_bench: a benchmark for general-purpose in-context learning"
AUTHORS = "The gpicl_bench developers"
PAPER = {
    "author": "Kirsch, Louis and Harrison, James and Sohl-Dickstein, Jascha and Metz, Luke",
    "title": "General-Purpose In-Context Learning by Meta-Learning Transformers",
    "year": "2022",
    "eprint": "2212.04458",
    "archivePrefix": "arXiv",
}
_CITATION = re.compile(r"(?P<authors>.+?) \((?P<year>\d{4})\), (?P<title>[^,]+)(?:, (?P<rest>.+))?")


def bibtex(suites: Iterable[str], protocol: int) -> str:
    """The entries for results on these suites."""
    from gpicl_bench import __version__

    known = sorted(suites)
    note = f"Task protocol {protocol}; suites {', '.join(known)}"
    software = {"author": f"{{{AUTHORS}}}", "title": TITLE, "version": __version__, "note": note}
    entries = [_entry("software", "gpicl_bench", software), _entry("misc", "kirsch2022general", PAPER)]
    return "\n\n".join([*entries, *_datasets(known)])


def _datasets(suites: Iterable[str]) -> list[str]:
    """One entry for each base dataset; views share that of their base, and the paper has its own."""
    names = dict.fromkeys(_base(suite) for suite in suites)
    citations = {name: DATASETS[name].citation for name in names if name in DATASETS}
    kept = {name: text for name, text in citations.items() if text and PAPER["eprint"] not in text}
    return [_entry("misc", name, _fields(plain(text))) for name, text in kept.items()]


def _base(suite: str) -> str:
    try:
        return SuiteSpec(suite).base
    except MalformedId:
        return suite


def _fields(citation: str) -> dict[str, str]:
    """The fields of an entry: those that a citation of the table of base datasets has, else a note."""
    found = _CITATION.fullmatch(citation)
    if found is None:
        return {"note": citation}
    authors = re.sub(r" et al\.$", ", others", found["authors"]).replace(" and ", ", ").split(", ")
    fields = {"author": " and ".join(f"{{{a}}}" if " " in a else a for a in authors), "title": found["title"]}
    fields["year"] = found["year"]
    rest = found["rest"] or ""
    if rest.startswith("arXiv:"):
        return {**fields, "eprint": rest.removeprefix("arXiv:"), "archivePrefix": "arXiv"}
    if rest.startswith("doi:"):
        return {**fields, "doi": rest.removeprefix("doi:")}
    return {**fields, **({"note": rest} if rest else {})}


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    braced = {name: value if name in ("author", "doi") else escaped(value) for name, value in fields.items()}
    lines = [f"  {name} = {{{{{v}}}}}," if name == "title" else f"  {name} = {{{v}}}," for name, v in braced.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])
