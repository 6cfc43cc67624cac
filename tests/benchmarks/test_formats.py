"""The same events whatever the format they are kept in, and one line where a file will not do."""

import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
import yaml

from sideband.benchmarks.events import formats, identity, sources
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.problems.search import draw
from sideband.infer.errors import BadInput
from tests.conftest import Outcome

NUMBER = 500
SECTION = {
    "source": "events",
    "mass": {"column": "m_vis", "unit": "GeV"},
    "features": ["met", {"column": "ratio", "expression": "met / sqrt(ht)", "unit": "GeV^0.5"}],
    "cut": "(ht > 20) & (n_jets >= 1)",
}


def table(number: int = NUMBER, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "m_vis": rng.uniform(100, 1000, number).astype(np.float32),
        "met": rng.exponential(50, number),
        "ht": rng.uniform(10, 300, number),
        "n_jets": rng.integers(0, 5, number).astype(np.int32),
        "event": np.arange(number, dtype=np.int64) + 2**40,
        "run": np.repeat(np.int64(1), number),
    }


def write_hdf5(path: Path, columns: dict[str, Any], group: str = "/") -> None:
    with h5py.File(path, "a") as file:
        for name, values in columns.items():
            file.require_group(group)[name] = values


def write_records(path: Path, columns: dict[str, Any]) -> None:
    records = np.empty(NUMBER, [(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        records[name] = values
    with h5py.File(path, "w") as file:
        file["records"] = records


def write_tree(path: Path, columns: dict[str, Any]) -> None:
    with uproot.recreate(path) as file:
        file.mktree("Events", {name: values.dtype for name, values in columns.items()})
        for low in range(0, NUMBER, 120):  # several baskets
            file["Events"].extend({name: values[low : low + 120] for name, values in columns.items()})


def write_ntuple(path: Path, columns: dict[str, Any]) -> None:
    with uproot.recreate(path) as file:
        file.mkrntuple("Events", columns)


WRITERS: dict[str, Callable[[Path, dict[str, Any]], None]] = {
    "flat.h5": write_hdf5,
    "tree.root": write_tree,
    "ntuple.root": write_ntuple,
    "events.parquet": lambda path, columns: pq.write_table(pa.table(columns), path, row_group_size=150),
    "comma.csv": lambda path, columns: pd.DataFrame(columns).to_csv(path, index=False),
    "blanks.txt": lambda path, columns: pd.DataFrame(columns).to_csv(path, index=False, sep=" "),
    "fixed.hdf": lambda path, columns: pd.DataFrame(columns).to_hdf(path, key="df"),
    "table.hdf": lambda path, columns: pd.DataFrame(columns).to_hdf(path, key="df", format="table"),
}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("root", "parquet", "text", "hdf5", "store"):
        monkeypatch.setattr(f"sideband.benchmarks.events.formats.{name}.ROWS", 77)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.usefixtures("small_chunks")
def test_every_format_gives_the_same_events(tmp_path: Path, name: str) -> None:
    columns = table()
    WRITERS[name](tmp_path / name, columns)
    found = sources.load(SECTION | {"data": name}, tmp_path)
    kept = np.flatnonzero((columns["ht"] > 20) & (columns["n_jets"] >= 1))
    assert 0 < len(kept) < NUMBER
    np.testing.assert_allclose(found.data.mass, columns["m_vis"][kept], rtol=1e-7)
    expected = np.stack([columns["met"], columns["met"] / np.sqrt(columns["ht"])], 1)[kept]
    np.testing.assert_allclose(found.data.features, expected, rtol=1e-6)
    assert found.data.rows is not None
    np.testing.assert_array_equal(found.data.rows, kept)
    assert found.units == {"m_vis": "GeV", "met": "", "ratio": "GeV^0.5"}


@pytest.mark.parametrize("write", [write_hdf5, write_records])
def test_groups_and_records_of_hdf5(tmp_path: Path, write: Callable[..., None]) -> None:
    columns = table()
    write(tmp_path / "a.h5", columns, *(["deep/er"] if write is write_hdf5 else []))
    group = "deep/er" if write is write_hdf5 else "records"
    found = sources.load(SECTION | {"data": "a.h5", "group": group, "cut": "ht > 0"}, tmp_path)
    np.testing.assert_array_equal(found.data.mass, columns["m_vis"])
    with pytest.raises(BadInput, match=f"a.h5: no columns in '/', but it has: {group.split('/')[0]}; name one"):
        sources.load(SECTION | {"data": "a.h5"}, tmp_path)
    with pytest.raises(BadInput, match=r"a.h5: no group 'other'"):
        sources.load(SECTION | {"data": "a.h5", "group": "other"}, tmp_path)


def test_several_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    parts = {f"run{index}.parquet": table(100 + index, index) for index in (2, 0, 1)}
    for name, columns in parts.items():
        pq.write_table(pa.table(columns), tmp_path / name)
    section = {key: value for key, value in SECTION.items() if key != "cut"}
    found = sources.load(section | {"data": "run*.parquet"}, tmp_path)
    ordered = [parts[f"run{index}.parquet"]["m_vis"] for index in range(3)]
    np.testing.assert_array_equal(found.data.mass, np.concatenate(ordered))
    np.testing.assert_array_equal(found.data.rows, np.arange(303))
    assert [(path.name, length) for path, length in found.files] == [(f"run{i}.parquet", 100 + i) for i in range(3)]
    assert "and 2 more files" in found.description
    listed = sources.load(section | {"data": ["run1.parquet", "run0.parquet"]}, tmp_path)
    np.testing.assert_array_equal(listed.data.mass, np.concatenate([ordered[1], ordered[0]]))
    assert listed.sha256 != found.sha256


def test_parquet_may_name_units_and_have_gaps_where_a_cut_falls(tmp_path: Path) -> None:
    columns = table()
    met = [None if jets == 0 else float(value) for jets, value in zip(columns["n_jets"], columns["met"], strict=True)]
    fields = [pa.field("m_vis", pa.float32(), metadata={"unit": "GeV"}), ("met", pa.float64()), ("n_jets", pa.int32())]
    data = [columns["m_vis"], met, columns["n_jets"]]
    pq.write_table(pa.table(data, schema=pa.schema(fields)), tmp_path / "a.parquet")
    section = {"source": "events", "data": "a.parquet", "mass": {"column": "m_vis"}, "features": ["met"]}
    found = sources.load(section | {"cut": "n_jets > 0"}, tmp_path)
    assert found.units["m_vis"] == "GeV"
    assert len(found.data) == (columns["n_jets"] > 0).sum()
    first = int(np.argmax(columns["n_jets"] == 0))
    with pytest.raises(BadInput, match=rf"column 'met' holds \d+ NaN or infinite values \(first: row {first}\)"):
        sources.load(section, tmp_path)
    with pytest.raises(BadInput, match=r"'m_vis' is in GeV, the suite says TeV; correct dataset.mass.unit"):
        sources.load(section | {"mass": {"column": "m_vis", "unit": "TeV"}}, tmp_path)


@pytest.mark.parametrize("kind", ["root", "parquet"])
def test_jagged_columns_give_one_number_by_an_index_and_a_cut(tmp_path: Path, kind: str) -> None:
    jets = ak.Array([[30.0, 20.0], [], [40.0], [50.0, 5.0, 1.0]])
    mass = np.float32([1, 2, 3, 4])
    if kind == "root":
        with uproot.recreate(tmp_path / "a.root") as file:
            file.mktree("Events", {"m": "float32", "jet_pt": "var * float64"})
            file["Events"].extend({"m": mass, "jet_pt": jets})
        name, leading = "a.root", "jet_pt[:, 0]"
    else:
        ak.to_parquet(ak.zip({"m": mass, "pt": jets}, depth_limit=1), tmp_path / "a.parquet")
        name, leading = "a.parquet", "pt[:, 0]"
    column = leading.split("[")[0]
    section: dict[str, Any] = {"source": "events", "data": name, "mass": {"column": "m"}}
    first = {"column": "leading", "expression": leading}
    if kind == "root":
        found = sources.load(section | {"features": [first], "cut": "njet_pt > 0"}, tmp_path)
        np.testing.assert_array_equal(found.data.features[:, 0], [30, 40, 50])
        np.testing.assert_array_equal(found.data.rows, [0, 2, 3])
    with pytest.raises(BadInput, match=f"column '{column}' has a varying number of values an event; take one, as in"):
        sources.load(section | {"features": [column]}, tmp_path)
    with pytest.raises(BadInput, match=r"out of range .* index 0\); keep the events that have it with dataset.cut"):
        sources.load(section | {"features": [first]}, tmp_path)
    with pytest.raises(BadInput, match=rf"take one, as in '\({column} / 2\)\[:, 0\]'"):
        sources.load(section | {"features": [{"column": "x", "expression": f"{column} / 2"}]}, tmp_path)
    with pytest.raises(BadInput, match=f"dataset.cut '{column} > 0' gives no single truth value an event"):
        sources.load(
            section | {"features": ["m"], "mass": {"column": "x", "expression": "m+1"}, "cut": f"{column} > 0"},
            tmp_path,
        )
    with pytest.raises(BadInput, match=f"label '{column} > 0' has a varying number of values an event"):
        sources.load(
            section | {"features": ["m"], "mass": {"column": "x", "expression": "m+1"}, "label": f"{column} > 0"},
            tmp_path,
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "nothing*.csv"}, "nothing\\*.csv: matches no file"),
        ({"data": ["comma.csv", "comma.csv"]}, "comma.csv: is named twice"),
        ({"data": ["comma.csv", "events.parquet"]}, "events.parquet: is Parquet, but .*comma.csv is CSV"),
        ({"data": "absent.root"}, "absent.root: no such file"),
        ({"tree": "Events"}, "comma.csv: is CSV, which has no trees"),
        ({"group": "g"}, "comma.csv: is CSV, which has no groups"),
        ({"features": ["jets"]}, "no column 'jets' .*there: m_vis, met"),
        ({"features": [{"column": "x", "expression": "met / hT"}]}, "'met / hT': not found: 'hT'.* .*there: m_vis"),
        ({"features": [{"column": "x", "expression": "met +"}]}, "neither a column nor an expression"),
        ({"features": [{"column": "x", "expression": "[met for met in ht]"}]}, "ListComp has no place"),
        ({"features": [{"column": "x", "expression": "(1).__class__"}]}, "Attribute has no place"),
        ({"features": [{"column": "x", "expression": "1 + 1"}]}, "names no column"),
        ({"features": [{"column": "x", "expression": "met / 0"}]}, "holds 500 NaN or infinite values .first: row 0"),
        ({"cut": "ht > 20 and met > 1"}, "join conditions by & and |"),
        ({"cut": "ht > 1e9"}, "holds no events that pass dataset.cut"),
        ({"label": "n_jets"}, "label column 'n_jets' holds values other than 0"),
        ({"id": "n_jets"}, r"dataset.id: n_jets 0 names row \d+ of .*comma.csv and row \d+ of .*comma.csv"),
        ({"cut": "met"}, "dataset.cut 'met' gives no single truth value an event; compare numbers"),
        ({"features": [{"column": "x", "expression": "met + 9**9**9"}]}, "a power of numbers alone"),
        (
            {"features": [{"column": "x", "expression": "met * (1 << n_jets)"}], "cut": "1 << 10**9"},
            "a power of numbers",
        ),
        ({"id": ["met"]}, "dataset.id: column 'met' holds other than whole numbers"),
    ],
)
def test_wrong_sections_are_told_on_one_line(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    columns = table()
    for name in ("comma.csv", "events.parquet"):
        WRITERS[name](tmp_path / name, columns)
    section = {"source": "events", "data": "comma.csv", "mass": {"column": "m_vis"}, "features": ["met"]}
    with pytest.raises(BadInput, match=message) as refused:
        sources.load(section | change, tmp_path)
    assert "\n" not in str(refused.value)


def test_an_id_that_repeats_in_another_file_names_both(tmp_path: Path) -> None:
    for name, events in (("a.csv", [7, 8, 9]), ("b.csv", [6, 8])):
        pd.DataFrame({"m": events, "x": events, "event": events}).to_csv(tmp_path / name, index=False)
    section = {"source": "events", "data": "*.csv", "mass": {"column": "m"}, "features": ["x"], "id": "event"}
    with pytest.raises(BadInput, match=r"event 8 names row 1 of \S*a.csv and row 1 of \S*b.csv; add a column"):
        sources.load(section, tmp_path)


@pytest.mark.parametrize("between", [",", "\t"])
def test_csv_as_pandas_and_spreadsheets_write_it(tmp_path: Path, between: str) -> None:
    """With the numbers of rows in a column that has no name, and names in quotes."""
    columns = pd.DataFrame({"m": [1.0, 2.0], f"x{between}y": [3.0, 4.0]})
    columns.to_csv(tmp_path / "a.csv", sep=between)
    section = {"source": "events", "data": "a.csv", "mass": {"column": "m"}, "features": [f"x{between}y"]}
    np.testing.assert_array_equal(sources.load(section, tmp_path).data.features[:, 0], [3, 4])
    with formats.opened(tmp_path / "a.csv") as reader:
        assert list(reader.units) == ["m", f"x{between}y"]


@pytest.mark.parametrize("name", ["a.root", "a.parquet", "fixed.hdf", "table.hdf"])
def test_columns_of_texts_are_refused_where_they_are_asked_for(tmp_path: Path, name: str) -> None:
    columns = {"m": np.float64([1, 2]), "x": np.float64([3, 4]), "name": ["a", "b"]}
    if name == "a.root":
        with uproot.recreate(tmp_path / name) as file:
            file["Events"] = columns | {"name": ak.Array(columns["name"])}
    elif name == "a.parquet":
        pq.write_table(pa.table(columns), tmp_path / name)
    else:
        pd.DataFrame(columns).to_hdf(tmp_path / name, key="df", format=name.split(".")[0])
    section = {"source": "events", "data": name, "mass": {"column": "m"}, "features": ["x"]}
    if name == "fixed.hdf":  # where pandas pickles them
        with pytest.raises(
            BadInput, match="pickled objects, as columns of texts are; fetch it again, or write numbers"
        ):
            sources.load(section, tmp_path)
        return
    assert len(sources.load(section, tmp_path).data) == 2
    with pytest.raises(BadInput, match=r"column 'name' holds .*; events are made of numbers"):
        sources.load(section | {"features": ["name"]}, tmp_path)


def test_a_file_that_changes_between_its_digest_and_its_events_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, section = (
        tmp_path / "a.csv",
        {"source": "events", "data": "a.csv", "mass": {"column": "m"}, "features": ["x"]},
    )
    path.write_text("m,x\n1,2\n")
    digest = sources.identity

    def then_written(config: Any, base: Path) -> str:
        found = digest(config, base)
        path.write_text("m,x\n1,2\n3,4\n")
        return found

    monkeypatch.setattr(sources, "identity", then_written)
    with pytest.raises(BadInput, match=r"a.csv: changed while it was read"):
        sources.load(section, tmp_path)


@pytest.mark.parametrize("part", ["data", "simulation"])
def test_files_in_other_units_are_refused(tmp_path: Path, part: str) -> None:
    for name, unit in (("a.h5", "GeV"), ("b.h5", "MeV"), ("c.h5", "")):
        with h5py.File(tmp_path / name, "w") as file:
            file["m"], file["x"] = np.float32([1, 2]), np.float32([3, 4])
            file["m"].attrs["unit"] = unit
    section = {"source": "events", "data": ["a.h5"], "mass": {"column": "m"}, "features": ["x"]}
    assert sources.load(section | {part: ["a.h5", "c.h5"]}, tmp_path).units["m"] == "GeV"
    with pytest.raises(BadInput, match=r"b.h5: column 'm' is in MeV, in the data in GeV; write one unit to all"):
        sources.load(section | {part: ["a.h5", "b.h5"]}, tmp_path)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.usefixtures("small_chunks")
def test_columns_of_chosen_rows_are_the_same_in_every_format(tmp_path: Path, name: str) -> None:
    """As scores come home beside them."""
    columns = [table(), table(seed=1)]
    for folder, each in zip("ab", columns, strict=True):
        (tmp_path / folder).mkdir()
        WRITERS[name](tmp_path / folder / name, each)
    files, rows = [tmp_path / folder / name for folder in "ab"], np.array([0, 3, 76, 77, 499, 500, 998])
    assert identity.lengths(files, ["m_vis"], formats.Place()) == [NUMBER, NUMBER]
    found = identity.read(files, ["event", "met / 2"], formats.Place(), rows)
    expected = {key: np.concatenate([each[key] for each in columns])[rows] for key in ("event", "met")}
    np.testing.assert_array_equal(found["event"], expected["event"])
    np.testing.assert_allclose(found["met / 2"], expected["met"] / 2, rtol=1e-12)


def test_a_label_may_be_an_expression_and_an_id_several_columns(tmp_path: Path) -> None:
    columns = table()
    WRITERS["comma.csv"](tmp_path / "a.csv", columns)
    section = {"source": "events", "data": "a.csv", "mass": {"column": "m_vis"}, "features": ["met"]}
    found = sources.load(section | {"label": "n_jets == 4", "id": ["run", "event"]}, tmp_path)
    assert found.data.label is not None
    np.testing.assert_array_equal(found.data.label, columns["n_jets"] == 4)


def test_trees_are_named_where_there_are_several(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "a.root") as file:
        file["one/Events"] = {"m": np.float32([1, 2])}
        file["two"] = {"m": np.float32([3])}
    section = {
        "source": "events",
        "data": "a.root",
        "mass": {"column": "m"},
        "features": [{"column": "x", "expression": "m*2"}],
    }
    with pytest.raises(BadInput, match=r"has several trees: one/Events, two; name one as dataset.tree"):
        sources.load(section, tmp_path)
    with pytest.raises(BadInput, match=r"no tree 'three' .there: one/Events, two.; correct dataset.tree"):
        sources.load(section | {"tree": "three"}, tmp_path)
    found = sources.load(section | {"tree": "one/Events"}, tmp_path)
    np.testing.assert_array_equal(found.data.features[:, 0], [2, 4])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "1.0,2.0\n3.0,4.0\n", "its first line does not name all columns"),
        ("a.csv", "m,x,\n3.0,4.0,\n", "its first line does not name all columns"),
        ("a.csv", "m,m\n3.0,4.0\n", "names column 'm' twice"),
        ("a.csv", "m,x\n3.0,much\n", "column 'x' holds texts, such as 'much'; events are made of numbers"),
        ("a.csv", "m;x\n300;1,5\n", "column 'x' holds texts, such as '1,5'; events are made of numbers"),
        ("a.json", '[{"m": 1, "x": 2}]', "a JSON file; give events as ROOT, Parquet, CSV or HDF5"),
        ("a.root", "<html>Log in</html>", "an XML or HTML file; give events as ROOT, Parquet, CSV or HDF5"),
        ("a.csv", "m,x\n3.0,1\n3.0,1,7\n", "not a table of numbers"),
        ("a.csv", "m,x\n", "holds no events"),
        ("a.csv", "", "an empty file; give events as ROOT, Parquet, CSV or HDF5"),
        ("a.csv.gz", gzip.compress(b"m,x\n1,2\n", mtime=0), "a gzip file; give events as ROOT, Parquet, CSV or HDF5"),
        ("a.npz", b"PK\x03\x04rest", "a ZIP archive .* give events as ROOT, Parquet, CSV or HDF5"),
        ("a.root", b"root" + bytes(range(256)), "ROOT cannot be read from it .*; fetch or write it again"),
        ("a.root", b"root" + bytes(500), "holds neither a TTree nor an RNTuple"),
        ("a.parquet", b"PAR1" + bytes(500), "a damaged Parquet file .*; fetch or write it again"),
    ],
)
def test_files_that_will_not_do_are_told_on_one_line(tmp_path: Path, name: str, content: Any, message: str) -> None:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    section = {"source": "events", "data": name, "mass": {"column": "m"}, "features": ["x"]}
    with pytest.raises(BadInput, match=message) as refused:
        sources.load(section, tmp_path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["tree.root", "ntuple.root", "events.parquet", "table.hdf"])
