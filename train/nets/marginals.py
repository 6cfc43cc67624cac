"""Marginals: each feature mapped to a standard normal one at every mass, so that generators learn only correlations.

Smooth velocities learn worst what has an edge that moves with the mass (ΔR of back-to-back jets). With a spline of each
feature, shaped by the mass, in front of the network, 12 epochs close better than 40 without it.
"""

from torch import Tensor, nn

from sideband.train.nets.preprocessing import Gaussianise
from sideband.train.nets.spline import rational_quadratic_spline

BINS, BOUND, LEAST, HIDDEN = 16, 5.0, 1e-3, 64


class Marginals(nn.Module):
    """Features `[N, d]` to normal ones: by their quantiles, then by a spline of each, shaped by a network of the mass.

    The network turns scaled masses `[N, 1]` into shapes `[N, d (3 K - 1)]` for splines of K bins. A method may mix the
    shapes of several masses. Before training, the splines are the identity.

    Args:
        features: number of features d.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.quantiles = Gaussianise(features)
        last = nn.Linear(HIDDEN, features * (3 * BINS - 1))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.shapes = nn.Sequential(nn.Linear(1, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), last)

    def forward(self, features: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
        """Map features `[N, d]` to normal ones `[N, d]` and the log-determinant `[N]`."""
        x, quantiles = self.quantiles(features.T)
        y, spline = self.bent(x.T, shape)
        return y, quantiles + spline

    def bent(self, x: Tensor, shape: Tensor, inverse: bool = False) -> tuple[Tensor, Tensor]:
        """Apply only the splines to `[N, d]`, normal by quantiles; returns `[N, d]` and the log-determinant `[N]`."""
        parameters = shape.T.reshape(1, 3 * BINS - 1, x.shape[1], -1)
        y, log_derivative = rational_quadratic_spline(x.T[None], parameters, BOUND, LEAST, inverse)
        return y[0].T, log_derivative[0].sum(0)

    def inverse(self, normal: Tensor, shape: Tensor) -> Tensor:
        """Map normal features `[N, d]` back to features `[N, d]`."""
        return self.quantiles.inverse(self.bent(normal, shape, inverse=True)[0].T).T
