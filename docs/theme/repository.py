"""A hook of mkdocs. The site has every file of the repository that its pages link to, and lists of pages by pattern.

Pages link as GitHub needs it, `../baselines/README.md`. What lies outside docs/ is taken into the site, below
`repository/`: Markdown and programs as pages, pictures as they are. A link to a folder leads to its README.md; a
folder without one is named and not linked. A notebook is a page, as it stands with its outputs.
"""

import json
import os
import re
from pathlib import Path

from mkdocs.structure.files import File

_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s:]+)(?P<anchor>#[^)\s]*)?\)")
_PICTURES = (".png", ".svg")
_LANGUAGES = {".py": "python", ".yaml": "yaml", ".json": "json", ".toml": "toml", ".cff": "yaml"}


def on_config(config):
    """An item of the navigation with a `*` stands for the pages that match it, but its index; there may be none."""
    config.nav = _expanded(config.nav, Path(config.docs_dir))
    return config


def on_files(files, config):
    """Take in what the pages link to, and what those pages link to in turn."""
    root, docs = _folders(config)
    pages = [docs / file.src_uri for file in files.documentation_pages()]
    for path in docs.glob("*.ipynb"):
        files.append(File.generated(config, _place(path, root, docs), content=_notebook(path)))
    while pages:
        page = pages.pop()
        for link in _LINK.finditer(page.read_text()):
            target = _target(page, link["target"])
            if target is None or docs in target.parents or files.get_file_from_path(_place(target, root, docs)):
                continue
            if not target.is_relative_to(root):
                raise ValueError(f"{page} links to a file outside the repository: {link['target']}")
            files.append(_taken(target, root, docs, config))
            pages += [target] if target.suffix == ".md" else []
    return files


def on_page_markdown(markdown, page, config, files):
    """A page without the remark that it is generated, and its links as they are within the site."""
    markdown = re.sub(r"\A<!--.*?-->\n", "", markdown)
    root, docs = _folders(config)
    source = _source(page.file.src_uri, root, docs)
    if source.suffix != ".md":
        return markdown

    def moved(link):
        target = _target(source, link["target"])
        if target is None:
            return link["text"] if (source.parent / link["target"]).is_dir() else link[0]
        here = os.path.relpath(_place(target, root, docs), Path(page.file.src_uri).parent)
        return f"[{link['text']}]({Path(here).as_posix()}{link['anchor'] or ''})"

    return _LINK.sub(moved, markdown)


def _folders(config):
    docs = Path(config.docs_dir)
    return docs.parent, docs


def _target(page, link):
    """The file that a link of a page leads to, or None."""
    found = Path(os.path.normpath(page.parent / link))
    found = found / "README.md" if found.is_dir() else found
    return found if found.is_file() else None


def _place(path, root, docs):
    """Where a file is in the site."""
    if path.is_relative_to(docs):
        place = path.relative_to(docs)
        return (place.with_suffix(".md") if path.suffix == ".ipynb" else place).as_posix()
    page = "" if path.suffix in (".md", *_PICTURES) else ".md"
    return f"repository/{path.relative_to(root).as_posix()}{page}"


def _source(place, root, docs):
    """The file that stands at a place of the site."""
    if not place.startswith("repository/"):
        return docs / place
    path = root / place.removeprefix("repository/")
    return path if path.is_file() else path.with_suffix("")


def _taken(path, root, docs, config):
    place = _place(path, root, docs)
    if path.suffix in (".md", *_PICTURES):
        return File.generated(config, place, abs_src_path=str(path))
    fence = f"````{_LANGUAGES.get(path.suffix, 'text')}\n{path.read_text()}\n````\n"
    head = f"---\nsearch: {{exclude: true}}\n---\n# {path.name}\n\n`{path.relative_to(root).as_posix()}`\n\n"
    return File.generated(config, place, content=head + fence)


def _notebook(path):
    """A notebook as Markdown."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", []):
            told = output.get("data", {})
            if "image/png" in told:
                parts.append(f'<img alt="" src="data:image/png;base64,{"".join(told["image/png"]).strip()}">')
            else:
                parts.append(f"```text\n{''.join(output.get('text') or told['text/plain']).rstrip()}\n```")
    return "\n\n".join([*parts, f'<a href="{path.name}" download>Download this notebook</a>', ""])


def _expanded(items, docs):
    found = []
    for item in items:
        if isinstance(item, dict):
            found.append({name: _expanded(of, docs) if isinstance(of, list) else of for name, of in item.items()})
        elif "*" in item:
            outside = item.startswith("repository/")
            paths = docs.parent.glob(item.removeprefix("repository/")) if outside else docs.glob(item)
            matching = sorted(_place(path, docs.parent, docs) for path in paths)
            found += [page for page in matching if page not in items]
        else:
            found.append(item)
    return found
