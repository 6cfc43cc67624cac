"""From physical units to what a network likes, and back, inside the module that is exported.

Feature-major, `[features, events]`, like the flows.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

# Each range is widened by this share, so that its edge events keep a finite logit.
MARGIN = 1e-3


class LogitStandardise(nn.Module):
    """Range to (0, 1), logit, then zero mean and unit variance, feature by feature.

    The preprocessing of arXiv:2109.00546. Features beyond the fitted range are clamped to its edge, never dropped.

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
        """Take ranges, means and deviations from features `[N, d]`."""
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
        """Preprocessed features `[d, N]` and the log-determinant of the map `[N]`, of features `[d, N]`."""
        logit = self._logit(features)
        # d logit / d unit = 1 / (unit (1 - unit)), and unit (1 - unit) = sigmoid(logit) sigmoid(-logit).
        steep = -functional.logsigmoid(logit) - functional.logsigmoid(-logit)
        log_determinant = (steep - torch.log(self.width) - torch.log(self.scale)).sum(0)
        return (logit - self.mean) / self.scale, log_determinant

    def inverse(self, preprocessed: Tensor) -> Tensor:
        """Features `[d, N]` of preprocessed features `[d, N]`, within the fitted range."""
        edge = MARGIN / (1 + 2 * MARGIN)
        unit = torch.sigmoid(preprocessed * self.scale + self.mean).clamp(edge, 1 - edge)
        return self.low + self.width * unit


class MassScale(nn.Module):
    """The mass range of the training events to [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.middle: Tensor
        self.span: Tensor
        self.register_buffer("middle", torch.zeros(()))
        self.register_buffer("span", torch.ones(()))

    def fit(self, low: float, high: float) -> None:
        """Take the range, in the mass unit."""
        self.middle.copy_(torch.tensor((low + high) / 2))
        self.span.copy_(torch.tensor((high - low) / 2))

    def forward(self, mass: Tensor) -> Tensor:
        """The scaled mass, of any shape."""
        return (mass - self.middle) / self.span
