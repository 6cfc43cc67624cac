import copy
import random as randomness
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sideband.infer.errors import BadInput, GateFailed
from sideband.train import fit as fitting
from sideband.train.cell import fit_cell
from sideband.train.fit import Batch, Player, Training, fit, spread_out
from sideband.train.nets.flow import Flow, FlowSettings
from sideband.train.optimise import clip, schedule
from sideband.train.run import Run
from sideband.train.suite import load
from tests.train.conftest import NewRun
from tests.train.fits import same

# One step with all events to each look, and no averaging.
STEP = Training(
    steps=50, batch=8, learning_rate=0.1, schedule="constant", interval=1, validation=0.5, patience=3, ema=0.0, clip=1e9
)


class Climber(nn.Module):
    """Rises by the learning rate at every step of Adam; best on the held-out events where it meets its goal."""

    def __init__(self, goals: list[float]) -> None:
        super().__init__()
        self.height = nn.Parameter(torch.zeros(len(goals)))
        self.goals = torch.tensor(goals)

    def loss(self, batch: Batch) -> Tensor:
        return -self.height if self.training else (self.height - self.goals).square()


def climb(goals: list[float], training: Training, run: Run) -> tuple[Climber, object]:
    model = Climber(goals)
    player = Player([model.height], lambda model, batch: model.loss(batch))
    return model, fit("climb", model, [player], [torch.zeros(16, 1)], training, run, len(goals))


def test_one_half_of_the_held_out_events_chooses_the_look_that_the_other_judges(new_run: NewRun) -> None:
    model, judged = Climber([0.0]), []

    def far(model: Climber, batch: Batch) -> Tensor:
        if model.training:
            return -model.height
        found = (batch.rows[0][:, :, 0] - model.height[:, None]).square().mean(1)
        judged.append(float(found.sum() * batch.rows[0].shape[1]))
        return found

    player = Player([model.height], far, halves=True)
    training = replace(STEP, steps=10, patience=10)
    progress = fit("halves", model, [player], [torch.linspace(0, 1, 16)[:, None] ** 3], training, new_run())
    halves = torch.tensor([judged[::2], judged[1::2]])
    choices = halves.argmin(1)
    assert choices[0] != choices[1]
    expected = torch.stack([halves[1, choices[0]], halves[0, choices[1]]])
    torch.testing.assert_close(torch.tensor(progress.crossed)[:, 0], expected)


def test_stops_after_the_patience_and_keeps_the_best(new_run: NewRun) -> None:
    model, progress = climb([0.32], STEP, new_run())
    assert progress.best_step == [3]
    assert progress.step == 3 + STEP.patience
    assert progress.converged
    assert model.height.item() == pytest.approx(0.3, abs=1e-5)
    assert progress.best[0] == pytest.approx(0.02**2, rel=1e-3)
    assert not model.training


def test_each_member_keeps_its_own_best_look(new_run: NewRun) -> None:
    """Training goes on while their mean falls."""
    model, progress = climb([0.12, 0.52, 0.28], STEP, new_run())
    assert progress.best_step == [1, 5, 3]
    assert progress.step == 3 + STEP.patience
    torch.testing.assert_close(model.height.detach(), torch.tensor([0.1, 0.5, 0.3]), atol=1e-5, rtol=0)


def test_without_patience_the_last_weights_are_kept(new_run: NewRun) -> None:
    training = replace(STEP, steps=6, interval=4, patience=None)
    model, progress = climb([0.1], training, new_run())
    assert progress.step == 6
    assert progress.converged is None
    assert model.height.item() == pytest.approx(0.6, abs=1e-5)


def test_averaged_weights_are_the_ones_kept(new_run: NewRun) -> None:
    training = replace(STEP, steps=12, patience=None, ema=0.4)
    model, _ = climb([9.0], training, new_run())
    average = 0.1
    for step in range(2, 13):
        decay = min(0.4, step / (step + 9))  # the memory grows with the first steps
        average = decay * average + (1 - decay) * 0.1 * step
    assert model.height.item() == pytest.approx(average, abs=1e-5)


