import ast
import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from sideband.benchmarks.catalogue import CATALOGUE
from sideband.benchmarks.events import tables, task
from sideband.benchmarks.problems.search import draw
from sideband.infer import events
from sideband.infer.errors import BadInput
from sideband.infer.meaning import Meaning
from sideband.train import methods, ports, saved, template
from sideband.train.cell import fit_cell
from sideband.train.classifiers.trees import TreeEnsemble
from sideband.train.fit import Training
from sideband.train.methods.search import cwola, iad, ranode, supervised
from sideband.train.nets.flow import ConditionalDensity, FlowSettings
from tests.train.conftest import FitOf, NewRun, without_truth
from tests.train.fits import same

METHODS = [name for name, entry in CATALOGUE.items() if not entry.shared]


@pytest.fixture(scope="session")
def tasks(small_task: Path, shower_task: Path) -> dict[str, Path]:
    """The task of each method of the catalogue."""
    return {name: shower_task if entry.problem == "showers" else small_task for name, entry in CATALOGUE.items()}


@pytest.fixture(scope="session")
def fits(fit_of: FitOf, tasks: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every method of the catalogue fitted on its small task: model.pt by name."""
    out = tmp_path_factory.mktemp("fits")
    return {name: fit_of(name, tasks[name], out) for name in CATALOGUE}


@pytest.fixture(scope="session")
def blind(unlabelled_task: Path, shower_task: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same tasks as somebody without the truth would have them, or with a wrong one."""
    showers = without_truth(shower_task, tmp_path_factory.mktemp("unlabelled") / "task.h5")
    return {name: showers if entry.problem == "showers" else unlabelled_task for name, entry in CATALOGUE.items()}


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_method_is_one_file_of_its_own(name: str) -> None:
    file = methods.load(name)
    assert dataclasses.is_dataclass(file.Settings)
    with pytest.raises(dataclasses.FrozenInstanceError):
        file.Settings().anything = 1
    for function in (file.build, file.fit):
        assert function.__doc__
    imported = [node.module for node in ast.walk(ast.parse(Path(file.__file__).read_text()))
                if isinstance(node, ast.ImportFrom)]  # fmt: skip
    assert not [module for module in imported if module and module.startswith("sideband.train.methods.")]
    assert (CATALOGUE[name].paper or "reference") in (file.__doc__ or "") or CATALOGUE[name].truth


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_fit_has_the_roles_of_the_catalogue(name: str, fits: dict[str, Path], tasks: dict[str, Path]) -> None:
    fit, entry = saved.load(fits[name]), CATALOGUE[name]
    if entry.shared:
        assert len(fit.modules) == 1
        assert fit.classifier is None
        return
    roles = {*fit.modules, *(["score"] if fit.classifier is not None else [])}
    assert roles == set(entry.roles)
    assert ("score" in fit.modules) == entry.own_score
    assert len(fit.folds) == (2 if "template" in entry.roles and not entry.own_score else 0)
    for role, module in fit.modules.items():
        wanted = ports.inputs(module, task.read(tasks[name]))
        if role in ("template", "signal"):
            assert all(port.drawn is not None for port in wanted.values()), "each input says how it is drawn"
        feeds = {key: torch.rand(7, port.width) for key, port in wanted.items()}
        first, *weight = ports.run(module, feeds)
        width = {"template": fit.width, "signal": fit.width, "encoder": getattr(module, "latent_width", 0)}.get(role, 1)
        assert first.shape == (7, width)
        further = {"template": ([], [(7, 1)]), "signal": ([(7, 1)],)}  # weights, or masses
        assert [each.shape for each in weight] in further.get(role, ([],))
        assert all(torch.isfinite(each).all() for each in (first, *weight))
        if role == "score":
            assert module.meaning.text, "a score says what its numbers are"
            assert_within(first, module.meaning)


def assert_within(scores: torch.Tensor, meaning: Meaning) -> None:
    """Scores lie in the range that they are said to."""
    assert meaning.low is None or scores.min() >= meaning.low
    assert meaning.high is None or scores.max() <= meaning.high


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if not (entry.truth or entry.variant)])
def test_only_references_read_the_truth(
    name: str, fits: dict[str, Path], fit_of: FitOf, blind: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Without any truth in the file the fit is bitwise the same; so it is deterministic too."""
    again = fit_of(name, blind[name], tmp_path_factory.getbasetemp() / "blind")
    one, other = (torch.load(path, weights_only=True) for path in (fits[name], again))
    del one["task"], other["task"]
    assert same(one, other)


@pytest.mark.parametrize("name", [name for name, entry in CATALOGUE.items() if entry.truth])
def test_references_are_deterministic_and_refuse_a_task_without_truth(
    name: str, fits: dict[str, Path], fit_of: FitOf, tasks: dict[str, Path], blind: dict[str, Path], tmp_path: Path
) -> None:
    again = fit_of(name, tasks[name], tmp_path)
    assert same(*(torch.load(path, weights_only=True) for path in (fits[name], again)))
    if CATALOGUE[name].problem == "showers":
        return
    with pytest.raises(BadInput, match=f"'{name}' is a reference"):
        fit_of(name, blind[name], tmp_path / "refused")
    assert not (tmp_path / "refused" / name).exists()


@pytest.mark.parametrize("name", ["cathode", "transit"])
def test_a_training_template_has_the_target_masses_and_lies_in_the_fitted_range(
    name: str, fits: dict[str, Path], small_task: Path
) -> None:
    the_task = task.read(small_task)
    made = events.read(fits[name].parent / "template_torch.h5", ["m_jj", *the_task.features])
    np.testing.assert_array_equal(made["m_jj"], events.read(small_task, ["target"])["target"])
    ranges = saved.load(fits[name]).fitted_range["template"]
    for feature, (low, high) in ranges.items():
        margin = 1e-5 * (high - low)
        assert low - margin <= made[feature].min() < made[feature].max() <= high + margin


def test_a_method_that_stands_on_another_asks_for_it(small_task: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"--needs sideband=MODEL\.PT"):
        fit_cell("cathode", small_task, tmp_path, {}, {}, {})


def test_cwola_takes_the_strips_beside_the_window(fit_of: FitOf, small_task: Path, tmp_path: Path) -> None:
    the_task = task.read(small_task)
    made = template.read(fit_of("cwola", small_task, tmp_path).with_name("template_torch.h5"), the_task)
    data = the_task.events("data")
    lower, upper = (data.mass > 3.1) & (data.mass <= 3.3), (data.mass >= 3.7) & (data.mass < 3.9)
    np.testing.assert_array_equal(made.events.features, data.features[lower | upper])
    weight = [made.weight[side[lower | upper]] for side in (lower, upper)]
    assert weight[0].sum() == pytest.approx(weight[1].sum()) == pytest.approx(len(made) / 2)
    assert len(weight[0]) != len(weight[1])
    assert all(len(np.unique(each)) == 1 for each in weight)
    window = data.mass[the_task.inside(data)]
    np.testing.assert_array_equal(made.events.mass, np.resize(window, len(made)))
    with pytest.raises(BadInput, match=r"methods\.cwola\.strip"):
        cwola.fit(the_task, cwola.Settings(strip=1e-6), {}, None)


def test_references_take_true_background_and_true_signal(small_task: Path) -> None:
    the_task = task.read(small_task)
    reference, data = the_task.events("reference"), the_task.events("data")
    found = iad.fit(the_task, iad.Settings(), {}, None)
    ideal = found.contrast
    full = supervised.fit(the_task, supervised.Settings(), {}, None).contrast
    np.testing.assert_array_equal(ideal.positive, data.features[the_task.inside(data)])
    background = reference.features[reference.label == 0]
    np.testing.assert_array_equal(full.negative, background)
    assert found.numbers["background_events"] == len(ideal.negative) <= 4 * len(ideal.positive)
    assert {row.tobytes() for row in ideal.negative} <= {row.tobytes() for row in background}
    np.testing.assert_array_equal(full.positive, reference.features[reference.label == 1])


# R-ANODE


def mixture(members: int = 3, dtype: torch.dtype = torch.float64) -> ranode.Mixture:
    torch.manual_seed(2)
    flow = FlowSettings(couplings=2, hidden=8, layers=1, bins=4, bound=5.0)
    model = ranode.Mixture(2, ranode.Settings(flow=flow, members=members)).to(dtype)
    with torch.no_grad():
        model.mass.normal_(0, 0.5)
    return model


def toy_rows(events: int) -> tuple[torch.Tensor, ...]:
    random = torch.Generator().manual_seed(5)
    x = torch.randn(1, 2, events, generator=random).double()
    position = torch.rand(3, events, generator=random).double() * 2 - 1
    return x, position[:1, None], position, -torch.rand(3, events, generator=random).double() * 5


def test_gain_is_the_log_of_the_mixture_over_the_background() -> None:
    model = mixture()
    x, condition, position, log_background = toy_rows(60)
    w = torch.sigmoid(model.fraction)[:, None]
    signal = (model.flow.log_density(x, condition) + model.log_mass_density(position)).exp()
    background = log_background.exp()
    expected = torch.log(w * signal + (1 - w) * background) - log_background
    torch.testing.assert_close(model.gain(x, condition, position, log_background), expected, atol=1e-10, rtol=1e-10)


def test_signal_mass_density_integrates_to_one() -> None:
    model = mixture()
    position = torch.linspace(-1, 1, 50_001, dtype=torch.float64).expand(3, -1)
    with torch.no_grad():
        density = model.log_mass_density(position).exp()
    torch.testing.assert_close(torch.trapezoid(density, position), torch.ones(3).double(), atol=1e-5, rtol=0)


@pytest.mark.parametrize("log_background", [-1e4, -50.0, 1e4])
@pytest.mark.parametrize("log_odds", [-60.0, 0.0, 60.0])
def test_gain_and_its_gradient_are_finite_at_the_extremes(log_background: float, log_odds: float) -> None:
    model = mixture(dtype=torch.float32)
    with torch.no_grad():
        model.fraction.fill_(log_odds)
    x = torch.tensor([[[0.0, 1e3, -1e3, 30.0], [0.0, 1e3, 0.0, 5.0]]])
    position = torch.tensor([[-0.999, 0.0, 0.5, 1.0]]).expand(3, -1)
    gain = model.gain(x, position[:1, None], position, torch.full((3, 4), log_background))
    assert torch.isfinite(gain).all()
    gain.sum().backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.fixture(scope="module")
def gaussian_background() -> ConditionalDensity:
    """A background known exactly: two standard Gaussians in the flow's own coordinates, whatever the mass."""
    density = ConditionalDensity(2, FlowSettings(couplings=2, hidden=4, layers=1, bins=4, bound=5.0))
    density.preprocess.low.fill_(0.0)
    density.mass.fit(2.0, 5.0)
    for coupling in density.flow.couplings:
        for parameter in coupling.last.parameters():
            parameter.data.zero_()
    return density


def toy_task(background: ConditionalDensity, signal: int, path: Path) -> task.Task:
    random = np.random.default_rng(3)
    mass = np.concatenate([random.uniform(2, 5, 24_000), random.normal(3.5, 0.03, signal)])
    coordinates = random.normal(size=(len(mass), 2))
    coordinates[24_000:] = random.normal((1.5, -1.5), 0.25, (signal, 2))
    features = background.preprocess.inverse(torch.from_numpy(coordinates.T).float()).T.numpy()
    units = {"m": "TeV", "x": "", "y": ""}
    table = tables.Events(mass.astype(np.float32), np.ascontiguousarray(features), None)
    made = tables.Dataset("m", ("x", "y"), units, table, None, None, "toy", "0" * 64)
    draw.make(made, draw.Recipe((2.0, 5.0), (3.3, 3.7), None, 1), path)
    return task.read(path)


def test_ranode_finds_the_signal_fraction(
    gaussian_background: ConditionalDensity, new_run: NewRun, tmp_path: Path
) -> None:
    the_task = toy_task(gaussian_background, 300, tmp_path / "task.h5")
    data = the_task.events("data")
    inside = int(the_task.inside(data).sum())
    settings = ranode.Settings(
        FlowSettings(couplings=2, hidden=16, layers=1, bins=6, bound=5.0),
        members=2,
        training=Training(600, 256, 2e-2, interval=10, validation=0.3, ema=0.95),
    )
    needs = {"sideband": SimpleNamespace(settings=None, modules={"density": gaussian_background})}
    fitted = ranode.fit(the_task, settings, needs, new_run())
    assert fitted.numbers["signal_fraction"] == pytest.approx(300 / inside, rel=0.2)
    at = gaussian_background.preprocess.inverse(torch.tensor([[1.5, 0.0], [-1.5, 0.0]])).T
    on_signal, off_signal = fitted.modules["score"](at, torch.full((2, 1), 3.5))[:, 0].tolist()
    assert on_signal > 2 > 0 > off_signal
    assert math.isfinite(on_signal)


def test_every_classifier_of_a_fit_saw_other_rows(fits: dict[str, Path]) -> None:
    folds = saved.load(fits["cathode"]).folds
    assert all(isinstance(fold, TreeEnsemble) for fold in folds)
    assert not np.array_equal(folds[0].value, folds[1].value)
