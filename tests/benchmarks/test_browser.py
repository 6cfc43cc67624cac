"""The report in a headless Chromium: its script sorts, tells values under the pointer, and folds; skipped without one.

No driver is needed: a script at the page's end plays the reader, and Chromium prints the page that it leaves.
"""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from sideband.benchmarks.grid.suite import Suite
from sideband.benchmarks.report import page, readout
from sideband.benchmarks.report.content import Picture, Table
from tests.tools import CHROMIUM, lacks

Play = Callable[..., Any]  # a page and an expression in JavaScript: what that gives, once the page is there

OPTIONS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--virtual-time-budget=10000", "--dump-dom"),
]
# What a reader does. A pointer reaches whatever lies on top at its place, as a real one does.
READER = """
const image = (name) => document.getElementById(name).querySelector("img");
const frame = (name) => image(name).getBoundingClientRect();
function told() {
  const tip = document.getElementById("tip");
  return tip.hidden ? null : [...tip.children].map((line) => line.textContent);
}
function point(name, x, y, kind = "pointermove", pointerType = "mouse") { // at parts of a figure's width and height
  image(name).scrollIntoView({ block: "center" });
  const { left, top, width, height } = frame(name), at = { clientX: left + x * width, clientY: top + y * height };
  const hit = document.elementFromPoint(at.clientX, at.clientY);
  hit?.dispatchEvent(new PointerEvent(kind, { ...at, pointerType, bubbles: true }));
  return told();
}
function press(name, key) {
  image(name).focus();
  image(name).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  return told();
}
function marked(name) { // the middle of the mark, in parts of a figure's width and height
  const mark = document.getElementById("mark").getBoundingClientRect(), { left, top, width, height } = frame(name);
  return [(mark.left + mark.width / 2 - left) / width, (mark.top + mark.height / 2 - top) / height];
}
"""


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory) -> Play:
    if not Path(CHROMIUM).is_file():
        lacks("report", f"Chromium, and {CHROMIUM} is not there (CHROMIUM names another)")
    profile = tmp_path_factory.mktemp("profile")

    def of(text: str, expression: str, width: int = 1400) -> Any:
        read = f"""<script>addEventListener("load", () => {{
          {READER}
          const read = Object.assign(document.createElement("pre"), {{ id: "read" }});
          try {{ read.textContent = JSON.stringify([{expression}, ""]); }}
          catch (error) {{ read.textContent = JSON.stringify([null, error.stack]); }}
          document.body.append(read);
        }});</script></body>"""
        path = tmp_path_factory.mktemp("page") / "index.html"
        path.write_text(text.replace("</body>", read))
        command = [CHROMIUM, *OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},900", path.as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
        found = re.search(r'<pre id="read">(.*?)</pre>', done.stdout, flags=re.S)
        assert found, "what reads the page is no JavaScript"
        value, error = json.loads(html.unescape(found[1]))
        assert not error
        return value

    return of


