"""Events in memory: every form of them gives the same columns, and what is none is refused in one line."""

from typing import Any

import awkward
import numpy as np
import pandas as pd
import pytest

from sideband.api import columns
from sideband.infer.errors import BadInput

WIDTH, CHARGE = np.array([0.5, 1.5, 2.5]), np.array([1, -1, 1])
FORMS = [
    {"width": WIDTH, "charge": CHARGE},
    pd.DataFrame({"width": WIDTH, "charge": CHARGE}),
    awkward.zip({"width": WIDTH, "charge": CHARGE}),
    {"width": list(WIDTH), "charge": pd.Series(CHARGE, name="other")},
    np.rec.fromarrays([WIDTH, CHARGE], names="width,charge"),
]


@pytest.mark.parametrize("form", FORMS, ids=lambda form: type(form).__name__)
def test_every_form_gives_the_same(form: Any) -> None:
    found = columns.table([1, 2, 3], "m", columns.named(form))
    assert list(found) == ["m", "width", "charge"]
    assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(found["charge"], CHARGE)
    assert list(columns.named(form, ["charge"])) == ["charge"]
    np.testing.assert_array_equal(columns.mass_of(form, "width"), WIDTH)
    assert columns.mass_of(form, "m") is None


def test_an_array_has_columns_by_number_or_by_the_wanted_names() -> None:
    table = np.column_stack([WIDTH, CHARGE])
    assert list(columns.named(table)) == ["x0", "x1"]
    np.testing.assert_array_equal(columns.named(table, ["width", "charge"])["charge"], CHARGE)
    with pytest.raises(BadInput, match="features: 2 columns; give 1, which are width"):
        columns.named(table, ["width"])


def test_a_series_names_the_mass() -> None:
    assert columns.mass_name(pd.Series(WIDTH, name="m_vis")) == "m_vis"
    assert columns.mass_name(pd.Series(WIDTH)) == columns.mass_name(WIDTH) == "mass"


def test_the_range_around_masses_has_all_of_them_inside() -> None:
    mass = np.array([2.3, 5.0], np.float32)
    low, high = columns.around(mass)
    assert np.float32(low) < mass[0]
    assert mass[1] < np.float32(high)


MASKED = np.ma.masked_array([1.0, 2.0, 3.0], [0, 1, 0])
WRONG = [
    ({"width": [1.0, np.nan, np.inf]}, "column 'width': 2 values are NaN or infinite in float32, .* of event 1; "),
    ({"width": [1.0, 1e300, 1.0]}, "1 values are NaN or infinite in float32"),
    ({"width": [1.0, 2.0]}, "column 'width': 2 events, and 'm' has 3; give both"),
    ({"width": awkward.Array([[1.0], [], [2.0, 3.0]])}, "column 'width': not an array .*; give one number an event"),
    ({"width": awkward.Array([1.0, None, 2.0])}, "column 'width': .*"),
    ({"width": [[1.0], [], [2.0]]}, "column 'width': not an array of numbers .*; give one number an event"),
    ({"width": MASKED}, "column 'width': some values are missing; remove these events"),
    ({"width": pd.array([1, None, 2], dtype="Int64")}, "column 'width': some values are missing"),
    ({"width": ["a", "b", "c"]}, "column 'width': has the type <U1"),
    ({"width": np.ones((3, 2))}, r"column 'width': has the type float64 and the shape \(3, 2\)"),
    ({"m": WIDTH}, "features: 'm' is the mass, it cannot be a feature too"),
    ({}, "features: there are none; give some"),
    (WIDTH, r"features: an array of shape \(3,\); give one of shape \[events, features\]"),
    (3, r"features: an array of shape \(\)"),
    (pd.Series(WIDTH), r"features: an array of shape \(3,\); give one of shape \[events, features\], a data frame"),
    ({"": WIDTH}, "features: '' is no name for a column; give it one"),
    ({"a/b": WIDTH}, "features: 'a/b' is no name for a column; give it one, without '/'"),
]


@pytest.mark.parametrize(("features", "words"), WRONG)
def test_what_is_no_table_of_numbers_is_refused(features: Any, words: str) -> None:
    with pytest.raises(BadInput, match=words) as refused:
        columns.table([1.0, 2.0, 3.0], "m", columns.named(features))
    assert "\n" not in str(refused.value)


def test_masses_are_checked_too() -> None:
    with pytest.raises(BadInput, match="column 'm': there are no events"):
        columns.table([], "m", {"width": []})
    with pytest.raises(BadInput, match=r"column 'm': has the type float64 and the shape \(1, 3\)"):
        columns.table([[1.0, 2.0, 3.0]], "m", {"width": WIDTH})
    with pytest.raises(BadInput, match="features: no column 'charge' there"):
        columns.named({"width": WIDTH}, ["width", "charge"])
