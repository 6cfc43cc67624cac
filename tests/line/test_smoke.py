"""The smoke suite from beginning to end: files, exported graphs, MLflow, report."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch

from sideband.benchmarks.catalogue import CATALOGUE
from sideband.benchmarks.events import task
from sideband.benchmarks.grid import suite as suites
from sideband.benchmarks.problems.search import draw
from sideband.benchmarks.tracking import store as tracking
from sideband.export import gates
from sideband.export.describe import example
from sideband.export.part import parts
from sideband.infer import events, model, template
from sideband.infer.model import Model
from sideband.train import ports, saved
from tests.line.conftest import LEFT_OUT, Ran, run
from tests.line.looks import Sources, jobs, mtimes

PLACE = "3.3-3.7/n300/s1"
WHOLE = [name for name, entry in CATALOGUE.items() if not (entry.shared or entry.variant) and entry.problem == "search"]
METHODS = [name for name in WHOLE if name not in LEFT_OUT]
STANDS_ON = set[str]().union(*map(suites.load("smoke").stands_on, METHODS))
FITTED = [*METHODS, *sorted(name for name in STANDS_ON if CATALOGUE[name].shared)]
GRAPHS = [(name, role) for name in METHODS for role in CATALOGUE[name].roles]
TIMED = [(name, role) for name, role in GRAPHS if role in ("template", "score", "density")]


def test_it_runs_to_the_end_and_prints_the_table(smoke: Ran) -> None:
    assert smoke.done.returncode == 0, smoke.done.stderr
    for name in METHODS:
        assert CATALOGUE[name].title.split()[0] in smoke.done.stdout  # long ones are wrapped
    assert smoke.done.stdout.splitlines()[-1] == f"report: {smoke.folder / 'report' / 'index.html'}"


def test_every_method_of_the_catalogue_is_in_it(smoke: Ran) -> None:
    assert list(suites.load("smoke")["methods"]) == WHOLE
    assert list(smoke.suite["methods"]) == METHODS
    for name in METHODS:
        assert (smoke.folder / PLACE / name / "evaluation.json").exists()


# Exported files


@pytest.mark.parametrize(("method", "role"), GRAPHS)
def test_exported_files_stand_on_their_own(method: str, role: str, smoke: Ran) -> None:
    path = smoke.folder / PLACE / method / f"{role}.onnx"
    graph = onnx.load(path, load_external_data=False)
    gates.check_graph(graph, path)
    domains = {node.domain for node in gates._nodes(graph.graph)}
    assert domains <= {"", "ai.onnx.ml"}
    assert not graph.functions
    assert not any(
        node.op_type.startswith(("Random", "Multinomial", "Bernoulli")) for node in gates._nodes(graph.graph)
    )
    opened = Model(path)
    told = opened.metadata
    assert (opened.role, told["method"]) == (role, method)
    assert (told["window"], told["injection"], told["seed"]) == ([3.3, 3.7], "n300", "1")
    assert all(told[key] for key in ("inputs", "outputs", "settings", "dataset_sha256", "code", "versions", "licence"))
    trees = role == "score" and not CATALOGUE[method].own_score
    assert (told["flop_per_event"] is None) == told["cpu_only"] == trees
    assert max(model.check(path).values()) <= 1


@pytest.mark.parametrize(("method", "role"), GRAPHS)
def test_exported_files_are_the_fit(method: str, role: str, smoke: Ran) -> None:
    """ONNX Runtime against the module, or the trees, at several batch sizes."""
    folder = smoke.folder / PLACE / method
    fit, opened = saved.load(folder / "model.pt"), Model(folder / f"{role}.onnx")
    (part,) = (part for part in parts(fit) if part.stem == role)
    feeds = example(task.read(folder.parent / "task.h5"), part, 3000, folder)
    parity = opened.metadata["parity"]
    for size in (1, 2, 999, len(next(iter(feeds.values())))):
        batch = {name: np.ascontiguousarray(values[-size:]) for name, values in feeds.items()}
        found, expected = np.column_stack([*opened.run(batch).values()]), part.predict(batch)
        assert model.deviation(found, expected, np.asarray(parity["atol"]), parity["rtol"]) <= 1


@pytest.mark.parametrize("method", [name for name in METHODS if "template" in CATALOGUE[name].roles])
def test_templates_are_those_of_the_training(method: str, smoke: Ran) -> None:
    folder = smoke.folder / PLACE / method
    the_task = task.read(smoke.folder / PLACE / "task.h5")
    names = ["m_jj", *the_task.features, *(["weight"] if method == "salad" else [])]
    made, drawn = (events.read(folder / name, names) for name in ("template.h5", "template_torch.h5"))
    if method == "salad":  # the simulation in the window
        number = the_task.inside(the_task.events("simulation")).sum()
    elif method == "latransit":
        number = (~the_task.inside(the_task.events("data"))).sum()
    else:
        number = 4 * the_task.attributes["data_in_window"]
    assert len(made["m_jj"]) == number
    np.testing.assert_array_equal(made["m_jj"], drawn["m_jj"])
    for name in names[1:]:
        np.testing.assert_allclose(made[name], drawn[name], atol=1e-3 * drawn[name].std())


# MLflow


@pytest.fixture(scope="module")
def store(smoke: Ran) -> Any:
    return tracking.client(tracking.tracking_uri(smoke.runs))


@pytest.fixture(scope="module")
def mlflow_runs(smoke: Ran, store: Any) -> dict[str, Any]:
    """The suite's runs by method; those of the task and of the suite stand above them."""
    experiment = store.get_experiment_by_name("smoke")
    found = store.search_runs([experiment.experiment_id], max_results=1000)
    assert len(found) == len(FITTED) + 2
    return {found_run.data.tags["method"]: found_run for found_run in found if "method" in found_run.data.tags}