def test_cut_short_files_are_refused(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name, table())
    whole = (tmp_path / name).read_bytes()
    for part in (0.3, 0.7, 0.98):
        (tmp_path / name).write_bytes(whole[: int(part * len(whole))])
        with pytest.raises(BadInput) as refused:
            sources.load(SECTION | {"data": name}, tmp_path)
        assert "\n" not in str(refused.value)


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    WRITERS["comma.csv"](path, table())
    with pytest.raises(BadInput, match="changed while it was read"), formats.opened(path):
        os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("name", ["flat.h5", "tree.root", "comma.csv"])
def test_what_a_run_accepts_validates_and_is_described(
    command: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    path = tmp_path / name
    WRITERS[name](path, table())
    told = ("--mass", "m_vis", "--features", "met", "ratio=met / ht", "--units", "m_vis=GeV", "--cut", "n_jets > 0")
    number = int((table()["n_jets"] > 0).sum())
    assert command("benchmarks", "validate", path, *told).out == f"{path}: valid; {number} events\n"
    done = command("benchmarks", "describe", path, *told)
    assert f"{path.stem}: {number} events" in done.out
    assert "ratio" in done.out
    assert "GeV" in done.out
    assert (tmp_path / "figures" / "spectrum.png").is_file()
    everything = command("benchmarks", "describe", path, "--mass", "m_vis")
    assert all(column in everything.out for column in ("met", "ht", "n_jets", "event"))
    (tmp_path / "a.yaml").write_text(
        yaml.safe_dump(
            {
                "about": "toy",
                "dataset": SECTION | {"data": name},
                "mass_range": [100, 1000],
                "windows": [[380, 640], [390, 650]],
                "seeds": [1],
                "methods": {"cwola": {}},
            }
        )
    )
    kept = int(((table()["ht"] > 20) & (table()["n_jets"] >= 1)).sum())
    suite = tmp_path / "a.yaml"
    assert command("benchmarks", "validate", suite).out == f"{suite}: valid; {kept} events\n"


def test_suites_that_simulate_their_events_validate_too(command: Callable[..., Outcome]) -> None:
    path = suites.path_of("smoke_showers")
    assert command("benchmarks", "validate", path).out == f"{path}: valid\n"


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ((), "which column is the mass. Say it with --mass"),
        (("--mass", "m"), "no column 'm' .columns there: m_vis"),
        (("--mass", "m_vis", "--features", "met/ht"), "column 'met/ht': is no name for a column"),
        (("--mass", "m_vis", "--units", "GeV"), "--units GeV: must be COLUMN=UNIT"),
        (("--mass", "m_vis", "--units", "mass=GeV"), "--units mass: no such column is read"),
        (("--mass", "m_vis", "--tree", "t"), "is CSV, which has no trees"),
    ],
)
def test_what_is_told_wrongly_is_refused(
    command: Callable[..., Outcome], tmp_path: Path, told: tuple[str, ...], message: str
) -> None:
    path = tmp_path / "comma.csv"
    WRITERS["comma.csv"](path, table())
    for verb in ("validate", "describe"):
        assert re.search(message, command("benchmarks", verb, path, *told).refused())


def test_the_same_events_make_the_same_task_whatever_their_format(tmp_path: Path) -> None:
    found = {}
    for name, writer in WRITERS.items():
        writer(tmp_path / name, table())
        recipe = draw.Recipe((100, 1000), (400, 700), None, 1)
        draw.make(sources.load(SECTION | {"data": name}, tmp_path), recipe, tmp_path / f"{name}.task")
        with h5py.File(tmp_path / f"{name}.task") as file:
            found[name] = {column: data[:].tobytes() for column, data in file["data"].items()}
    assert set(found["flat.h5"]) == {"m_vis", "met", "ratio", "event_row"}
    assert all(each == found["flat.h5"] for each in found.values())
