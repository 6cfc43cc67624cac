"""The journal of a cell: every number goes here first, and from here to MLflow.

A journal is replayed as often as one likes: each store remembers how far it has got.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sideband.infer import events
from sideband.infer.errors import BadInput

JOURNAL = "journal.jsonl"
LINES: dict[str, dict[str, type]] = {  # what each kind of line holds
    "cell": {"identity": str},
    "metrics": {"values": dict, "step": int},
    "tags": {"values": dict},
    "artifact": {"path": str, "folder": str, "sha256": str},
}


class Record:
    """The journal of one cell: append-only, one JSON object a line, safe against a kill at any moment.

    Args:
        folder: the cell's folder.
        cell: what the cell is: suite, method, window, injection, seed, settings, data; its hash is its identity. A
            journal of another identity is started anew with the first number that is noted.
    """

    def __init__(self, folder: Path, cell: Mapping[str, Any]) -> None:
        self.path = folder / JOURNAL
        self.identity = hashlib.sha256(json.dumps(cell, sort_keys=True, default=str).encode()).hexdigest()[:32]
        lines = list(read_journal(self.path))
        self._waiting: list[dict[str, Any]] = []  # lines for the next number or file to come after
        self._anew = not lines or lines[0].get("identity") != self.identity
        if self._anew:
            lines = []
            self._waiting.append(_timed({"kind": "cell", "identity": self.identity, **cell}))
        # Metrics of epochs that are done again after a kill are known already; and so are files that did not change.
        self._known = {
            (key, line["step"]): value
            for line in lines
            if line["kind"] == "metrics"
            for key, value in line["values"].items()
        }
        self._files = {(line["folder"], line["sha256"]) for line in lines if line["kind"] == "artifact"}

    @classmethod
    def of(cls, folder: Path) -> "Record":
        """Open the journal in `folder` to continue it; raises `BadInput` if its first line is missing or damaged."""
        first = next(read_journal(folder / JOURNAL), {"kind": ""})
        if first["kind"] != "cell":
            raise BadInput(f"{folder / JOURNAL}: damaged; remove the folder, and run the suite again")
        return cls(folder, {key: value for key, value in first.items() if key not in ("kind", "identity", "time")})

    def metrics(self, values: Mapping[str, float], step: int = 0) -> None:
        """Record numbers at a step."""
        new = {key: float(value) for key, value in values.items() if self._known.get((key, step)) != float(value)}
        if new:
            self._append({"kind": "metrics", "values": new, "step": step})
            self._known |= {(key, step): value for key, value in new.items()}

    def tags(self, values: Mapping[str, Any]) -> None:
        """Record text with the next number: what may differ between two runs of a cell, such as code and machine."""
        self._waiting.append(_timed({"kind": "tags", "values": {key: str(value) for key, value in values.items()}}))

    def artifacts(self, paths: Sequence[Path], folder: str = "") -> None:
        """Record files to keep with the run."""
        for path in paths:
            digest = events.sha256(path)
            if (folder, digest) not in self._files:
                self._append(
                    {
                        "kind": "artifact",
                        "path": os.path.relpath(path, self.path.parent),
                        "folder": folder,
                        "sha256": digest,
                    }
                )
                self._files.add((folder, digest))

    def _append(self, line: Mapping[str, Any]) -> None:
        text = "".join(json.dumps(each) + "\n" for each in (*self._waiting, _timed(line)))
        if self._anew:
            with events.atomic(self.path) as temporary:
                temporary.write_text(text)
        else:
            with events.writable(self.path), open(self.path, "ab") as handle:
                handle.write(("" if self._whole() else "\n").encode() + text.encode())
        self._waiting, self._anew = [], False

    def _whole(self) -> bool:
        """Whether the last line was written to its end."""
        with open(self.path, "rb") as handle:
            handle.seek(-1, os.SEEK_END)
            return handle.read() == b"\n"


def _timed(line: Mapping[str, Any]) -> dict[str, Any]:
    """A line of the journal, with the time in milliseconds."""
    return {**line, "time": int(time.time() * 1000)}


def read_journal(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a journal; one that is torn or damaged is passed over."""
    if not path.exists():
        return
    for text in path.read_bytes().splitlines():
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        fields = LINES.get(str(line.get("kind"))) if isinstance(line, dict) else None
        if fields is not None and all(isinstance(line.get(key), kind) for key, kind in {**fields, "time": int}.items()):
            yield line