def test_every_cell_is_one_finished_run(smoke: Ran, mlflow_runs: dict[str, Any]) -> None:
    cells = list(smoke.suite.cells(shared=True))
    assert sorted(cell.method for cell in cells) == sorted(mlflow_runs)
    for cell in cells:
        found = mlflow_runs[cell.method]
        assert found.info.status == "FINISHED"
        assert found.info.end_time > found.info.start_time
        tags = found.data.tags
        assert (tags["window"], tags["injection"], tags["seed"]) == (cell.window, cell.injection, cell.seed)
        assert tags["code"]
        assert found.data.params["device"] == "cpu"
        assert len(found.data.params) <= 12
        (data,) = found.inputs.dataset_inputs
        assert smoke.suite.dataset_sha256.startswith(data.dataset.digest)


@pytest.mark.parametrize("method", FITTED)
def test_a_run_holds_the_numbers_of_its_cell(method: str, smoke: Ran, mlflow_runs: dict[str, Any]) -> None:
    folder, numbers = smoke.folder / PLACE / method, mlflow_runs[method].data.metrics
    fit = json.loads((folder / "fit.json").read_text())
    assert numbers["fit_seconds"] == pytest.approx(fit["seconds"])
    assert numbers["peak_memory_mib"] > 0
    if CATALOGUE[method].shared:
        return
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert numbers["max_sic"] == pytest.approx(evaluation["sic"]["maximum"])
    assert numbers["signal_auc"] == pytest.approx(evaluation["sic"]["auc"])
    for role in [role for name, role in TIMED if name == method]:
        timings = json.loads((folder / f"timing_{role}.json").read_text())
        for scope, suffix in (("graph", "_graph"), ("host", ""), ("file", "_file")):
            rates = [row["events_per_second"] for row in timings if row["scope"] == scope]
            assert numbers[f"{role}_events_per_second{suffix}"] == pytest.approx(max(rates))
    assert ("closure_auc" in numbers) == ("template" in CATALOGUE[method].roles)
    if "closure_auc" in numbers:
        assert numbers["closure_auc"] == pytest.approx(evaluation["closure"]["auc"])


def test_curves_of_the_training_are_kept(store: Any, mlflow_runs: dict[str, Any]) -> None:
    for method, key in (
        ("sideband", "sideband.loss_0"),
        ("matching", "matching.validation"),
        ("morph", "morph.loss_1"),
    ):
        points = store.get_metric_history(mlflow_runs[method].info.run_id, key)
        assert [point.step for point in points] == [10, 20]


@pytest.mark.parametrize(("method", "role"), GRAPHS)
def test_every_exported_file_is_registered(
    method: str, role: str, smoke: Ran, store: Any, mlflow_runs: dict[str, Any], tmp_path: Path
) -> None:
    run_id = mlflow_runs[method].info.run_id
    # Other suites of this session may have registered a model of that name.
    found = store.search_model_versions(f"name = '{method}-{role}'")
    (version,) = [each for each in found if each.run_id == run_id]
    aliased = store.get_model_version_by_alias(f"{method}-{role}", "smoke_3_3_3_7_n300_s1")
    assert aliased.version == version.version
    folder = Path(store.download_artifacts(run_id, role, str(tmp_path)))
    for name in (f"{role}.onnx", "check.npz"):
        assert (folder / name).read_bytes() == (smoke.folder / PLACE / method / name).read_bytes()
    assert version.source.endswith(f"/{role}")


def test_figures_and_records_lie_with_their_run(store: Any, mlflow_runs: dict[str, Any]) -> None:
    for method in METHODS:
        run_id = mlflow_runs[method].info.run_id
        (figure,) = store.list_artifacts(run_id, "figures")
        assert figure.path == "figures/sic.png"
        records = {Path(file.path).name for file in store.list_artifacts(run_id, "records")}
        assert records >= {"fit.json", "export.json", "evaluation.json", "timing_score.json"}


# The report


