"""docs/findings.md: what of the paper was reproduced, what was not, numbers side by side; generated from cells."""

import os
from pathlib import Path

from baselines.checkpoint import write_file
from baselines.reference import HERE, RESULTS
from baselines.studies import studies
from baselines.studies.folder import all_records, read_identity
from baselines.studies.page import about, found_table, markdown
from baselines.studies.study import Study

HEAD = """# Findings

What the paper says (Kirsch, Harrison, Sohl-Dickstein, Metz, [arXiv 2212.04458](https://arxiv.org/abs/2212.04458))
beside what these studies found. The page is generated: `python -m baselines findings`, from the cells in
[baselines/results/studies](../baselines/results/studies). Each study is one command, resumable, on any machine:

```bash
python -m baselines study transition --scale smoke --output runs/smoke
python -m baselines study transition --dry-run
python -m baselines study plateau --model deltanet --axis batch_size=8,16 --axis seed=0 --output runs/mine
```

`--scale smoke` takes a minute, `tiny` less than half an hour on two cores, `paper` is the paper's setting for one GPU;
`--model my_model.py` runs the grid on a model of your own, a file with one `baselines.model.Model`. The tiny scale has
images of 8 × 8 and small models: it can show whether an effect is there, not how large it is on MNIST. *Reproduced* and
*not reproduced* follow stated rules in `baselines/studies/`; *open*: these cells cannot tell.
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
    records, failed = all_records(folder)
    place = Path(os.path.relpath(folder, here)).as_posix()
    head = f"### {study.name}, {read_identity(folder)['scale']}\n\n[All cells]({place}): {about(records, failed)}.\n"
    if not records:
        return head
    picture = f"![{study.question}]({place}/figure.png)\n"
    tables = [markdown(table, 4) for table in (found_table(study.findings(records)), *study.tables(records))]
    return "\n".join([head, picture, *tables])
