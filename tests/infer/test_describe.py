from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from sideband.infer.describe import description
from sideband.infer.errors import BadInput
from sideband.infer.meaning import Meaning
from sideband.infer.model import Model
from tests.infer import graphs


def constant(value: Any) -> dict[str, Any]:
    drawn = {"kind": "constant", "edge": "low", "margin": 0.25}
    return {"columns": ["anchor"], "units": ["TeV"], "value": value, "drawn": drawn}


def anchored(path: Path, value: Any) -> Path:
    """A template of every kind of input."""
    rows = {"drawn": {"kind": "rows", "group": "low", "order": "turn", "file": "source.h5"}}
    wide = {"columns": ["noise"], "units": [""], "widths": [2], "drawn": {"kind": "noise"}}
    inputs = {"noise": wide, "condition": graphs.TARGET, "anchor": constant(value), "low": {**graphs.FEATURES, **rows}}
    node = helper.make_node("Sum", ["noise", "low", "condition", "anchor"], ["features"])
    return graphs.write(path, "template", inputs, {"features": graphs.FEATURES}, [node], {}, scope="all")


def test_a_template_says_how_each_input_is_drawn(tmp_path: Path) -> None:
    lines = description(Model(anchored(tmp_path / "template.onnx", 3.2))).splitlines()
    words = [" ".join(line.split()) for line in lines]
    assert "noise [N, 2] noise (2 numbers) standard normal numbers" in words
    assert "condition [N, 1] m TeV target masses" in words
    assert "anchor [N, 1] anchor TeV 3.2: 0.25 window widths beyond the low edge" in words
    assert "low [N, 2] x TeV rows of low of source.h5, in turn" in words
    assert "good for every window" in words
    assert max(map(len, lines)) <= 120


def test_a_score_says_what_its_numbers_are(tmp_path: Path) -> None:
    means = {"meaning": "logarithm of a ratio", "range": [None, None]}
    found = Model(graphs.score(tmp_path / "score.onnx", means=means))
    assert found.outputs["score"].meaning == Meaning("logarithm of a ratio")
    assert "logarithm of a ratio: any number" in description(found)


def test_files_of_earlier_versions_are_described_without(tmp_path: Path) -> None:
    found = Model(graphs.score(tmp_path / "score.onnx"))
    assert found.outputs["score"].meaning is None
    assert "3.3 to 3.7, fitted in 2.3 to 5" in description(found)
    np.testing.assert_allclose(found.run({"features": np.float32([[1, 2]])})["score"], 5)


@pytest.mark.parametrize(
    "means",
    [{"meaning": 1, "range": [0, 1]}, {"meaning": "x"}, {"range": [0, 1]}, {"meaning": "x", "range": [0, "1"]}],
)
def test_a_damaged_meaning_is_refused(tmp_path: Path, means: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="wrong 'outputs'"):
        Model(graphs.score(tmp_path / "score.onnx", means=means))


def test_a_damaged_value_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="wrong 'inputs'"):
        Model(anchored(tmp_path / "template.onnx", "much"))