def test_a_plateau_brings_the_rate_down_until_the_drops_are_used_up(new_run: NewRun) -> None:
    training = replace(STEP, schedule="plateau", patience=2)
    model, progress = climb([0.555], training, new_run())
    assert model.height.item() == pytest.approx(0.6, abs=1e-5)
    assert (progress.drops, progress.converged) == (training.drops, True)
    assert progress.step == 6 + (1 + training.drops) * training.patience
    starts = [-curve["loss_0"] for curve in progress.history]  # of each step
    # Steps of 0.1 up to the plateau, then from the best height on at a fifth of the rate, and so again.
    expected = [*np.arange(8) * 0.1, 0.6, 0.62, 0.6, 0.604]
    np.testing.assert_allclose(starts, expected, atol=1e-4)


def test_a_fit_that_ran_out_of_steps_says_so(new_run: NewRun, capsys: pytest.CaptureFixture[str]) -> None:
    run = new_run()
    _, progress = climb([9.0], replace(STEP, steps=4), run)
    assert progress.converged is False
    assert run.fits["climb"]["converged"] is False
    assert "4 steps, and has not converged" in capsys.readouterr().out


def test_what_is_right_at_the_start_is_kept(new_run: NewRun) -> None:
    model, progress = climb([0.0], STEP, new_run())
    assert (model.height.item(), progress.best_step) == (0.0, [0])


def test_looks_draw_the_same_random_numbers(new_run: NewRun) -> None:
    seen: list[float] = []

    def loss(model: Climber, batch: Batch) -> Tensor:
        if not model.training:
            seen.append(float(torch.rand((), generator=batch.random)))
        return model.loss(batch)

    model = Climber([9.0])
    fit("climb", model, [Player([model.height], loss)], [torch.zeros(16, 1)], replace(STEP, steps=3), new_run())
    assert len(seen) == 4
    assert len(set(seen)) == 1


def test_a_loss_that_is_not_finite_fails_the_fit(new_run: NewRun) -> None:
    model = Climber([0.0])
    player = Player([model.height], lambda model, batch: model.height.log() * 0 + model.height / 0)
    with pytest.raises(GateFailed, match="within 1 steps; lower the learning rate"):
        fit("climb", model, [player], [torch.zeros(16, 1)], replace(STEP, patience=None), new_run())


def test_a_criterion_that_is_not_finite_fails_the_fit(new_run: NewRun) -> None:
    run, model = new_run(), Climber([0.0, 0.0])
    judge = Player([model.height], lambda model, batch: model.loss(batch), lambda model, batch: model.height / 0)
    with pytest.raises(GateFailed, match="climb: the loss on the held-out events is not finite after 0 steps; lower"):
        fit("climb", model, [judge], [torch.zeros(16, 1)], STEP, run, 2)
    assert not run.checkpoints.exists()


@pytest.mark.parametrize("patience", [3, None])
def test_weights_that_are_not_finite_fail_the_fit(patience: int | None, new_run: NewRun) -> None:
    """Every weight that is kept, even if no loss depends on it."""
    run, model = new_run(), Climber([0.3])
    model.spare = nn.Parameter(torch.tensor([torch.inf]))
    player = Player([model.height], lambda model, batch: model.loss(batch))
    training = replace(STEP, steps=3, patience=patience)
    with pytest.raises(GateFailed, match="climb: 'spare' is not finite after 3 steps; lower the learning rate"):
        fit("climb", model, [player], [torch.zeros(16, 1)], training, run)


@pytest.mark.parametrize(("events", "validation"), [(0, 0.5), (1, 0.1), (3, 0.5), (16, 1e-3), (16, 0.999)])
def test_too_few_events_are_refused(events: int, validation: float, new_run: NewRun) -> None:
    run, model = new_run(), Climber([0.0])
    player = Player([model.height], lambda model, batch: model.loss(batch))
    with pytest.raises(BadInput, match=rf"climb: {events} events, \d+ of them held out, are too few"):
        fit("climb", model, [player], [torch.zeros(events, 1)], replace(STEP, validation=validation), run)
    assert not run.checkpoints.exists()


def test_without_patience_nothing_need_be_held_out(new_run: NewRun) -> None:
    _, progress = climb([9.0], replace(STEP, steps=2, validation=0.0, patience=None), new_run())
    assert progress.step == 2


