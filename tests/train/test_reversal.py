import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from sideband.train.fit import Batch, Player, Training
from sideband.train.fit import fit as run_fit
from sideband.train.methods.search import reversal
from sideband.train.nets.reversal import reversed_gradient
from tests.train.conftest import NewRun


def test_the_gradient_turns_round_and_keeps_its_size() -> None:
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 3, dtype=torch.float64)
    torch.testing.assert_close(reversed_gradient(x), x)
    (gradient,) = torch.autograd.grad((weight * reversed_gradient(x).square()).sum(), x)
    torch.testing.assert_close(gradient, -2 * weight * x.detach())


def rows(random: torch.Generator, events: int = 64) -> tuple[torch.Tensor, ...]:
    x = torch.randn(2, events, 3, generator=random).double()
    label, mass = (x[..., 0] > 0).double(), x[..., 1] + 0.1 * x[..., 2]
    return x, label, torch.ones_like(label), mass, torch.ones_like(label)


@pytest.mark.parametrize("strength", [0.0, 0.5, 4.0])
def test_the_trunk_climbs_the_mass_loss_that_the_head_descends(strength: float) -> None:
    """∇ of the trunk is ∇BCE - λ ∇MSE; ∇ of the mass head is +λ ∇MSE."""
    torch.manual_seed(0)
    given = reversal.Settings(strength, hidden=8, members=2)
    rivals = reversal.Rivals(3, given).double()
    batch = Batch(rows(torch.Generator().manual_seed(1)), 0, torch.Generator())
    x, label, _, mass, _ = batch.rows
    common = rivals.score.common(x.transpose(1, 2))
    entropy = torch.nn.functional.binary_cross_entropy_with_logits(
        reversal._through(rivals.score.head, common)[:, 0], label
    )
    error = (reversal._through(rivals.mass_head, common)[:, 0] - mass).square().mean()
    trunk, head = list(rivals.score.trunk.parameters()), list(rivals.mass_head.parameters())
    loss = rivals.loss(batch).mean()
    of_entropy = torch.autograd.grad(entropy, trunk, retain_graph=True)
    of_error = torch.autograd.grad(error, [*trunk, *head], retain_graph=True)
    found = torch.autograd.grad(loss, [*trunk, *head], allow_unused=True)
    for one, plain, mass_part in zip(found[: len(trunk)], of_entropy, of_error, strict=False):
        torch.testing.assert_close(one, plain - strength * mass_part)
    for one, mass_part in zip(found[len(trunk) :], of_error[len(trunk) :], strict=True):
        torch.testing.assert_close(one, strength * mass_part)


def test_weights_count_both_classes_and_all_data_alike() -> None:
    inside = np.array([True, False, False, True, False])
    mass = np.array([3.5, 2.5, 4.5, 3.4, 2.4], np.float32)
    label, of_class, standard, of_mass = reversal._columns(inside, mass, 15)
    assert label.tolist() == [1, 0, 0, 1, 0] + [0] * 15
    assert of_class[label == 1].sum() == pytest.approx(of_class[5:].sum()) == pytest.approx(10)
    assert (of_class[[1, 2, 4]] == 0).all()
    assert of_class.mean() == pytest.approx(1) == pytest.approx(of_mass.mean())
    assert of_mass[5:].sum() == 0
    np.testing.assert_allclose([standard[:5].mean(), standard[:5].std()], [0, 1], atol=1e-6)


def test_a_reversed_score_forgets_the_mass(new_run: NewRun) -> None:
    """Of two features that tell the classes apart, the one that follows the mass is given up."""
    random = torch.Generator().manual_seed(4)
    size = 6000
    mass, own = torch.randn(2, size, generator=random)
    label = (mass + own > 0).float()
    x = torch.stack([mass, own], 1) + 0.1 * torch.randn(size, 2, generator=random)
    ones = torch.ones(size)
    found = {}
    for strength in (0.0, 5.0):
        settings = reversal.Settings(strength, hidden=16, members=1)
        torch.manual_seed(0)
        rivals = reversal.Rivals(2, settings)
        training = Training(800, 256, 3e-3, "constant", patience=None, ema=0.98)
        player = Player(list(rivals.parameters()), reversal.Rivals.loss)
        run_fit("reversal", rivals, [player], [x, label, ones, mass, ones], training, new_run(str(strength)))
        with torch.no_grad():
            score = reversal._through(rivals.score.head, rivals.score.common(x.T[None]))[0, 0]
        found[strength] = abs(float(torch.corrcoef(torch.stack([score, mass]))[0, 1]))
        assert roc_auc_score(label, score) > 0.7
    assert found[5.0] < 0.2 < 0.5 < found[0.0]
