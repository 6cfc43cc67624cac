"""What must hold for everything that can be read off a figure."""

import re
from collections.abc import Iterable
from typing import Any

from sideband.benchmarks.report import readout
from sideband.benchmarks.report.content import Picture

NUMBER = re.compile(r"-?[\d.,]+(e[-+]\d+)?( \(.*\)|–.*)?")  # perhaps with its error, or the end of a range


def assert_named(found: dict[str, Any]) -> None:
    """Every number has a name, by which a reader finds it; no text is written as matplotlib writes it."""
    assert found["series"]
    for one in found["series"]:
        assert one["label"] or any(name == "" for name, _ in found["axes"][one["on"]].values())
        axes = found["axes"][one["on"]]
        for which, (name, unit) in ((which, axes[which]) for which in axes if which in one):
            texts = found["columns"][one[which]]
            assert name or not any(NUMBER.fullmatch(text) for text in texts)
            assert not any(sign in text for text in (name, unit, one["label"], *texts) for sign in "$\\\n{}")
        assert not one["label"].startswith("_")


def assert_readable(pictures: Iterable[Picture]) -> None:
    """The same of pictures that are not on a page yet."""
    for picture in pictures:
        picture.figure.draw_without_rendering()
        assert_named(readout.of(picture.figure))
