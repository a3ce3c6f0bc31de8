"""What people look at: README.md and index.html in the folder of a study, with its figure."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from baselines.checkpoint import write_file
from baselines.studies.folder import all_records, check_own, read_identity
from baselines.studies.pictures import write_figure
from baselines.studies.study import Finding, Record, Study, Table

META = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8882 }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
.wide { overflow-x: auto } table { border-collapse: collapse; font-size: .9rem }
td, th { border-bottom: 1px solid var(--line); padding: .3rem .7rem; text-align: left }
tr:nth-child(even) { background: var(--soft) } h2 { font-size: 1.2rem }
img { width: 100%; min-width: 40rem; background: white; border-radius: 6px }
code { background: var(--soft); padding: .1rem .3rem; border-radius: 4px }
"""


def write_page(folder: Path, study: Study) -> list[Path]:
    """The figure, the tables and the page, from the cells of the folder.

    Raises:
        PictureError: matplotlib is not installed.
        StudyError: a cell is damaged, or the folder is of another study or version.
    """
    scale = read_identity(folder)["scale"]
    check_own(folder, study, scale)
    records, failed = all_records(folder)
    written = []
    if records:
        written = write_figure(lambda figure: study.draw(records, figure), folder)
    command = f"python -m baselines study {study.name} --scale {scale}"
    tables = [*study.tables(records), found_table(study.findings(records))] if records else []
    parts = (study.question, command, about(records, failed), tables)
    write_file(folder / "README.md", _markdown(study.name, scale, *parts, failed).encode())
    write_file(folder / "index.html", _html(study.name, scale, *parts, failed).encode())
    return [*written, folder / "README.md", folder / "index.html"]


def about(records: Sequence[Record], failed: Mapping[str, str]) -> str:
    """One line: how many cells, and how long they took."""
    minutes = sum(record.seconds for record in records) / 60
    told = f"{len(records)} cells, {minutes:.1f} minutes of training and measuring"
    return told + (f"; {len(failed)} failed" if failed else "")


def found_table(findings: Sequence[Finding]) -> Table:
    """Claims of the paper beside what was found."""
    return Table("The paper and these cells", ["claim", "paper", "here", "verdict"], findings)


def markdown(table: Table, level: int = 2) -> str:
    """A table under its title."""
    lines = [f"{'#' * level} {table.title}", "", _line(table.head), "|---" * len(table.head) + "|"]
    return "\n".join([*lines, *[_line(row) for row in table.rows]]) + "\n"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _markdown(
    name: str, scale: str, question: str, command: str, told: str, tables: Sequence[Table], failed: Mapping[str, str]
) -> str:
    picture = ["![The figure of this study](figure.png)", ""] if tables else []
    head = [f"# {name}, {scale}", "", question, "", f"`{command}`: {told}.", "", *picture]
    parts = [markdown(table) for table in tables]
    if failed:
        parts.append(markdown(_failed(failed)))
    return "\n".join([*head, *parts])


def _html(
    name: str, scale: str, question: str, command: str, told: str, tables: Sequence[Table], failed: Mapping[str, str]
) -> str:
    shown = [*tables, *([_failed(failed)] if failed else [])]
    picture = '<div class="wide"><img src="figure.svg" alt="The figure of this study"></div>' if tables else ""
    parts = [
        f"<h1>{html.escape(name)}, {html.escape(scale)}</h1>",
        f"<p>{html.escape(question)}</p><p><code>{html.escape(command)}</code>: {html.escape(told)}.</p>",
        picture,
        *[_html_table(table) for table in shown],
    ]
    head = f"{META}<title>{html.escape(name)}, {html.escape(scale)}</title><style>{STYLE}</style>"
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table.head)
    rows = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    title = html.escape(table.title)
    return f'<h2>{title}</h2><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _failed(failed: Mapping[str, str]) -> Table:
    rows = [[name, " ".join(error.split())] for name, error in failed.items()]
    return Table("Failed; they run again with the next call", ["cell", "why"], rows)
