"""Where the time of a run went."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sideband.benchmarks.grid import spent
from sideband.infer.errors import BadInput
from tests.conftest import Outcome


@pytest.mark.parametrize(
    ("rule", "step"),
    [
        ("fit_cathode", "fit"),
        ("template_drapes_one", "template"),
        ("template_scores_cathode", "template_scores"),
        ("template_latents_lacathode", "template_latents"),
        ("report", "report"),
        ("part", "part"),  # of a template that `produce` makes
    ],
)
def test_a_rule_belongs_to_a_step(rule: str, step: str) -> None:
    assert spent.step(rule) == step


def test_the_longest_come_first_and_shares_add_up(
    tmp_path: Path, command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for rule, seconds in (("fit_anode", 10.0), ("export_anode", 25.0), ("fit_sigma", 65.0), ("fit_sigma", 100.0)):
        spent.note(tmp_path, rule, seconds)
    (_, steps), (_, rules) = spent.tables(spent.read(tmp_path))
    assert steps[1:] == [("fit", "3", "175", "100.0", "88%"), ("export", "1", "25", "25.0", "12%")]
    assert [row[:3] for row in rules[1:]] == [
        ("fit_sigma", "2", "165"),
        ("export_anode", "1", "25"),
        ("fit_anode", "1", "10"),
    ]
    done = command("benchmarks", "spent", tmp_path)
    assert done.status == 0
    assert "fit_sigma" in done.out


def test_a_folder_without_a_run_is_refused(tmp_path: Path, command: Callable[..., Outcome]) -> None:
    line = command("benchmarks", "spent", tmp_path).refused()
    assert line.endswith("steps.csv: no such file; give the folder of a suite that has run, as in runs/quick")


@pytest.mark.parametrize("text", ["rule\nreport\n", "rule,seconds\nreport,soon\n"])
def test_a_damaged_list_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / spent.FILE).write_text(text)
    with pytest.raises(BadInput, match="not a list of jobs"):
        spent.read(tmp_path)
