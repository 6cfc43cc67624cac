"""Monotone rational-quadratic splines, for flows and marginals."""

import math
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional

from sideband.train.settings import Range

# Number of bins, least size, and half the interval: all bins at their least width still fit into it.
Bins = Annotated[int, Range(2, 99)]
Least = Annotated[float, Range(1e-6, 1e-2)]
Bound = Annotated[float, Range(1, 100)]


def rational_quadratic_spline(
    x: Tensor, parameters: Tensor, bound: float, least: float, inverse: bool = False
) -> tuple[Tensor, Tensor]:
    """A monotone rational-quadratic spline on [-bound, bound], the identity outside.

    Args:
        x: `[M, d, N]`.
        parameters: `[M, 3K - 1, d, N]`: K widths, K heights, K - 1 inner derivatives, unconstrained.
        bound: half the spline's interval.
        least: least bin width and height, as fractions of the interval; derivatives lie between it and its inverse.
        inverse: evaluate the inverse function.

    Returns:
        The transformed `[M, d, N]` and the logarithm of its derivative `[M, d, N]`.

    Reference: C. Durkan et al., "Neural Spline Flows", arXiv:1906.04032. A bin is found by counting the knots
    below, because `searchsorted` does not export.
    """
    knots, sizes, slopes = _bins(parameters, bound, least)
    inside = x.abs() < bound
    within = x.clamp(-bound, bound)
    index = (within[:, None] >= knots[:, int(inverse), 1:]).sum(1, keepdim=True)
    both = index[:, None].expand(-1, 2, -1, -1, -1)
    x0, y0 = knots.gather(2, both)[:, :, 0].unbind(1)
    width, height = sizes.gather(2, both)[:, :, 0].unbind(1)
    d0, d1 = slopes.gather(1, torch.cat([index, index + 1], 1)).unbind(1)
    slope = height / width
    bend = d0 + d1 - 2 * slope
    if inverse:
        rise = within - y0
        b = height * d0 - rise * bend
        c = slope * rise
        # The root of the quadratic without cancellation (arXiv:1906.04032, appendix A).
        root = torch.sqrt((b * b + 4 * (rise * bend + height * (slope - d0)) * c).clamp_min(0))
        position = 2 * c / (b + root)
    else:
        position = (within - x0) / width
    rest = 1 - position
    mixed = position * rest
    below = slope + bend * mixed
    derivative = slope * slope * (d1 * position * position + 2 * slope * mixed + d0 * rest * rest) / (below * below)
    log_derivative = torch.log(derivative)
    if inverse:
        result, log_derivative = x0 + width * position, -log_derivative
    else:
        result = y0 + height * (slope * position * position + d0 * mixed) / below
    return torch.where(inside, result, x), torch.where(inside, log_derivative, 0.0)


def _bins(parameters: Tensor, bound: float, least: float) -> tuple[Tensor, Tensor, Tensor]:
    """Left edges and sizes of K bins in x and y, `[M, 2, K, d, N]` each, and slopes at all knots `[M, K + 1, d, N]`."""
    bins = (parameters.shape[1] + 1) // 3
    members, _, features, _ = parameters.shape
    # Widths and heights side by side on an axis of their own: [M, 2, K, d, N].
    free = parameters[:, : 2 * bins].reshape(members, 2, bins, features, -1)
    # A softmax, written out: ONNX Runtime's Softmax on an inner axis costs as much as the rest of the spline.
    powers = torch.exp(free - free.amax(2, keepdim=True))
    sizes = powers + powers.sum(2, keepdim=True) * (least / (1 - least * bins))  # up to a common factor
    # Each knot is the difference between the widths left and right of it. Near the middle, where most events are, this
    # halves the rounding of a sum from the left end.
    ends = torch.cumsum(sizes, 2)
    whole = ends[:, :, -1:]
    scale = bound / whole
    knots = functional.pad((2 * ends[:, :, :-1] - whole) * scale, (0, 0, 0, 0, 1, 0), value=-bound)  # left edges
    sizes = sizes * (2 * scale)
    # Between `least` and its inverse, and 1 for a parameter of 0, so that zero parameters give the identity.
    limit = -math.log(least)
    inner = torch.exp(limit * torch.tanh(parameters[:, 2 * bins :] / limit))
    slopes = functional.pad(inner, (0, 0, 0, 0, 1, 1), value=1.0)
    return knots, sizes, slopes
