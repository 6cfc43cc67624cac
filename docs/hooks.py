"""What the website has beyond the files of this folder: every method in its navigation, and the notebook as a page."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

NOTEBOOK, PAGE = "search.ipynb", "notebook.md"


def on_config(config: Any) -> Any:
    """Add the pages of methods, in alphabetical order, after their overview; none needs a line in `mkdocs.yml`."""
    pages = sorted(f"methods/{path.name}" for path in (Path(config.docs_dir) / "methods").glob("*.md"))
    section = next(entry["Methods"] for entry in config.nav if isinstance(entry, dict) and "Methods" in entry)
    section += [page for page in pages if page not in section]
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the executed notebook as a page; browsers cannot show the notebook itself."""
    cells = json.loads((Path(config.docs_dir) / NOTEBOOK).read_text())["cells"]
    text = "\n\n".join(part for cell in cells for part in _parts(cell))
    files.append(File.generated(config, PAGE, content=f"{text}\n\n[The notebook itself]({NOTEBOOK})\n"))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Let links to the notebook lead to its page."""
    return markdown if page.file.src_uri == PAGE else markdown.replace(f"]({NOTEBOOK})", f"]({PAGE})")


def _parts(cell: Any) -> Iterator[str]:
    """A cell of a notebook, and what it gave, in Markdown."""
    source = "".join(cell["source"])
    yield source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```"
    for output in cell.get("outputs", []):
        data = output.get("data", {"text/plain": output.get("text", "")})
        if "image/png" in data:
            yield f"![What the cell draws](data:image/png;base64,{''.join(data['image/png']).strip()})"
        else:
            yield f"```text\n{''.join(data['text/plain']).rstrip()}\n```"