def test_the_report_is_one_page_that_fetches_nothing(smoke: Ran) -> None:
    page = (smoke.folder / "report" / "index.html").read_text()
    sources = Sources()
    sources.feed(page)
    assert len(sources.found) >= 6
    assert all(source.startswith("data:") for source in sources.found)
    style = "".join(re.findall(r"<style[^>]*>(.*?)</style>", page, re.DOTALL))
    assert "@import" not in style
    assert not [url for url in re.findall(r"url\(([^)]*)\)", style) if not url.strip("'\"").startswith("data:")]
    for entry in CATALOGUE.values():
        assert entry.shared or (entry.title in page) == (entry.problem == "search")
    for stem in ("headline", "sic_3.3-3.7", "closure_3.3-3.7", "throughput", "cost"):
        for kind in ("png", "svg"):
            assert (smoke.folder / "report" / "figures" / f"{stem}.{kind}").stat().st_size > 1000


def test_tables_are_tidy(smoke: Ran) -> None:
    tables = {path.stem: pd.read_csv(path) for path in (smoke.folder / "report").glob("*.csv")}
    assert tables.keys() == {"results", "sic_curves", "throughput", "compare"}
    for table in tables.values():
        assert len(table) > 0
        assert not [name for name in table.columns if name.startswith("Unnamed")]
        assert not table.duplicated().any()
    results = tables["results"]
    keys = ["suite", "window", "injection", "seed", "method", "metric", "note"]
    assert not results.duplicated(keys).any()
    assert results["code"].notna().all()
    scored = results[results["metric"] == "sic_1e-3"]
    assert sorted(scored["method"]) == sorted(METHODS)
    closed = results[results["metric"] == "closure_auc"]
    assert sorted(closed["method"]) == sorted(name for name in METHODS if "template" in CATALOGUE[name].roles)
    encoded = results[results["metric"] == "latent_closure_auc"]
    assert sorted(encoded["method"]) == ["lacathode", "latransit"]
    assert closed["value"].between(0.4, 1).all()
    assert {"closure_floor", "closure_sidebands"} <= set(results["metric"])
    timed = tables["throughput"].groupby(["method", "role"])["scope"].agg(set)
    assert set(timed.index) == set(TIMED)
    assert all(scopes == {"graph", "host", "file"} for scopes in timed)
    assert (tables["throughput"]["events_per_second"] > 0).all()
    compared = tables["compare"].groupby(["method", "role"])["engine"].agg(set)
    assert set(compared.index) == {(name, role) for name, role in TIMED if role != "score" or CATALOGUE[name].own_score}
    assert all(engines >= {"onnxruntime", "torch eager"} for engines in compared)
    for name in METHODS:
        assert (tables["sic_curves"]["method"] == name).any()


def test_one_file_of_sigma_serves_every_window(smoke: Ran, tmp_path: Path) -> None:
    """On the task of another window, with that window's anchors, it gives what the module gives there."""
    folder, other, out = smoke.folder / PLACE / "sigma", tmp_path / "task.h5", tmp_path / "template.h5"
    recipe = replace(smoke.suite.recipe("3.3-3.7", "n300", "s1"), window=(2.8, 3.1))
    draw.make(smoke.suite.dataset(), recipe, other)
    opened, fit = Model(folder / "template.onnx"), saved.load(folder / "model.pt")
    assert opened.metadata["scope"] == "all"
    template.generate(opened, other, out, 1500)
    module = fit.modules["template"]
    drawn = template.drawn(opened, other, 1).blocks(0, 2)
    assert drawn["anchor_low"][0, 0] == np.float32(2.8 - 0.25 * 0.3)
    (found,) = ports.run(module, {name: torch.from_numpy(values) for name, values in drawn.items()})
    expected = found.numpy()[:1500]
    made = events.read(out, ["m_jj", *fit.columns])
    assert events.in_window(made["m_jj"], (2.8, 3.1)).all()
    atol = opened.metadata["parity"]["atol"]
    for index, name in enumerate(fit.columns):
        assert model.deviation(made[name], expected[:, index], atol[index], 1e-4) <= 1


# Once more


def test_a_second_run_does_nothing(smoke: Ran, store: Any, mlflow_runs: dict[str, Any]) -> None:
    before = mtimes(smoke)
    again = run(smoke.runs.parent / "smoke.yaml", smoke.runs)
    assert again.done.returncode == 0, again.done.stderr
    assert mtimes(again) == before
    experiment = store.get_experiment_by_name("smoke")
    after = store.search_runs([experiment.experiment_id], "tags.method != ''", max_results=1000)
    assert {one.info.run_id for one in after} == {one.info.run_id for one in mlflow_runs.values()}
    assert all(one.info.status == "FINISHED" for one in after)


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        (
            "cathode/template.onnx",
            "export_cathode template_cathode score_cathode evaluate_cathode throughput_template_cathode "
            "throughput_score_cathode compare_template_cathode report",
        ),
        ("iad/scores.h5", "score_iad evaluate_iad report"),
    ],
)
def test_only_what_depends_on_a_missing_file_is_made_again(name: str, steps: str, smoke: Ran) -> None:
    path = smoke.folder / PLACE / name
    aside = path.with_suffix(".aside")
    path.rename(aside)
    try:
        assert jobs(smoke) == set(steps.split())
    finally:
        aside.rename(path)
