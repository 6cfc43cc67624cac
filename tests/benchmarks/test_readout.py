import json
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from matplotlib import image
from matplotlib.axes import Axes
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure

from sideband.benchmarks.report import readout, style


def drawn() -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5, 4))
    axes = figure.subplots()
    axes.set_xlabel("mass [TeV]")
    axes.set_ylabel("events")
    return figure, axes


def read(figure: Figure, path: Path) -> list[dict[str, Any]]:
    """The series of a figure that is saved, with their columns in place, as the page's script finds them."""
    style.save(figure, path / "figure")
    found = json.loads(json.dumps(readout.of(figure)))
    columns = found["columns"]
    return [
        {**found["axes"][one["on"]], "label": one["label"], "at": [columns[side] for side in one["at"]]}
        | {"across": columns[one["x"]], "up": columns[one["y"]], "cells": columns[one["z"]] if "z" in one else []}
        for one in found["series"]
    ]


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_points_are_where_the_files_have_them(tmp_path: Path, scale: str) -> None:
    figure, axes = drawn()
    x, y = np.array([1.0, 2.0, 30.0, 4.0]), np.array([0.001, 3.0, 0.2, 10.0])
    axes.plot(x, y, "o", color="tab:red", ms=8, gid="points")
    axes.set_xscale(scale)
    axes.set_yscale(scale)
    axes.invert_xaxis()
    (one,) = read(figure, tmp_path)
    places = np.transpose(one["at"]) / readout.FINE

    svg = (tmp_path / "figure.svg").read_text()
    width, height = map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', svg).groups())  # type: ignore[union-attr]
    group = svg[svg.index('<g id="points">') :]
    uses = re.findall(r'<use [^>]*?x="([\d.]+)" y="([\d.]+)"', group)[: len(x)]
    np.testing.assert_allclose(places, np.array(uses, float) / (width, height), atol=1e-4)

    expected = axes.transData.transform(np.stack([x, y], axis=1)) / figure.bbox.size
    np.testing.assert_allclose(places, np.abs([0, 1] - expected), atol=1e-4)

    png = image.imread(tmp_path / "figure.png")
    for across, down in places * (png.shape[1], png.shape[0]):
        np.testing.assert_allclose(png[int(down), int(across), :3], to_rgb("tab:red"), atol=0.01)
    assert one["up"] == ["0.00100", "3.00", "0.200", "10.0"]


def test_values_have_three_digits_names_and_units(tmp_path: Path) -> None:
    figure, axes = drawn()
    axes.plot([3.14159, 123456.0], [-0.000123456, 0.0], "o-", label="CATHODE")
    (one,) = read(figure, tmp_path)
    assert (one["label"], one["x"], one["y"]) == ("CATHODE", ["mass", "TeV"], ["events", ""])
    assert (one["across"], one["up"]) == (["3.14", "123,000"], ["-0.000123", "0.00"])


def test_what_is_not_drawn_cannot_be_read(tmp_path: Path) -> None:
    """Neither NaN nor infinity, masked points, what has no logarithm, what lies outside, nor what is not visible."""
    figure, axes = drawn()
    nan, inf = float("nan"), float("inf")
    axes.plot([1, 2, nan, 4, 5, 6, 7, 80], np.ma.masked_equal([1, nan, 3, inf, 0, -6, 99, 8], 99), label="a")
    axes.set_xlim(0, 10)
    axes.set_yscale("log")
    axes.plot([1, 2], [1, 2], visible=False)
    axes.plot([nan], [nan])
    axes.barh([1, 2], [0, 3])
    bars, one = read(figure, tmp_path)
    assert (one["across"], one["up"]) == (["1.00"], ["1.00"])
    assert bars["across"] == ["3.00"]


def test_steps_and_bars_have_ranges(tmp_path: Path) -> None:
    figure, axes = drawn()
    axes.stairs([10, 400, 0], [3.0, 3.3, 3.304, 3.7], fill=True, label="data")
    axes.bar([3.0, 3.3], [5, 6], [0.3, 0.4], align="edge", label="pull")
    axes.set_ylim(0, 100)
    bars, steps = read(figure, tmp_path)
    assert (bars["across"], bars["up"]) == (["3.00–3.30", "3.30–3.70"], ["5.00", "6.00"])
    assert (steps["across"], steps["up"]) == (["3.00–3.30", "3.300–3.304", "3.30–3.70"], ["10.0", "400", "0.00"])
    left, top, right, bottom = np.transpose(steps["at"])[1]
    assert top == bottom == min(bars["at"][1] + steps["at"][1])  # the step goes out of the axes, its sides are seen
    assert left < right
    (place, _, _, low), height = np.transpose(bars["at"])[0], axes.get_position()
    expected = axes.transData.transform((3.0, 0)) / figure.bbox.size
    np.testing.assert_allclose([place, low], readout.FINE * np.array([expected[0], 1 - height.y0]), atol=1)


def test_errors_stand_beside_their_values(tmp_path: Path) -> None:
    figure, axes = drawn()
    axes.errorbar([1, 2, 3], [10, 20, 30], [[1, 0, 40], [3, 0, 1]], xerr=[0.5, 0.5, float("nan")], label="b", capsize=2)
    (one,) = read(figure, tmp_path)
    assert one["label"] == "b"
    assert one["across"] == ["1.00 (0.500–1.50)", "2.00 (1.50–2.50)", "3.00"]
    assert one["up"] == ["10.0 (9.00–13.0)", "20.0", "30.0 (-10.0 to 31.0)"]
    assert len(one["at"]) == 2