@pytest.mark.parametrize("shape", [(), (3, 50)])
def test_draws_that_are_spread_out_have_one_in_each_part(shape: tuple[int, ...]) -> None:
    drawn = spread_out(50, torch.rand(shape, generator=torch.Generator().manual_seed(1)))
    assert (torch.floor(50 * drawn) == torch.arange(50)).all()


def test_schedules() -> None:
    assert [schedule("constant", share) for share in (0.0, 1.0)] == [1.0, 1.0]
    assert [schedule("plateau", 0.5, drops) for drops in (0, 1, 2)] == pytest.approx([1, 0.2, 0.04])
    assert schedule("cosine", 0.0) < 0.02
    assert schedule("cosine", 0.5) == pytest.approx(0.5)
    assert schedule("cosine", 1.0) == pytest.approx(0, abs=1e-6)
    assert [schedule("halving", share) for share in (0.0, 0.2, 0.6, 0.8, 0.9)] == [1, 0.5, 0.25, 0.125, 0.0625]


def flows(members: int = 1) -> Flow:
    torch.manual_seed(11)
    return Flow(2, 1, FlowSettings(couplings=2, hidden=8, layers=1, bins=4, bound=5.0), members)


def toy_events() -> list[Tensor]:
    random = torch.Generator().manual_seed(4)
    return [torch.randn(400, 2, generator=random), torch.rand(400, 1, generator=random)]


def likelihood(model: Flow, batch: Batch) -> Tensor:
    x, condition = batch.rows
    return -model.log_density(x.transpose(1, 2), condition.transpose(1, 2)).mean(1)


SHORT = Training(
    steps=30, batch=50, learning_rate=1e-2, schedule="constant", interval=6, validation=0.25, patience=50, ema=0.9
)


def test_members_are_independent(new_run: NewRun) -> None:
    """No member, not even a diverging one, changes the training of another."""
    results = []
    for attempt, spoil in enumerate((0.0, 100.0)):
        model = flows(members=2)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter[1] += spoil * torch.rand(parameter[1].shape, generator=torch.Generator().manual_seed(1))
        fit(
            "pair", model, [Player(list(model.parameters()), likelihood)], toy_events(), SHORT, new_run(str(attempt)), 2
        )
        results.append(model.state_dict())
    for name, value in results[0].items():
        torch.testing.assert_close(results[1][name][0], value[0], atol=1e-6, rtol=1e-5)
        assert not torch.equal(results[1][name][1], value[1])


def test_gradients_are_limited_member_by_member() -> None:
    parameters = [nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(2, 1))]
    parameters[0].grad = torch.tensor([[3.0, 0.0, 0.0], [0.03, 0.0, 0.0]])
    parameters[1].grad = torch.tensor([[4.0], [0.04]])
    clip(parameters, 0.5, members=2)
    torch.testing.assert_close(parameters[0].grad[:, 0], torch.tensor([0.3, 0.03]), rtol=1e-4, atol=0)
    torch.testing.assert_close(parameters[1].grad[:, 0], torch.tensor([0.4, 0.04]), rtol=1e-4, atol=0)


def test_every_permutation_is_another_and_spares_the_held_out_events(new_run: NewRun) -> None:
    seen: dict[bool, list[list[int]]] = {True: [], False: []}

    def loss(model: Climber, batch: Batch) -> Tensor:
        seen[model.training] += [rows[:, 0].int().tolist() for rows in batch.rows[0]]
        return model.loss(batch)

    model = Climber([9.0, 9.0])
    training = Training(steps=6, batch=10, interval=6, validation=0.25)
    fit("order", model, [Player([model.height], loss)], [torch.arange(40.0)[:, None]], training, new_run(), 2)
    for member in range(2):
        batches = seen[True][member::2]
        permutations = list(chain(*batches[:3])), list(chain(*batches[3:]))
        assert permutations[0] != permutations[1]
        held_out = seen[False][member]
        for permutation in permutations:
            assert sorted(permutation + held_out) == list(range(40))
    assert sorted(seen[False][0]) != sorted(seen[False][1])


