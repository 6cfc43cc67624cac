from dataclasses import replace
from pathlib import Path

import pytest

from sideband.benchmarks import catalogue
from sideband.infer.errors import BadInput

ROOT = Path(__file__).parents[2]


def test_every_entry_has_its_file_and_every_file_its_entry() -> None:
    rooms = ROOT / "train" / "methods"
    files = {path.relative_to(rooms).as_posix() for path in rooms.glob("*/*.py")}
    entries = catalogue.CATALOGUE.items()
    room = {name: "shared" if entry.shared else entry.problem for name, entry in entries}
    needed = {f"{room[name]}/{entry.file or name}.py" for name, entry in entries}
    assert {file for file in files if not file.endswith("__init__.py")} == needed


def test_entries_fit_together() -> None:
    for name, entry in catalogue.CATALOGUE.items():
        for need in entry.needs:
            assert catalogue.CATALOGUE[need].shared
        assert entry.shared == (not entry.roles), name
        assert set(entry.roles) <= {"template", "signal", "score", "density", "encoder"}
        assert not entry.everywhere or entry.shared
        assert not entry.own_fit or any(catalogue.CATALOGUE[need].everywhere for need in entry.needs)
        assert entry.variant == (entry.file in catalogue.CATALOGUE)
        if entry.variant:
            base = catalogue.CATALOGUE[entry.file]
            assert entry.preset or entry.needs != base.needs
            assert entry.problem == base.problem
        assert all(catalogue.CATALOGUE[need].problem == entry.problem for need in entry.needs)
        assert entry.problem in catalogue.PROBLEMS
        assert set(entry.events) <= {"simulation"}
        if entry.rows or entry.events:
            assert "template" in entry.roles
    papers = [entry.paper for entry in catalogue.CATALOGUE.values() if entry.paper]
    assert all(paper.startswith("arXiv:") for paper in papers)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(BadInput, match=r"unknown method 'cathod'; there are: .*cathode"):
        catalogue.get("cathod")


def test_a_label_changes_the_title_alone() -> None:
    assert catalogue.get("drapes_sb@2.24") == replace(catalogue.get("drapes_sb"), title="DRAPES SB @ 2.24")
    assert catalogue.get("sigma@8").file == "sigma"
    with pytest.raises(BadInput, match="unknown method 'sigma@'"):
        catalogue.get("sigma@")


def test_every_method_has_a_colour_of_its_own_that_never_changes() -> None:
    colours = {name: entry.colour for name, entry in catalogue.CATALOGUE.items() if not entry.shared}
    assert "" not in colours.values()
    assert len(set(colours.values())) == len(colours)
    # As in the figures of every earlier report.
    kept = {"cathode": "#0173b2", "transit": "#d55e00", "sigma": "#cc78bc", "drapes": "#001c7f", "iad": "0.15"}
    assert {name: colours[name] for name in kept} == kept


def test_the_lines_of_variants_are_dashed() -> None:
    lines = {name: catalogue.get(name).line for name in ("sigma", "sigma_cr", "sigma@8", "cwola")}
    assert lines == {"sigma": "-", "sigma_cr": "--", "sigma@8": "--", "cwola": "-"}
