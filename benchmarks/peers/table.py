"""The table of the comparison: on the terminal, as CSV, and as Markdown to put into a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from sideband.benchmarks.peers import CLOSURE
from sideband.infer import events

HEAD = (f"wall s to {CLOSURE}", f"CPU s to {CLOSURE}", "closure", "events/s", "drawn with", "trained with", "settings")
Row = dict[str, Any]


def cells(row: Row) -> list[str]:
    """A row of the table, its title first; in brackets the seconds of a look that has not found the closure in time."""
    if "missing" in row:
        return [row["title"], f"not measured: {row['missing']}", *[""] * (len(HEAD) - 1)]
    spent = [f"{row[key]:.0f}" for key in ("seconds", "cpu_seconds")]
    if not row["reached"]:
        spent = [f"not within {row['budget']:.0f} ({spent[0]})", f"({spent[1]})"]
    closed = f"{row['closure']:.4f} ± {row['error']:.4f}"
    rate = f"{float(format(row['events_per_second'], '.3g')):,.0f}"
    return [row["title"], *spent, closed, rate, row["engine"], row["with"], row["settings"]]


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write peers.csv, with the origin of every number, and peers.md."""
    flat = [{key: value for key, value in row.items() if key not in ("identity", "looks", "kind")} for row in rows]
    with events.atomic(folder / "peers.csv") as temporary:
        pd.DataFrame(flat).to_csv(temporary, index=False)
    lines = [["", *HEAD], ["---"] * (len(HEAD) + 1), *map(cells, rows)]
    with events.atomic(folder / "peers.md") as temporary:
        temporary.write_text("".join(f"| {' | '.join(line)} |\n" for line in lines))


def show(rows: Sequence[Row]) -> None:
    """Print the table, less the settings."""
    from rich.console import Console
    from rich.table import Table

    shown = Table("", *HEAD[:-1])
    for row in rows:
        shown.add_row(*cells(row)[:-1])
    Console().print(shown)
