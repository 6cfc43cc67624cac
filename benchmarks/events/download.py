"""Download the LHC Olympics R&D feature files from Zenodo, with checksums; an interrupted download is resumed.

Data: G. Kasieczka, B. Nachman, D. Shih, "Official datasets for LHC Olympics 2020" (CC BY 4.0).
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import requests
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from sideband.infer import events
from sideband.infer.errors import BadInput, in_one_line

ZENODO = "https://zenodo.org"

# The file of each part of the data set, and the Zenodo records that have it, newest first.
FILES = {
    "data": ("events_anomalydetection_v2.features.h5", ("6466204", "4536377")),
    "background": ("events_anomalydetection_qcd_extra_inneronly_features.h5", ("8370758", "5759087")),
    "simulation": ("events_anomalydetection_DelphesHerwig_qcd_features.h5", ("6466204",)),
}
TIMEOUT = 30  # seconds without a byte
CHUNK = 1 << 20


@dataclass(frozen=True)
class Remote:
    """A file on Zenodo: its address, its size in bytes, its MD5."""

    url: str
    size: int
    md5: str


def download(to: Path, parts: Iterable[str] = tuple(FILES), site: str = ZENODO) -> list[Path]:
    """Download the files of `parts` into the folder `to`, unless they are there and complete.

    Raises:
        BadInput: the site cannot be reached, lacks a file, or sends other bytes than it promised.
    """
    found = []
    for part in parts:
        name, records = FILES[part]
        path = to / name
        remote = _find(name, records, site)
        if os.path.isfile(path) and _md5(path) == remote.md5:
            print(f"{path}: there already, checksum right")
        else:
            _fetch(remote, path)
            print(f"{path}: fetched, checksum right")
        found.append(path)
    return found


def _get(url: str, **options: object) -> requests.Response:
    try:
        answer = requests.get(url, timeout=TIMEOUT, **options)  # type: ignore[arg-type]
        answer.raise_for_status()
    except requests.RequestException as error:
        if error.response is not None:
            raise BadInput(f"{url}: the server answers {error.response.status_code} {error.response.reason}") from error
        raise BadInput(
            f"{url}: cannot be reached ({type(error).__name__}); fetch the files elsewhere and name their paths in the "
            "suite's dataset section"
        ) from error
    return answer


def _find(name: str, records: tuple[str, ...], site: str) -> Remote:
    """Look a file up in the records that should have it."""
    for record in records:
        try:
            entries = {entry["key"]: entry for entry in _get(f"{site}/api/records/{record}").json()["files"]}
            if name not in entries:
                continue
            kind, _, digest = entries[name]["checksum"].partition(":")
            found = Remote(str(entries[name]["links"]["self"]), int(entries[name]["size"]), digest)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(
                f"{site}: is not a site with Zenodo's interface ({in_one_line(error)}); name another one"
            ) from error
        if kind != "md5":
            raise BadInput(f"{site}: record {record} gives {name} a checksum of unknown kind '{kind}'")
        return found
    raise BadInput(f"{site}: none of the records {', '.join(records)} has {name}; fetch it elsewhere")


def _fetch(remote: Remote, path: Path) -> None:
    partial = path.with_name(f".{path.name}.part")
    for place in (path, partial):
        events.check_output(place)
    with events.writable(partial), events.sole_writer(path):
        start = partial.stat().st_size if partial.exists() else 0
        if start < remote.size:
            try:
                _append(remote, partial, start)
            finally:
                if partial.exists() and not partial.stat().st_size:
                    partial.unlink()
        if not partial.exists() or partial.stat().st_size < remote.size:
            raise BadInput(f"{remote.url}: ended early; the part received is kept, run the same command again")
        if _md5(partial) != remote.md5:
            partial.unlink()
            raise BadInput(f"{remote.url}: the checksum is wrong and the file was removed; run the command again")
        partial.replace(path)


def _append(remote: Remote, partial: Path, start: int) -> None:
    """Download the rest from byte `start` on, or everything if the site cannot begin there."""
    answer = _get(remote.url, stream=True, headers={"Range": f"bytes={start}-"} if start else {})
    resumed = answer.status_code == requests.codes.partial_content
    columns = (TextColumn(partial.name[1:-5]), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn()) as bar, open(partial, "ab" if resumed else "wb") as handle:
        task = bar.add_task("", total=remote.size, completed=start if resumed else 0)
        try:
            for chunk in answer.iter_content(CHUNK):
                handle.write(chunk)
                bar.advance(task, len(chunk))
                if handle.tell() > remote.size:
                    break  # not the promised file; its checksum will be wrong
        except requests.RequestException as error:
            raise BadInput(
                f"{remote.url}: the connection broke; the part received is kept, run the same command again"
            ) from error


def _md5(path: Path) -> str:
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
