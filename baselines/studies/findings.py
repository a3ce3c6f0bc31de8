"""docs/findings.md: what of the paper was reproduced, what was not, numbers side by side; generated from cells."""

import os
from pathlib import Path

from baselines.checkpoint import write_file
from baselines.reference import HERE, RESULTS
from baselines.studies import studies
from baselines.studies.folder import all_records, check_own, read_identity
from baselines.studies.page import about, found_table, markdown
from baselines.studies.study import Study

HEAD = """# Findings

What the paper says (Kirsch, Harrison, Sohl-Dickstein, Metz, [arXiv 2212.04458](https://arxiv.org/abs/2212.04458))
beside what these studies found. The page is generated: `python -m baselines findings`, from the cells in
[baselines/results/studies](../baselines/results/studies). Each study is one command, resumable, on any machine:

```bash
python -m baselines study transition --scale smoke --dry-run
python -m baselines study transition --scale smoke --output runs/smoke
python -m baselines study bias --scale smoke --model deltanet --axis fixed_permutation=0,0.9 --output runs/mine
```

The first prints each cell with the time and memory that it will take; the second trains and asks what is not finished
yet, and draws `runs/smoke/figure.png` and `runs/smoke/index.html`; the third has other values on an axis, and another
model: `--model my_model.py` takes one of your own, a file with one `baselines.model.Model`. Without `--scale`, a study
is `tiny`: less than half an hour on two cores; `smoke` takes a minute or two, `paper` is the paper's setting, for a
GPU. Stopped at any moment, it goes on with the same command; a cell that fails is named and does not stop the others.

The tiny scale has images of 8 × 8 and small models: it can show whether an effect is there, not how large it is on
MNIST. *Reproduced* and *not reproduced* follow stated rules in [baselines/studies](../baselines/studies); *open*: these
cells cannot tell, or the paper states nothing.
"""


def write_findings(results: Path = RESULTS / "studies", file: Path = HERE.parent / "docs" / "findings.md") -> Path:
    """Write the page from the folders of studies in `results`, in the order of the studies."""
    parts, here = [HEAD], file.parent
    for study in studies().values():
        folders = [folder for folder in sorted(results.glob("*/")) if read_identity(folder)["study"] == study.name]
        parts.append(f"## {study.name}\n\n{study.question}\n")
        parts += [_part(study, folder, here) for folder in folders]
        if not any(read_identity(folder)["scale"] == "paper" for folder in folders):
            parts.append(f"Not run at the paper's scale: `python -m baselines study {study.name} --scale paper`.\n")
    write_file(file, "\n".join(parts).encode())
    return file


def _part(study: Study, folder: Path, here: Path) -> str:
    """One scale of a study."""
    check_own(folder, study, read_identity(folder)["scale"])
    records, failed = all_records(folder)
    place = Path(os.path.relpath(folder, here)).as_posix()
    head = f"### {study.name}, {read_identity(folder)['scale']}\n\n[All cells]({place}): {about(records, failed)}.\n"
    if not records:
        return head
    picture = f"![{study.question}]({place}/figure.png)\n"
    tables = [markdown(table, 4) for table in (found_table(study.findings(records)), *study.tables(records))]
    return "\n".join([head, picture, *tables])
