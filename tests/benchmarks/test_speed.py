"""Rates that the report quotes beside the sensitivity."""

import dataclasses

import pandas as pd
import pytest

from sideband.benchmarks.report import speed
from tests.benchmarks.test_verdict import results


def test_a_mixture_is_as_fast_as_its_sources() -> None:
    methods = {"cathode": {}, "drapes": {}, "mixed": {"of": ["cathode", "drapes"]}}
    rates = {"cathode": 1e6, "drapes": 1e4, "mixed": 1e8}
    rows = [
        {"method": name, "role": role, "scope": "host", "events_per_second": rate}
        for name, rate in rates.items()
        for role in ("template", "score")
    ]
    found = speed.template_rates(dataclasses.replace(results([], methods=methods), timings=pd.DataFrame(rows)))
    # Two events take the time of one of each source: 1 and 100 µs.
    assert found == pytest.approx({"cathode": 1e6, "drapes": 1e4, "mixed": 2 / 101e-6})
    some = pd.DataFrame([row for row in rows if row["method"] != "drapes"])
    assert speed.template_rates(dataclasses.replace(results([], methods=methods), timings=some)) == {"cathode": 1e6}
