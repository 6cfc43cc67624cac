from dataclasses import replace
from pathlib import Path

import pytest

from sideband.benchmarks import catalogue
from sideband.infer.errors import BadInput

ROOT = Path(__file__).parents[2]


def test_every_entry_has_its_file_and_every_file_its_entry() -> None:
    files = {path.stem for path in (ROOT / "train" / "methods").glob("*.py")} - {"__init__"}
    assert files == {entry.file or name for name, entry in catalogue.CATALOGUE.items()}
    assert not set(catalogue.ABSENT) & set(catalogue.CATALOGUE)


def test_entries_fit_together() -> None:
    for name, entry in catalogue.CATALOGUE.items():
        for need in entry.needs:
            assert catalogue.CATALOGUE[need].shared
        assert entry.shared == (not entry.roles), name
        assert set(entry.roles) <= {"template", "score", "density"}
        assert entry.source in (None, "sideband", "signal region", "simulation")
        assert not entry.everywhere or entry.shared
        assert entry.variant == (entry.file in catalogue.CATALOGUE)
        if entry.variant:
            base = catalogue.CATALOGUE[entry.file]
            assert entry.preset or entry.needs != base.needs
            assert entry.showers == base.showers
        assert all(catalogue.CATALOGUE[need].showers == entry.showers for need in entry.needs)
        if entry.source:
            assert "template" in entry.roles
    papers = [entry.paper for entry in [*catalogue.CATALOGUE.values(), *catalogue.ABSENT.values()] if entry.paper]
    assert all(paper.startswith("arXiv:") for paper in papers)


def test_unknown_and_absent_methods_are_refused() -> None:
    with pytest.raises(BadInput, match=r"unknown method 'cathod'; there are: .*cathode"):
        catalogue.get("cathod")
    with pytest.raises(BadInput, match=r"'curtains' \(arXiv:2203.09470\) is not built yet"):
        catalogue.get("curtains")


def test_a_label_changes_the_title_alone() -> None:
    assert catalogue.get("drapes_sb@2.24") == replace(catalogue.get("drapes_sb"), title="DRAPES SB @ 2.24")
    assert catalogue.get("sigma@8").file == "sigma"
    with pytest.raises(BadInput, match="unknown method 'sigma@'"):
        catalogue.get("sigma@")