def test_levels_are_read_along_the_whole_line_if_they_are_labelled(tmp_path: Path) -> None:
    figure, axes = drawn()
    axes.plot([0, 1], [0, 1])
    axes.axhline(0.5)
    axes.axvline(0.25, label="floor")
    axes.hlines(0.75, 0.1, 0.9, label="limit")
    limit, _, floor = read(figure, tmp_path)
    assert (floor["label"], floor["across"], floor["up"]) == ("floor", ["0.250"], [""])
    assert (limit["label"], limit["across"], limit["up"]) == ("limit", [""], ["0.750"])
    box = axes.get_position()
    left, top, right, bottom = np.transpose(floor["at"])[0] / readout.FINE
    assert left == right
    np.testing.assert_allclose([top, bottom], [1 - box.y1, 1 - box.y0], atol=1e-4)


def test_scattered_points_and_categories(tmp_path: Path) -> None:
    figure, axes = drawn()
    axes.scatter([0.1, 0.9, 2.4], [1, 2, 3], label="c")
    axes.set_xticks(range(3), ["one", "two\n(validation)", "three"])
    (one,) = read(figure, tmp_path)
    assert (one["across"], one["up"]) == (["one", "two (validation)", "three"], ["1.00", "2.00", "3.00"])


def test_labels_come_from_the_legend_by_colour_or_from_the_title(tmp_path: Path) -> None:
    figure = Figure(figsize=(8, 4))
    left, right = figure.subplots(1, 2, sharey=True)
    left.set_ylabel("SIC $= \\epsilon_S / \\sqrt{\\epsilon_B}$")
    figure.supxlabel("efficiency $10^{-3}$, 2 \\$ [%]")
    left.plot([1, 2], [1, 2], color="r", label="red one")
    left.plot([1, 2], [2, 3], color="k", label="_black, s1")
    right.plot([1, 2], [1, 2], color="r")
    right.plot([1, 2], [3, 4], color="b")
    right.set_title("panel\nb")
    figure.legend()
    found = read(figure, tmp_path)
    assert [one["label"] for one in found] == ["red one", "black, s1", "red one", "panel, b"]
    assert {tuple(one["y"]) for one in found} == {("SIC = ε_S / √ε_B", "")}
    assert {tuple(one["x"]) for one in found} == {("efficiency 10⁻³, 2 $", "%")}
    assert len(figure.legends[0].get_texts()) == 1


def test_many_points_are_thinned_but_not_the_extremes(tmp_path: Path) -> None:
    figure, axes = drawn()
    x = np.linspace(0, 1, 10_000)
    for shift in range(40):
        y = np.sin(7 * x + shift)
        y[4321] = 5 + shift
        axes.plot(x, y, label=f"{shift}")
    found = read(figure, tmp_path)
    assert sum(len(one["up"]) for one in found) < 1.2 * readout.ALTOGETHER
    assert [one["up"].count(f"{5 + shift}.00"[:4]) for shift, one in enumerate(found)] == [1] * 40
    assert len(json.dumps(readout.of(figure))) < 100_000


@pytest.mark.parametrize("origin", ["upper", "lower"])
def test_cells_of_a_heat_map_have_their_value(tmp_path: Path, origin: Literal["upper", "lower"]) -> None:
    """At the place where the file has their colour, by the names of rows and columns; not where there is no value."""
    figure, axes = drawn()
    values = np.array([[0.1, 0.2, np.nan], [0.4, 0.5, 0.6]])
    picture = axes.imshow(values, "viridis", vmin=0, vmax=1, origin=origin, aspect="auto", interpolation="nearest")
    axes.grid(False)
    axes.set_xticks(range(3), ["0.50", "1.00", "1.25"])
    axes.set_yticks(range(2), ["5 GeV", "10 GeV"])
    axes.set_title("CaloFlow")
    figure.colorbar(picture, label="energy [MeV]")
    (one,) = read(figure, tmp_path)
    assert (one["label"], one["z"]) == ("CaloFlow", ["energy", "MeV"])
    assert one["cells"] == ["0.100", "0.200", "0.400", "0.500", "0.600"]
    assert one["across"] == ["0.50", "1.00", "0.50", "1.00", "1.25"]
    assert one["up"] == ["5 GeV"] * 2 + ["10 GeV"] * 3
    png = image.imread(tmp_path / "figure.png")
    for value, (left, top, right, bottom) in zip(one["cells"], np.transpose(one["at"]) / readout.FINE, strict=True):
        across, down = (left + right) / 2 * png.shape[1], (top + bottom) / 2 * png.shape[0]
        np.testing.assert_allclose(png[int(down), int(across), :3], picture.cmap(float(value))[:3], atol=0.01)


def test_images_side_by_side_share_a_colour_bar_and_the_titles_above(tmp_path: Path) -> None:
    figure = Figure()
    panels = figure.subplots(2, 2, sharex=True, sharey=True)
    for row, norm, name in zip(panels, (Normalize(0, 1), Normalize(0, 9)), ("near", "far"), strict=True):
        for axes in row:
            picture = axes.imshow([[0.5, 0.25]], norm=norm, extent=(-200, 200, -100, 100))
        figure.colorbar(picture, ax=row, label=f"{name} energy [MeV]")
        row[0].set_ylabel("y [mm]")
    for axes, title in zip(panels[0], ("photons", "decays"), strict=True):
        axes.set_title(title)
    found = read(figure, tmp_path)
    assert [one["label"] for one in found] == ["photons", "decays"] * 2
    assert [one["z"] for one in found] == [["near energy", "MeV"]] * 2 + [["far energy", "MeV"]] * 2
    assert [one["across"] for one in found] == [["-200 to 0.00", "0.00–200"]] * 4
    assert {tuple(one["y"]) for one in found} == {("y", "mm")}