@pytest.fixture
def own(labelled_run: tuple[Suite, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A page with a figure of points, a heat map, a wide figure, and a table."""
    points, cells, wide = Figure(figsize=(5, 3)), Figure(figsize=(5, 3)), Figure(figsize=(14, 2))
    axes = points.subplots()
    axes.plot([1, 2, 3], [10, 20, 15], "o", label="CATHODE")
    axes.set_xlabel("mass [TeV]")
    axes.set_ylabel("SIC")
    axes = cells.subplots()
    picture = axes.imshow(np.array([[0.5, 0.75], [0.25, np.nan]]), aspect="auto")
    axes.set_xticks([0, 1], ["0.30", "1.00"])
    axes.set_yticks([0, 1], ["5 GeV", "10 GeV"])
    axes.set_xlabel("depth [m]")
    cells.colorbar(picture, label="AUC")
    wide.subplots().plot([0, 1], [0, 1], "o", label="ends")
    table = Table("Numbers.", ["method", "SIC"], [["b", "1,200"], ["a", "n/a"], ["d", "30.0 (2 of 3)"], ["c", "4.5"]])
    pictures = [Picture(name, "", each) for name, each in (("points", points), ("cells", cells), ("wide", wide))]
    monkeypatch.setattr(page, "_sections", lambda *_: [("Own", "", [*pictures, table])])
    suite, folder = labelled_run
    return page.write(suite, shutil.copytree(folder, tmp_path / "run")).read_text()


def place(text: str, name: str, number: int) -> tuple[float, float]:
    """Where the middle of the first series' point lies, in parts of the figure's width and height."""
    found = json.loads(re.findall(rf'<figure id="{name}">.*?json">(.*?)</script>', text, flags=re.S)[0])
    left, top, *rest = (found["columns"][side][number] / readout.FINE for side in found["series"][0]["at"])
    right, bottom = rest or (left, top)
    return (left + right) / 2, (top + bottom) / 2


def test_a_point_tells_its_values(play: Play, own: str) -> None:
    x, y = place(own, "points", 1)
    told = play(own, f"[point('points', {x}, {y}), marked('points'), point('points', 0.01, 0.01)]")
    assert told[0] == ["CATHODE", "mass: 2.00 TeV", "SIC: 20.0"]
    assert told[1] == pytest.approx([x, y], abs=0.01)
    assert told[2] is None  # nothing is near


def test_a_cell_of_a_heat_map_tells_its_value(play: Play, own: str) -> None:
    x, y = place(own, "cells", 1)
    lower, _ = place(own, "cells", 0)
    ((told, _), (beside, _), nothing) = play(
        own,
        f"[[point('cells', {x}, {y}), 0], [point('cells', {lower}, {y}), 0], (hide(), point('cells', {x}, {1 - y}))]",
    )
    assert told == ["AUC: 0.750", "5 GeV", "depth: 1.00 m"]
    assert beside == ["AUC: 0.500", "5 GeV", "depth: 0.30 m"]
    assert nothing is None  # there is no value


def test_fingers_and_keys_lead_to_points_too(play: Play, own: str) -> None:
    (x, y), (last, _) = place(own, "points", 1), place(own, "points", 2)
    told = play(
        own,
        f"""[
          point('points', {x + 0.03}, {y}), point('points', {x + 0.03}, {y}, 'pointerdown', 'touch'),
          press('points', 'ArrowRight'), press('points', 'ArrowRight'), marked('points')[0],
          press('points', 'ArrowLeft'), press('points', 'Escape'),
        ]""",
    )
    assert told[0] is None  # too far for a mouse
    assert told[1] == told[5] == ["CATHODE", "mass: 2.00 TeV", "SIC: 20.0"]
    assert told[2] == told[3] == ["CATHODE", "mass: 3.00 TeV", "SIC: 15.0"]
    assert told[4] == pytest.approx(last, abs=0.01)
    assert told[6] is None


def test_on_a_phone_a_wide_figure_scrolls_with_its_mark(play: Play, own: str) -> None:
    x, y = place(own, "wide", 1)
    seen = """(() => {
      const box = document.querySelector("#wide .plot"), rest = box.scrollLeft;
      press("wide", "ArrowRight"), press("wide", "ArrowRight");
      return [rest, box.scrollLeft, box.clientWidth, frame("wide").width, ...marked("wide")];
    })()"""
    before, after, box, width, *mark = play(own, seen, width=500)
    assert width > box + 100
    assert (before, after > 0) == (0, True)  # the last point was out of sight
    assert mark == pytest.approx([x, y], abs=0.01)
    _, after, box, width, *mark = play(own, seen)
    assert width <= box
    assert mark == pytest.approx([x, y], abs=0.01)


def test_a_table_sorts_by_its_numbers(play: Play, own: str) -> None:
    column = """((sort) => {
      const table = [...document.querySelectorAll('table')].find((each) => each.caption.textContent === 'Numbers.');
      const button = table.querySelectorAll('th button')[sort];
      return [0, 1].map(() => (button.click(), [
        [...table.tBodies[0].rows].map((row) => row.cells[0].textContent).join(''), button.parentElement.ariaSort,
      ]));
    })"""
    by_text, by_number = play(own, f"[{column}(0), {column}(1)]")
    assert by_text == [["dcba", "descending"], ["abcd", "ascending"]]
    assert by_number == [["bdca", "descending"], ["cdba", "ascending"]]  # what has no value stands last


def test_every_point_of_every_figure_can_be_reached(play: Play, labelled_run: tuple[Suite, Path]) -> None:
    """Under the pointer at the place of a point, the tip tells of that point or of one as near to it."""
    missed, reached = play(
        page.write(*labelled_run).read_text(),
        """(() => {
          const missed = []; let reached = 0;
          for (const figure of document.querySelectorAll('figure')) {
            const all = points(JSON.parse(figure.querySelector('script').textContent));
            const step = Math.ceil(all.length / 40);
            for (const each of all.filter((_, i) => i % step === 0)) {
              const [left, top, right, bottom] = each.box.map((part) => part / 10000);
              const told = point(figure.id, (left + right) / 2, (top + bottom) / 2);
              const inside = all.filter(({ box: [l, t, r, b] }) => l <= (each.box[0] + each.box[2]) / 2 + 1 &&
                r >= (each.box[0] + each.box[2]) / 2 - 1 && t <= (each.box[1] + each.box[3]) / 2 + 1 &&
                b >= (each.box[1] + each.box[3]) / 2 - 1).map(({ lines }) => lines.join());
              if (told && inside.includes(told.join())) reached += 1; else missed.push([figure.id, told, each.lines]);
            }
          }
          return [missed, reached];
        })()""",
    )
    assert missed == []
    assert reached > 100


def test_without_scripts_the_page_stands_open_and_promises_nothing(play: Play, own: str) -> None:
    frame = f'<body><iframe sandbox="allow-same-origin" srcdoc="{html.escape(own)}"></iframe></body>'  # without scripts
    shown = """((page) => [
      page.getElementById("hint").checkVisibility(), page.getElementById("tip"),
      [".section > summary", "figure img", "table"].map((part) => [...page.querySelectorAll(part)].map(
        (each) => each.checkVisibility() && each.getBoundingClientRect().height > 0)),
    ])"""
    hint, tip, parts = play(frame, f"{shown}(document.querySelector('iframe').contentDocument)")
    assert (hint, tip) == (False, None)
    assert all(each and all(each) for each in parts)
    hint, tip, _ = play(own, f"{shown}(document)")
    assert hint
    assert tip is not None
