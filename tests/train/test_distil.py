"""Distillation: a student learns where its teacher carries each noise, at any anchors and from any start."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from sideband.benchmarks.events.task import Task
from sideband.infer.errors import BadInput
from sideband.train.distil import distil, taught
from sideband.train.fit import Training
from sideband.train.methods.search import drapes_one, sigma_one
from sideband.train.methods.shared import diffusion_one, matching_one
from sideband.train.nets.diffusion import MOST, Denoiser, ladder
from sideband.train.nets.velocity import FlowMatching, NetSettings, shares
from tests.train.conftest import NewRun
from tests.train.test_transport import toy_task

SHORT = Training(steps=500, batch=256, learning_rate=1e-2, schedule="cosine", interval=100, ema=0.9)
NET = NetSettings(hidden=32, blocks=1)


@pytest.fixture
def made(tmp_path: Path) -> Task:
    return toy_task(tmp_path / "task.h5")


def moving(module: nn.Module, seed: int) -> nn.Module:
    """A network with random weights, which moves its noise."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, 0, 0.3)
    return module


def test_a_student_learns_its_teacher_and_moves_nothing_else(new_run: NewRun) -> None:
    random = torch.Generator().manual_seed(1)
    x, turn = torch.randn(4000, 2, generator=random), torch.tensor([[0.0, 1.0], [-1.0, 0.5]])
    torch.manual_seed(1)
    student = nn.ModuleDict({"net": nn.Linear(2, 2), "kept": nn.Linear(2, 2)})
    kept = student["kept"].weight.clone()
    run, fast = new_run(), replace(SHORT, learning_rate=3e-2)
    made = taught(lambda x: x @ turn.T + 1, [x], "toy", run)
    distil("toy", student, student["net"], lambda student, x: student["net"](x), [x], made, fast, run)
    torch.testing.assert_close(student["net"].weight, turn, atol=0.03, rtol=0)
    torch.testing.assert_close(student["net"].bias, torch.ones(2), atol=0.03, rtol=0)
    assert torch.equal(student["kept"].weight, kept)
    assert not made.requires_grad


def test_anchors_lie_within_the_mass_range_and_masses_between_them(made: Task, new_run: NewRun) -> None:
    settings = matching_one.Settings(pairs=5000, nearest=0.1, farthest=0.5)
    noise, mass, low, high = matching_one.drawn(made, settings, new_run())
    first, last = made.mass_range
    assert noise.shape == (5000, 2)
    assert first <= low.min() < first + 0.01 * (last - first)
    assert last - 0.01 * (last - first) < high.max() <= last
    assert bool(((low <= mass) & (mass <= high)).all())
    share = (high - low) / (last - first)
    assert pytest.approx(share.min().item(), rel=0.01) == 0.1
    assert pytest.approx(share.max().item(), rel=0.01) == 0.5
    assert share.median().item() == pytest.approx((0.1 * 0.5) ** 0.5, rel=0.05)


def test_sigma_in_one_step_ends_where_its_teacher_ends(made: Task, new_run: NewRun) -> None:
    teacher = FlowMatching(2, NET, 3, 0)
    moving(teacher.net, 2)
    moving(teacher.marginals, 3)
    teacher.mass.fit(*made.mass_range)
    settings = matching_one.Settings(net=NET, mass_frequencies=0, pairs=5000, training=SHORT)
    needs = {"matching": SimpleNamespace(settings=None, modules={"flow": teacher})}
    student = matching_one.fit(made, settings, needs, new_run()).modules["flow"]
    shared = {"matching_one": SimpleNamespace(settings=settings, modules={"flow": student})}
    template = sigma_one.fit(made, sigma_one.Settings(), shared, new_run()).modules["template"]
    random = torch.Generator().manual_seed(4)
    noise, mass = torch.randn(2000, 2, generator=random), 3 + torch.rand(2000, 1, generator=random)
    low, high = torch.full_like(mass, 2.75), torch.full_like(mass, 4.25)
    with torch.no_grad():
        found = template(noise, mass, low, high)
        mixture = teacher.between((low, high), shares(mass, low, high))
        wanted, unmoved = teacher.sample(noise, mixture, settings.steps), teacher.physical(noise, mixture)
    assert (found - wanted).square().mean() < 0.02 * (unmoved - wanted).square().mean()