def test_a_look_takes_some_of_many_held_out_events_and_training_none(
    new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[bool, set[int]] = {True: set(), False: set()}

    def loss(model: Climber, batch: Batch) -> Tensor:
        seen[model.training].update(batch.rows[0].flatten().int().tolist())
        return model.loss(batch)

    monkeypatch.setattr(fitting, "MOST_HELD_OUT", 6)
    model, training = Climber([9.0]), Training(steps=8, batch=5, interval=4, validation=0.5)
    fit("few", model, [Player([model.height], loss)], [torch.arange(40.0)[:, None]], training, new_run())
    assert (len(seen[True]), len(seen[False])) == (20, 6)
    assert not seen[True] & seen[False]


class Interrupted(Exception):
    pass


class Rivals(nn.Module):
    """Two players that share the random numbers of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.flow, self.other = flows(), nn.Linear(2, 1)


def rivals_players(model: Rivals, calls: list[int], stop: int | None) -> list[Player]:
    def first(model: Rivals, batch: Batch) -> Tensor | None:
        calls[0] += 1
        if calls[0] == stop:
            raise Interrupted
        if batch.step // 6 == 1:  # a player may pass
            return None
        noise = torch.rand(batch.rows[0][0].shape, generator=batch.random)
        return (model.other(batch.rows[0][0]) - noise).square().mean()[None]

    return [
        Player(list(model.other.parameters()), first),
        Player(list(model.flow.parameters()), lambda model, batch: likelihood(model.flow, batch)),
    ]


def test_players_share_what_is_prepared_once_for_each_batch(new_run: NewRun) -> None:
    """Each player sees this very object, and the losses of the players before it."""
    torch.manual_seed(3)
    model, prepared, seen = Rivals(), [], []

    def prepare(model: Rivals, batch: Batch) -> Tensor:
        prepared.append(model.other(batch.rows[0][0]))
        return prepared[-1]

    def first(model: Rivals, batch: Batch) -> Tensor | None:
        seen.append((batch.prepared is prepared[-1], batch.losses))
        return None if batch.step >= 6 else batch.prepared.square().mean()[None]

    def second(model: Rivals, batch: Batch) -> Tensor:
        seen.append((batch.prepared is prepared[-1], batch.losses))
        return likelihood(model.flow, batch)

    players = [Player(list(model.other.parameters()), first), Player(list(model.flow.parameters()), second)]
    training = replace(SHORT, steps=12, patience=None)
    progress = fit("shared", model, players, toy_events(), training, new_run(), prepare=prepare)
    steps = SHORT.interval
    assert len(prepared) == 2 * steps
    assert all(shared for shared, _ in seen)
    assert {losses for _, losses in seen[::2]} == {()}
    earlier = [losses[0] for _, losses in seen[1::2]]
    assert earlier[steps:] == [None] * steps
    assert not any(loss.requires_grad for loss in earlier[:steps])
    assert sum(map(float, earlier[:steps])) / steps == pytest.approx(progress.history[0]["loss_0"], rel=1e-5)


@pytest.mark.parametrize("stops", [[1], [2], [7], [13, 1, 9], [28]])
def test_a_resumed_fit_is_bitwise_an_unbroken_one(new_run: NewRun, stops: list[int]) -> None:
    training = replace(SHORT, schedule="cosine", patience=None)

    def attempt(folder: str, stop: int | None) -> tuple[Rivals, object, int]:
        torch.manual_seed(3)
        model, calls = Rivals(), [0]
        progress = fit("rivals", model, rivals_players(model, calls, stop), toy_events(), training, new_run(folder))
        return model, progress, calls[0]

    whole, expected, total = attempt("whole", None)
    for stop in stops:
        with pytest.raises(Interrupted):
            attempt("broken", stop)
    found, progress, calls = attempt("broken", None)
    for name, value in whole.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
    assert progress.history == expected.history
    assert total == training.steps
    assert calls == total - training.interval * sum((stop - 1) // training.interval for stop in stops)


def test_a_finished_fit_is_not_repeated(new_run: NewRun) -> None:
    model = flows()
    fit("flow", model, [Player(list(model.parameters()), likelihood)], toy_events(), SHORT, new_run())
    again = flows()

    def never(model: Flow, batch: Batch) -> Tensor:
        raise Interrupted

    fit("flow", again, [Player(list(again.parameters()), never)], toy_events(), SHORT, new_run())
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)


def test_a_checkpoint_torn_by_a_kill_is_ignored(new_run: NewRun) -> None:
    run = new_run()
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    (run.checkpoints / ".flow.pt.tmp").write_bytes(b"half a checkpoint")
    model, reference = flows(), flows()
    fit("flow", model, [Player(list(model.parameters()), likelihood)], toy_events(), SHORT, run)
    fit("flow", reference, [Player(list(reference.parameters()), likelihood)], toy_events(), SHORT, new_run("other"))
    for name, value in reference.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


def model_bias(checkpoint: Path) -> bytes:
    """The bytes of some weights in a checkpoint."""
    bias: Tensor = torch.load(checkpoint, weights_only=True)["model"]["flow.couplings.0.last.bias"]
    return bias.numpy().tobytes()


@pytest.mark.parametrize("way", ["cut", "flipped", "of another model"])
def test_a_fit_with_a_damaged_checkpoint_starts_over(
    way: str, new_run: NewRun, capsys: pytest.CaptureFixture[str]
) -> None:
    def attempt(folder: str, stop: int | None = None) -> Rivals:
        torch.manual_seed(3)
        model = Rivals()
        training = replace(SHORT, patience=None)
        fit("rivals", model, rivals_players(model, [0], stop), toy_events(), training, new_run(folder))
        return model

    whole = attempt("whole")
    with pytest.raises(Interrupted):
        attempt("broken", 13)
    path = new_run("broken").checkpoints / "rivals.pt"
    content = bytearray(path.read_bytes())
    if way == "of another model":
        state = torch.load(path, weights_only=True)
        state["averaged"].popitem()
        torch.save(state, path)
    elif way == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        place = content.index(model_bias(path))
        content[place] ^= 4
        path.write_bytes(content)
    capsys.readouterr()
    again = attempt("broken")
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if "rivals.pt is damaged" in line]) == 1
    assert not [line for line in lines if "resumes after" in line]


def test_comparison_of_fits_sees_one_bit() -> None:
    one = {"a": [torch.ones(3)], "b": 1}
    other = copy.deepcopy(one)
    assert same(one, other)
    other["a"][0][1] = np.nextafter(np.float32(1), np.float32(2)).item()
    assert not same(one, other)


def test_kill_9_at_any_moment_changes_nothing(small_task: Path, tmp_path: Path) -> None:
    """A real process, killed once while the network trains and once among the classifiers, then left to finish."""
    suite = tmp_path / "kill.yaml"
    suite.write_text(
        "about: killed\ndataset: {source: dijets}\nmass_range: [2.3, 5.0]\nwindows: [[3.3, 3.7]]\ninjections: [600]\n"
        "seeds: [1]\nclassifier: {members: 4, iterations: 10, bins: 31}\nexcess: {folds: 2}\n"
        "methods:\n  salad: {hidden: 16, training: {steps: 600, interval: 10, batch: 512, ema: 0.9, patience: 60}}\n"
    )

    def command(out: Path) -> list[str]:
        given = ["--suite", str(suite), "--task", str(small_task), "--out", str(out), "--log", "later"]
        return [sys.executable, "-m", "sideband.train", "fit", "salad", *given, "--checkpoint-seconds", "0"]

    the_suite = load(suite)
    fit_cell("salad", small_task, tmp_path / "whole", the_suite.settings("salad"), the_suite.classifier, {}, 2)
    broken = tmp_path / "broken"
    for landmark in ("reweighting.pt", "fold0-0.npz"):
        wait = randomness.uniform(0, 0.2)
        process = subprocess.Popen(command(broken), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not (broken / "checkpoints" / landmark).exists():
            assert process.poll() is None, "finished before its landmark"
            time.sleep(0.005)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"finished within {wait} s"
        assert not (broken / "model.pt").exists()
    done = subprocess.run(command(broken), check=True, capture_output=True, text=True)
    assert "reweighting fitted" in done.stdout
    fits = [torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "broken")]
    assert same(*fits)
    with (
        h5py.File(tmp_path / "whole" / "template_torch.h5") as whole,
        h5py.File(broken / "template_torch.h5") as resumed,
    ):
        assert whole.keys() == resumed.keys()
        for name in whole:
            assert whole[name][:].tobytes() == resumed[name][:].tobytes()
    assert not (broken / "checkpoints").exists()
