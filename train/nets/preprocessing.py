"""Preprocessing from physical units to standard scales and back, inside the exported module.

Tensors are feature-major, `[features, events]`, as in the flows.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

# Share by which each range is widened, so that the outermost events keep a finite logit.
MARGIN = 1e-3


class LogitStandardise(nn.Module):
    """Each feature mapped to (0, 1), through a logit, and to zero mean and unit variance (arXiv:2109.00546).

    Features beyond the fitted range are clamped to its edge, never dropped.

    Args:
        features: number of features d.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.low: Tensor
        self.width: Tensor
        self.mean: Tensor
        self.scale: Tensor
        for name, value in (("low", 0.0), ("width", 1.0), ("mean", 0.0), ("scale", 1.0)):
            self.register_buffer(name, torch.full((features, 1), value))

    def fit(self, features: Tensor) -> None:
        """Measure ranges, means and standard deviations of features `[N, d]`, in physical units."""
        values = features.T.double()
        low, high = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
        width = torch.where(high > low, high - low, 1.0)
        self.low.copy_(low - MARGIN * width)
        self.width.copy_((1 + 2 * MARGIN) * width)
        logit = self._logit(values)
        self.mean.copy_(logit.mean(1, keepdim=True))
        deviation = logit.std(1, keepdim=True)
        self.scale.copy_(torch.where(deviation > 0, deviation, 1.0))

    def ranges(self) -> list[tuple[float, float]]:
        """The fitted range of each feature, in its physical unit."""
        edge = MARGIN / (1 + 2 * MARGIN) * self.width
        low, high = self.low + edge, self.low + self.width - edge
        return list(zip(low[:, 0].tolist(), high[:, 0].tolist(), strict=True))

    def _logit(self, features: Tensor) -> Tensor:
        edge = MARGIN / (1 + 2 * MARGIN)
        unit = ((features - self.low) / self.width).clamp(edge, 1 - edge)
        return torch.log(unit) - torch.log1p(-unit)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features `[d, N]` to preprocessed ones `[d, N]` and the log-determinant `[N]`."""
        logit = self._logit(features)
        # d logit / d unit = 1 / (unit (1 - unit)), and unit (1 - unit) = sigmoid(logit) sigmoid(-logit).
        steep = -functional.logsigmoid(logit) - functional.logsigmoid(-logit)
        log_determinant = (steep - torch.log(self.width) - torch.log(self.scale)).sum(0)
        return (logit - self.mean) / self.scale, log_determinant

    def inverse(self, preprocessed: Tensor) -> Tensor:
        """Map preprocessed features `[d, N]` back to features `[d, N]`, within the fitted range."""
        edge = MARGIN / (1 + 2 * MARGIN)
        unit = torch.sigmoid(preprocessed * self.scale + self.mean).clamp(edge, 1 - edge)
        return self.low + self.width * unit


class MassScale(nn.Module):
    """The mass range of the training events, mapped to [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.middle: Tensor
        self.span: Tensor
        self.register_buffer("middle", torch.zeros(()))
        self.register_buffer("span", torch.ones(()))

    def fit(self, low: float, high: float) -> None:
        """Set the range, in the mass unit."""
        self.middle.copy_(torch.tensor((low + high) / 2))
        self.span.copy_(torch.tensor((high - low) / 2))

    def forward(self, mass: Tensor) -> Tensor:
        """The scaled mass, of any shape."""
        return (mass - self.middle) / self.span


class Gaussianise(nn.Module):
    """Each feature mapped to a standard normal one by its own quantiles, after `LogitStandardise`.

    Continuous-time generators learn smooth velocities, so a feature with an edge (ΔR of back-to-back jets, at π) costs
    them most of their closure. With normal marginals, only the dependence on the mass and among features is left to
    learn. The map is a monotone rational-quadratic spline (arXiv:1906.04032) through quantiles a tenth of a standard
    deviation apart: smooth, so that rounding moves no density, and linear beyond ± `EDGE` standard deviations.

    Args:
        features: number of features d.
    """

    EDGE, KNOTS = 3.2, 65
    LEAST_RISE = 1e-3  # least distance of knots in logit units, where many events share one value

    def __init__(self, features: int) -> None:
        super().__init__()
        self.logit = LogitStandardise(features)
        self.knots: Tensor
        self.slopes: Tensor
        self.register_buffer("knots", torch.linspace(-self.EDGE, self.EDGE, self.KNOTS).repeat(features, 1))
        self.register_buffer("slopes", torch.ones(features, self.KNOTS))

    @property
    def gap(self) -> float:
        """Standard deviations between two knots."""
        return 2 * self.EDGE / (self.KNOTS - 1)

    def fit(self, features: Tensor) -> None:
        """Measure ranges and quantiles of features `[N, d]`, in physical units."""
        self.logit.fit(features)
        ordered = self.logit(features.T)[0].double().sort(dim=1).values
        normal = torch.linspace(-self.EDGE, self.EDGE, self.KNOTS, dtype=torch.float64, device=features.device)
        place = torch.special.ndtr(normal) * (ordered.shape[1] - 1)
        low = place.long().clamp(max=ordered.shape[1] - 2)
        quantiles = torch.lerp(ordered[:, low], ordered[:, low + 1], (place - low).expand(len(ordered), -1))
        rise = quantiles.diff(dim=1).clamp(min=self.LEAST_RISE)
        self.knots.copy_(torch.cat([quantiles[:, :1], quantiles[:, :1] + rise.cumsum(1)], 1))
        steep = self.gap / rise
        inner = torch.sqrt(steep[:, 1:] * steep[:, :-1])
        self.slopes.copy_(torch.cat([steep[:, :1], inner, steep[:, -1:]], 1))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features `[d, N]` to normal ones `[d, N]` and the log-determinant `[N]`."""
        x, log_determinant = self.logit(features)
        index = (x[:, None] >= self.knots[:, 1:-1, None]).sum(1)
        start, width, d0, d1 = self._segment(index)
        steep = self.gap / width
        share = (x - start) / width
        inside = share.clamp(0, 1)
        mixed = inside * (1 - inside)
        below = steep + (d0 + d1 - 2 * steep) * mixed
        rise = self.gap * (steep * inside * inside + d0 * mixed) / below
        slope = steep * steep * (d1 * inside * inside + 2 * steep * mixed + d0 * (1 - inside) ** 2) / (below * below)
        beyond = (share - inside) * width * torch.where(share < 0, d0, d1)
        normal = self.gap * index - self.EDGE + rise + beyond
        return normal, log_determinant + torch.log(slope).sum(0)

    def inverse(self, normal: Tensor) -> Tensor:
        """Map normal features `[d, N]` back to features `[d, N]`, within the fitted range."""
        inside = normal.clamp(-self.EDGE, self.EDGE)
        place = (inside + self.EDGE) / self.gap
        index = place.clamp(0, self.KNOTS - 2).long()
        start, width, d0, d1 = self._segment(index)
        steep = self.gap / width
        rise = self.gap * (place - index)
        bend = d0 + d1 - 2 * steep
        # The root of the quadratic without cancellation.
        b, c = self.gap * d0 - rise * bend, steep * rise
        root = torch.sqrt((b * b + 4 * (rise * bend + self.gap * (steep - d0)) * c).clamp_min(0))
        beyond = (normal - inside) / torch.where(normal < 0, d0, d1)
        return self.logit.inverse(start + width * (2 * c / (b + root)) + beyond)

    def _segment(self, index: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Start, width, and slopes at both ends of the segments with these numbers, `[d, N]` each."""
        start = self.knots.gather(1, index)
        width = self.knots.gather(1, index + 1) - start
        return start, width, self.slopes.gather(1, index), self.slopes.gather(1, index + 1)
