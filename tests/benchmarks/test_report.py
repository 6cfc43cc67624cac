import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from sideband.benchmarks.grid.suite import Suite
from sideband.benchmarks.metrics.excess import probability, relative, significance
from sideband.benchmarks.problems.search import closure, excess, figures, sections, tables
from sideband.benchmarks.report import content, cost, speed, style
from sideband.benchmarks.report import page as report
from sideband.benchmarks.report.results import gather
from tests.benchmarks.readable import assert_named
from tests.conftest import Outcome

Run = tuple[Suite, Path]


class Page(HTMLParser):
    """Headings, captions and references of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.references: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        self.references += [str(value) for name, value in attrs if name in ("src", "href", "srcset", "data")]
        assert tag not in ("link", "iframe")
        assert tag != "script" or attrs in ([], [("type", "application/json")])  # it lies in the page

    def handle_data(self, data: str) -> None:
        if self._inside == "h2" and data.strip():
            self.headings.append(data)


@pytest.fixture(scope="module")
def page(labelled_run: Run) -> Path:
    return report.write(*labelled_run)


def test_the_page_of_a_labelled_run(labelled_run: Run, page: Path) -> None:
    suite, folder = labelled_run
    text = page.read_text()
    read = Page(text)
    assert read.headings == [
        *(
            "What to use",
            "Protocol",
            "Sensitivity against throughput",
            "Sensitivity",
            "Closure",
            "Sculpting",
            "Throughput",
        ),
        *("Training cost", "Tasks", "Methods", "Provenance"),
    ]
    assert read.references
    assert all(reference.startswith("data:image/svg+xml;base64,") for reference in read.references)  # self-contained
    assert "url(" not in text
    assert "@import" not in text
    figures = folder / "report" / "figures"
    stems = {drawn.stem for drawn in figures.glob("*.svg")}
    assert stems == {drawn.stem for drawn in figures.glob("*.png")}
    assert stems == {
        *("headline", "sic_3.3-3.7", "closure_3.3-3.7", "weights_3.3-3.7", "features_3.3-3.7_cathode"),
        *("sculpting", "sculpting_spectra", "throughput", "against_torch", "cost"),
    }
    assert len(read.references) == len(stems)
    assert set(readouts(text)) == stems
    cells = folder / "report" / "cells"
    drawn = {each.relative_to(cells).as_posix() for each in cells.rglob("*.png")}
    assert drawn == {f"3.3-3.7/n600/s1/{method}/sic.png" for method in suite["methods"]}


def readouts(text: str) -> dict[str, Any]:
    """What can be read off each figure of a page."""
    found = re.findall(r'<figure id="([^"]*)">.*?<script type="application/json">(.*?)</script>', text, flags=re.S)
    return {name: json.loads(data) for name, data in found}


def test_figures_can_be_read_off(page: Path) -> None:
    found = readouts(page.read_text())
    headline = found["headline"]
    columns = headline["columns"]
    shown = {one["label"]: (columns[one["x"]], columns[one["y"]]) for one in headline["series"]}
    assert shown == {
        "CATHODE": (["400,000"], ["6.00"]),
        "ANODE": (["ANODE"], ["2.00"]),
        "Idealised detector": (["Idealised detector"], ["8.00"]),
    }
    assert {"CATHODE", "CATHODE, s1"} <= {one["label"] for one in found["sic_3.3-3.7"]["series"]}
    assert found["features_3.3-3.7_cathode"]["axes"][0] == {"x": ["m_j1", "TeV"], "y": ["share per bin", ""]}
    assert found["sculpting_spectra"]["axes"][0] == {"x": ["mass", "TeV"], "y": ["density", "1/TeV"]}
    assert "raw sidebands 0.600 →" not in {one["label"] for one in found["closure_3.3-3.7"]["series"]}


@pytest.mark.parametrize("run", ["labelled_run", "unlabelled_run"])
def test_what_can_be_read_off_says_what_it_is(request: pytest.FixtureRequest, run: str) -> None:
    """Every number has a name, and none is written as matplotlib writes it."""
    for readout in readouts(report.write(*request.getfixturevalue(run)).read_text()).values():
        assert_named(readout)


def test_without_scripts_nothing_is_lost(page: Path) -> None:
    text = page.read_text()
    without = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    assert without.count("<img") == text.count("<img")
    assert without.count("<td>") == text.count("<td>")
    for value in ("12.0", "0.750", "0.5100", "0.6000 ± 0.0020 (2000 events a side)", "400,000"):
        assert f"<td>{value}</td>" in without


def test_no_label_ends_the_script(labelled_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    label = "</script><b>'\"&\u2028 ε"
    figure = Figure()
    figure.subplots().plot([1, 2], [1, 2], label=label)
    picture = content.Picture("own", "", figure)
    monkeypatch.setattr(report, "_sections", lambda *_: [("Own", "", [picture])])
    shutil.copy(labelled_run[1] / "suite.json", tmp_path)
    text = report.write(labelled_run[0], tmp_path).read_text()
    assert readouts(text)["own"]["series"][0]["label"] == label
    assert label not in text


def test_tables_are_tidy(page: Path) -> None:
    numbers = pd.read_csv(page.with_name("results.csv"))
    chosen = numbers[(numbers["metric"] == "sic_1e-3") & (numbers["method"] == "iad")]
    assert list(chosen["value"]) == [8.0]
    assert len(pd.read_csv(page.with_name("sic_curves.csv"))) == 3 * 161
    assert len(pd.read_csv(page.with_name("throughput.csv"))) == 48
    engines = set(pd.read_csv(page.with_name("compare.csv"))["engine"])
    assert engines == {"onnxruntime", "torch eager", "torch.compile"}


def test_equal_figures_are_equal_files(labelled_run: Run, tmp_path: Path) -> None:
    results = gather(*labelled_run)
    for name in ("one", "two"):
        style.save(figures.headline(results, "n600", "3.3-3.7"), str(tmp_path / name))
    for kind in ("png", "svg"):
        assert (tmp_path / f"one.{kind}").read_bytes() == (tmp_path / f"two.{kind}").read_bytes()


def test_tables_hold_the_numbers(labelled_run: Run) -> None:
    results = gather(*labelled_run)
    table = tables.sic(results, "3.3-3.7")
    assert table.head[2:5] == ["SIC at 10⁻³", "max SIC", "ratio to idealised"]
    assert [row[1:5] for row in table.rows] == [
        ["CATHODE", "6.00", "12.0", "0.750"],
        ["ANODE", "2.00", "4.00", "0.250"],
        ["Idealised detector", "8.00", "16.0", "1.00"],
    ]
    closed = tables.closure(results, "3.3-3.7")
    assert [row[1:] for row in closed.rows] == [
        ["CATHODE", "0.5100"],
        ["truth against truth", "0.5010 ± 0.0020 (2000 events a side)"],
        ["raw sidebands", "0.6000 ± 0.0020 (2000 events a side)"],
    ]
    rates = {(row[0], row[1], row[2]): row[3:] for row in speed.table(results).rows}
    assert len(rates) == 4 * 3
    best = rates["CATHODE", "template", "host"]
    assert best[:2] == ["1000", "2"]
    assert best[3] == "400,000"  # 1e5 events/s a thread, twice at the larger batch
    assert best[-1] == "0.10"
    assert rates["Idealised detector", "score", "host"][-1] == "none"
    (torch,) = speed.torch_table(results).rows
    assert torch == ["CATHODE", "template", "400,000 (1000, 2)", "200,000 (1000, 2)", "no compiler", "0.3"]
    fits = {row[0]: row[1] for row in cost.table(results).rows}
    assert fits == {"Sideband flow": "20.0", "CATHODE": "10.0", "ANODE": "10.0", "Idealised detector": "10.0"}
    (drawn,) = tables.drawn(results).rows
    signal, background = (int(text.replace(",", "")) for text in drawn[5:7])
    assert float(drawn[-1]) == pytest.approx(signal / background**0.5, abs=0.01)


def test_the_page_of_an_unlabelled_run(unlabelled_run: Run) -> None:
    suite, folder = unlabelled_run
    text = report.write(suite, folder).read_text()
    page = Page(text)
    assert "Sensitivity against throughput" not in page.headings
    assert "Excess" in page.headings
    assert "The events have no labels" in text
    assert "there is no SIC" in text
    assert "Without labels the true background is known in sideband validation windows alone" in text
    stems = {drawn.stem for drawn in (folder / "report" / "figures").glob("*.svg")}
    assert {"excess", "spectra_3300-3700", "closure_2700-3100", "features_2700-3100_cathode"} <= stems
    drawn = {one["label"] for one in readouts(text)["spectra_3300-3700"]["series"]}
    assert {"CATHODE, before any cut", "CATHODE, ε = 0.01", "CATHODE, ε = 0.01, template"} <= drawn
    assert not any(stem.startswith("sic") for stem in stems)
    results = gather(suite, folder)
    (first, second) = excess.regions(results).rows
    assert first[:7] == ["3300–3700 GeV", "as they are", "CATHODE", "0.01", "12", "10.0 ± 2.00", "1.50"]
    delta = relative(12, 10, 2)[1]  # the one validation window has 20 % too many as well, which are too few to resolve
    z = significance(12, 10, 2, delta, 1)
    assert first[7:] == [f"{z:.3f}", f"{probability(z):.2g}", f"statistical, δ_sys = {delta:.3f}"]
    assert second[-1] == f"statistical, δ_sys = {relative(2, 1, 0.5)[1]:.3f}"
    brief = excess.brief(results).rows
    assert brief[0] == [
        "3300–3700 GeV",
        "CATHODE",
        "0.01",
        "12",
        "10.0 ± 2.00",
        f"{z:.3f}",
        f"{probability(z):.2g}",
        f"{delta:.3f}",
    ]
    error = (1 / 10 + (2 / 10) ** 2) ** 0.5
    assert excess.validation(results).rows[0] == [
        "as they are",
        "CATHODE",
        "0.01",
        f"{delta:.3f} ± {error:.3f}",
        "1.50",
        "1.50",
        "1",
    ]
    assert page.headings[0] == "What to use"
    assert text.index("Validation windows 2700–3100 GeV") < text.index("Signal regions: excess")
    protocol = sections.protocol(gather(suite, folder))
    assert (
        "Mass range 2000–6000 GeV; signal region 3300–3700 GeV; validation windows 2700–3100 GeV" in protocol["masses"]
    )


def test_the_terminal_says_where_no_systematic_error_is_known(unlabelled_run: Run) -> None:
    suite, folder = unlabelled_run
    results = gather(suite, folder)
    numbers = results.numbers[~results.numbers["metric"].str.contains("systematic")]
    table = excess.brief(replace(results, numbers=numbers))
    assert "without δ_sys, Z is statistical alone" in table.caption
    assert [row[-1] for row in table.rows] == ["none", "none"]


def test_spectra_with_too_few_bins_are_refused(
    unlabelled_run: Run, tmp_path: Path, command: Callable[..., Outcome]
) -> None:
    shutil.copytree(unlabelled_run[1], tmp_path / "runs")
    path = tmp_path / "runs" / "3300-3700" / "observed" / "s1" / "cathode" / "evaluation.json"
    record = json.loads(path.read_text())
    record["spectra"]["cuts"][1]["expected"].pop()
    path.write_text(json.dumps(record))
    line = command("benchmarks", "report", tmp_path / "runs").refused()
    assert f"{path}: spectra: not as many bins as edges" in line


def test_missing_cells_are_listed(labelled_run: Run, tmp_path: Path, command: Callable[..., Outcome]) -> None:
    folder = tmp_path / "runs"
    shutil.copytree(labelled_run[1], folder)
    place = folder / "3.3-3.7" / "n600" / "s1"
    for unfinished in ("anode/evaluation.json", "cathode/template.h5", "cathode/timing_template.json"):
        (place / unfinished).unlink()
    done = command("benchmarks", "report", folder)
    assert (done.status, done.out) == (0, f"{folder}/report/index.html\n")
    text = (folder / "report" / "index.html").read_text()
    assert "Missing" in Page(text).headings
    assert "No cell is finished of ANODE. Logs of what was begun lie in logs/." in text
    assert "3.3-3.7/n600/s1/anode" not in text
    (row,) = [row for row in tables.sic(gather(labelled_run[0], folder), "3.3-3.7").rows if row[1] == "ANODE"]
    assert row[2:5] == ["n/a", "n/a", "n/a"]
    verdict = text[: text.index("Missing")]
    assert "CATHODE" in verdict
    assert "<td>ANODE</td>" not in verdict


def test_cells_are_missing_one_by_one_where_others_of_their_method_are_finished(
    labelled_run: Run, tmp_path: Path
) -> None:
    suite, folder = labelled_run
    more = replace(suite, content={**suite.content, "seeds": [1, 2]})
    found = gather(more, folder)
    assert found.unfinished == []
    heading, text, (table,) = report.missing(found)
    assert (heading, text) == ("Missing", "Logs of what was begun lie in logs/.")
    assert isinstance(table, content.Table)
    assert table.rows == [[f"3.3-3.7/n600/s2/{method}"] for method in suite["methods"]]


@pytest.mark.parametrize("drawn", [False, True])
def test_nothing_finished_is_a_report_too(labelled_run: Run, tmp_path: Path, drawn: bool) -> None:
    suite, folder = labelled_run
    if drawn:
        place = tmp_path / "3.3-3.7" / "n600" / "s1"
        place.mkdir(parents=True)
        shutil.copy(folder / "3.3-3.7" / "n600" / "s1" / "task.h5", place)
    text = report.write(suite, tmp_path).read_text()
    assert all(f"3.3-3.7/n600/s1/{method}" in text for method in suite["methods"])


def test_numbers_and_bands() -> None:
    nan = float("nan")
    assert [content.number(value) for value in (0.5, 12.345, 999.6, 123456.0, nan)] == [
        *("0.500", "12.3", "1,000", "123,456", "n/a")
    ]
    assert content.banded([2.0]) == "2.00"
    assert content.banded([1.0, 3.0, 2.0]) == "2.00 (1.00–3.00)"
    assert content.banded([nan, nan]) == "n/a"


def test_every_method_stands_beside_its_paper() -> None:
    papers = dict(tables.published().rows)
    assert papers["CURTAINs"] == "arXiv:2203.09470"
    assert papers["Idealised detector"] == "reference of our own"
    assert "Sideband flow" not in papers


def test_weights_count_in_the_features_of_a_template() -> None:
    values, edges = np.array([0.5, 0.5, 2.5], np.float32), np.array([0.0, 2.0, 4.0])
    share, error = closure._shares(values, edges, np.array([1.0, 2.0, 3.0], np.float32))
    np.testing.assert_allclose(share, [0.5, 0.5])
    np.testing.assert_allclose(error, [5**0.5 / 6, 0.5])
    share, error = closure._shares(values, edges)
    np.testing.assert_allclose(share, [2 / 3, 1 / 3])
    np.testing.assert_allclose(error, [2**0.5 / 3, 1 / 3])
