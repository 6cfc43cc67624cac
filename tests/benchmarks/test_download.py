import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sideband.benchmarks.events import download
from sideband.infer.errors import BadInput

CONTENT = bytes(range(256)) * 4000
NAME, RECORDS = download.FILES["data"]


class Site(ThreadingHTTPServer):
    """Speaks Zenodo's interface for one file."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.md5 = hashlib.md5(CONTENT).hexdigest()
        self.most = len(CONTENT)
        self.entry: dict[str, Any] = {}
        self.record = b'{"files": []}'
        self.ranges: list[str | None] = []


class Answer(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        if self.path == f"/api/records/{RECORDS[-1]}":  # the newest record does not hold it
            entry = {
                "key": NAME,
                "size": len(CONTENT),
                "checksum": f"md5:{self.server.md5}",
                "links": {"self": f"{self.server.url}/file"},
                **self.server.entry,
            }
            return self.send(200, json.dumps({"files": [entry]}).encode())
        if self.path == f"/api/records/{RECORDS[0]}":
            return self.send(200, self.server.record)
        if self.path == "/file":
            asked = self.headers.get("Range")
            self.server.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            return self.send(206 if asked else 200, CONTENT[start : self.server.most])
        return self.send(404, b"")

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_file_is_fetched_once(site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = download.download(tmp_path / "new", ["data"], site.url)
    assert path == tmp_path / "new" / NAME
    assert path.read_bytes() == CONTENT
    assert [found.name for found in path.parent.iterdir()] == [NAME]
    download.download(tmp_path / "new", ["data"], site.url)
    assert "there already" in capsys.readouterr().out
    assert site.ranges == [None]


def test_an_interrupted_download_goes_on(site: Site, tmp_path: Path) -> None:
    site.most = 300_000
    with pytest.raises(BadInput, match="ended early; the part received is kept"):
        download.download(tmp_path, ["data"], site.url)
    assert not (tmp_path / NAME).exists()
    site.most = len(CONTENT)
    (path,) = download.download(tmp_path, ["data"], site.url)
    assert path.read_bytes() == CONTENT
    assert site.ranges == [None, "bytes=300000-"]


def test_a_wrong_checksum_leaves_nothing(site: Site, tmp_path: Path) -> None:
    site.md5 = "0" * 32
    with pytest.raises(BadInput, match="the checksum is wrong"):
        download.download(tmp_path, ["data"], site.url)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "record", [b"<html>", b"[]", b"{}", b'{"files": 3}', b'{"files": [{}]}', b'{"files": [3]}', b"5"]
)
def test_answers_that_are_not_zenodo_s_are_one_line(site: Site, tmp_path: Path, record: bytes) -> None:
    site.record = record
    with pytest.raises(BadInput, match="is not a site with Zenodo's interface"):
        download.download(tmp_path, ["data"], site.url)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("entry", [{"size": "large"}, {"checksum": None}, {"links": "file"}])
def test_entries_that_are_not_zenodo_s_are_one_line(site: Site, tmp_path: Path, entry: dict[str, Any]) -> None:
    site.entry = entry
    with pytest.raises(BadInput, match="is not a site with Zenodo's interface"):
        download.download(tmp_path, ["data"], site.url)


def test_more_than_was_promised_is_not_kept(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "CHUNK", 1000)
    site.entry = {"size": 5000}
    with pytest.raises(BadInput, match="the checksum is wrong"):
        download.download(tmp_path / "new", ["data"], site.url)
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written_are_left_as_they_are(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / NAME).mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / NAME).symlink_to(tmp_path / "file")
    before = sorted(tmp_path.rglob("*"))
    for place in (".", "file", "linked", "x" * 300):
        with pytest.raises(BadInput, match="cannot be written"):
            download.download(tmp_path / place, ["data"], site.url)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_site_that_breaks_off_at_once_leaves_no_folder(site: Site, tmp_path: Path) -> None:
    site.most = 0
    with pytest.raises(BadInput, match="ended early"):
        download.download(tmp_path / "new", ["data"], site.url)
    assert not list(tmp_path.iterdir())


def test_a_site_without_the_file_or_not_there_is_told(site: Site, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="the server answers 404"):
        download.download(tmp_path, ["simulation"], f"{site.url}/elsewhere")
    with pytest.raises(BadInput, match=r"cannot be reached .*; fetch the files elsewhere"):
        download.download(tmp_path, ["data"], "http://127.0.0.1:9")
    assert not list(tmp_path.iterdir())