def test_drapes_in_one_step_ends_where_its_teacher_ends(made: Task, new_run: NewRun) -> None:
    teacher = Denoiser(2, NET)
    moving(teacher.net, 2)
    moving(teacher.marginals, 3)
    teacher.mass.fit(*made.mass_range)
    settings = diffusion_one.Settings(net=NET, noise=1.5, steps=8, pairs=5000, training=SHORT)
    teacher.marginals.quantiles.fit(torch.from_numpy(made.events("data").features))
    needs = {"diffusion": SimpleNamespace(settings=None, modules={"denoiser": teacher})}
    student = diffusion_one.fit(made, settings, needs, new_run()).modules["denoiser"]
    shared = {"diffusion_one": SimpleNamespace(settings=settings, modules={"denoiser": student})}
    random = torch.Generator().manual_seed(4)
    noise, source = torch.randn(2, 2000, 2, generator=random)
    mass = made.window[0] + (made.window[1] - made.window[0]) * torch.rand(2000, 1, generator=random)
    at = torch.full_like(mass, made.mass_range[0])

    def apart(found: Tensor, noisy: Tensor, most: float) -> float:
        """Squared distance from where the teacher ends, in parts of the way that it goes."""
        with torch.no_grad():
            wanted = teacher.sample(noisy, mass, ladder(8, most).float())
            start = teacher.physical(noisy / (1 + most**2) ** 0.5, mass)
        return float((found - wanted).square().mean() / (start - wanted).square().mean())

    with torch.no_grad():
        pure, events = (
            drapes_one.fit(made, drapes_one.Settings(start), shared, new_run()).modules["template"]
            for start in ("noise", "sideband")
        )
        x, _ = teacher.marginals(source, teacher.shape(at))
        assert apart(pure(noise, mass), MOST * noise, MOST) < 0.05
        assert apart(events(noise, mass, source, at), x + 1.5 * noise, 1.5) < 0.05


def test_sideband_events_are_learnt_from_in_turn(made: Task, new_run: NewRun) -> None:
    teacher, data = Denoiser(2, NET), made.events("data")
    sidebands = data[~made.inside(data)]
    number = len(sidebands)
    settings = diffusion_one.Settings(pairs=2 * number + 5)
    teacher.marginals.quantiles.fit(torch.from_numpy(sidebands.features))
    normal = diffusion_one.normal_sidebands(made, teacher, settings, new_run())
    _, times = normal.unique(dim=0, return_counts=True)
    assert len(times) == number
    assert sorted(times.unique().tolist()) == [2, 3]
    assert (times == 3).sum() == 5


@pytest.mark.parametrize("learnt", [(0.3, 0.9), (0.05, 0.15)])
def test_anchors_that_the_student_has_not_learnt_are_refused(
    learnt: tuple[float, float], made: Task, new_run: NewRun
) -> None:
    settings = matching_one.Settings(nearest=learnt[0], farthest=learnt[1])
    shared = {"matching_one": SimpleNamespace(settings=settings, modules={"flow": settings.flow(2)})}
    with pytest.raises(BadInput, match=r"anchors are 0\.2 of the mass range apart.*nearest and farthest"):
        sigma_one.fit(made, sigma_one.Settings(), shared, new_run())


def test_shares_that_leave_no_room_are_refused() -> None:
    with pytest.raises(ValueError, match="nearest must be above 0 and below farthest"):
        matching_one.Settings(nearest=0.6, farthest=0.6)
