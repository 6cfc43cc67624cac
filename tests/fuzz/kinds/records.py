"""Damaged files of a run: its suite.json, and the records and tasks behind its report."""

import json
from pathlib import Path

from tests.fuzz import damage
from tests.fuzz.material import Random, copy, pick
from tests.fuzz.verdict import Case, Ran

RUN = "runs/labelled"


def heavy(random: Random, base: Path) -> Case:
    """Write the report of a run with one damaged file, or check its suite."""
    copy(base, "runs", "events.h5")
    only_suite = random.random() < 0.5
    files = [Path(RUN, "suite.json")] if only_suite else sorted(path for path in Path(RUN).rglob("*") if path.is_file())
    path = pick(random, files)
    if path.suffix == ".json" and random.random() < 0.6:
        content, said = damage.tree(random, json.loads(path.read_text()))
        path.write_text(json.dumps(content, default=str))
        what = f"{path.name}: {said}"
    else:
        what = damage.file(random, path)
    if only_suite and random.random() < 0.7:
        return Case(f"check of a run's suite, {what}", ("train", "check", f"{RUN}/suite.json"))

    def right(ran: Ran) -> str:
        text = Path(RUN, "report/index.html").read_text()
        return "" if text.rstrip().endswith("</html>") else "half a report"

    return Case(f"report, {what}", ("benchmarks", "report", RUN), (f"{RUN}/report",), right=right)
