"""What a finished run looks like: its files, the steps that are left, and what its page would fetch."""

import re
import subprocess
import sys
from html.parser import HTMLParser

from sideband.benchmarks.grid import run as grid
from tests.line.conftest import Ran


class Sources(HTMLParser):
    """Everything a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.found += [str(given[name]) for name in ("src", "srcset", "data", "poster") if name in given]
        if tag == "link":
            self.found.append(str(given.get("href")))
        if tag == "script" or "style" in given:
            self.found += re.findall(r"url\(([^)]*)\)", given.get("style") or "")


def jobs(ran: Ran) -> set[str]:
    """The steps that Snakemake would run now."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(grid.SNAKEFILE), "--directory", str(ran.folder)]
    command += ["--nolock", "--nocolor", "--dry-run", "--rerun-triggers", "mtime", "params", "input", "--cores", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(re.findall(r"^(?:local)?rule (\w+):", done.stdout + done.stderr, re.MULTILINE)) - {"everything"}


def mtimes(ran: Ran) -> dict[str, int]:
    paths = [path for path in ran.folder.rglob("*") if path.is_file() and ".snakemake" not in path.parts]
    kept = {str(path.relative_to(ran.folder)): path.stat().st_mtime_ns for path in paths}
    return {name: time for name, time in kept.items() if name not in ("snakemake.log", ".owner")}
