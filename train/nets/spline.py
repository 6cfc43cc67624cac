"""Monotone rational-quadratic splines, for flows and marginals."""

import math
from typing import Annotated, Any, NamedTuple

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
    if torch.is_grad_enabled() and (x.requires_grad or parameters.requires_grad):
        return _Differentiable.apply(x, parameters, bound, least, inverse)  # type: ignore[no-untyped-call]
    return _evaluate(x, parameters, bound, least, inverse)[:2]


class _Place(NamedTuple):
    """Where events lie: their bins, and how these are shaped."""

    sizes: Tensor  # of all bins in x and y, [M, 2, K, d, N]
    bin: Tensor  # the number of an event's bin, [M, 1, d, N]
    edge: Tensor  # left and lower edge of this bin, [M, 2, d, N]
    size: Tensor  # its width and height, [M, 2, d, N]
    slopes: Tensor  # at its two knots, [M, 2, d, N]
    position: Tensor  # in this bin, from 0 to 1, [M, d, N]
    inside: Tensor  # whether the spline acts, [M, d, N]


def _evaluate(
    x: Tensor, parameters: Tensor, bound: float, least: float, inverse: bool
) -> tuple[Tensor, Tensor, _Place]:
    sizes, knots = _bins(parameters, bound, least)
    inside = x.abs() < bound
    within = x.clamp(-bound, bound)
    index = (within[:, None] >= knots[:, int(inverse), 1:]).sum(1, keepdim=True)
    both = index[:, None].expand(-1, 2, -1, -1, -1)
    edge, size = knots.gather(2, both)[:, :, 0], sizes.gather(2, both)[:, :, 0]
    # Between `least` and its inverse, and 1 for a parameter of 0, so that zero parameters give the identity.
    free = functional.pad(parameters[:, 2 * sizes.shape[2] :], (0, 0, 0, 0, 1, 1))
    limit = -math.log(least)
    slopes = torch.exp(limit * torch.tanh(free.gather(1, torch.cat([index, index + 1], 1)) / limit))
    (x0, y0), (width, height), (d0, d1) = edge.unbind(1), size.unbind(1), slopes.unbind(1)
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
    place = _Place(sizes, index, edge, size, slopes, position, inside)
    return torch.where(inside, result, x), torch.where(inside, log_derivative, 0.0), place


def _bins(parameters: Tensor, bound: float, least: float) -> tuple[Tensor, Tensor]:
    """Sizes and left edges of K bins in x and y, `[M, 2, K, d, N]` each."""
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
    return sizes * (2 * scale), knots


class _Differentiable(torch.autograd.Function):
    """The spline with its gradient written out, which takes two thirds of the time of autograd's own."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, parameters: Tensor, bound: float, least: float, inverse: bool
    ) -> tuple[Tensor, Tensor]:
        """Evaluate, and keep where the events lie."""
        result, log_derivative, place = _evaluate(x, parameters, bound, least, inverse)
        ctx.save_for_backward(*place)
        ctx.bound, ctx.least, ctx.inverse = bound, least, inverse
        return result, log_derivative

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, of_result: Tensor, of_log: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        """The gradients of `x` and `parameters`."""
        place = _Place(*ctx.saved_tensors)
        result, log = torch.where(place.inside, of_result, 0.0), torch.where(place.inside, of_log, 0.0)
        of_x, of_edge, of_size, of_slopes = _partial(place, result, log, ctx.inverse)
        parameters = _to_parameters(place, of_edge, of_size, of_slopes, ctx.bound, ctx.least)
        return torch.where(place.inside, of_x, of_result), parameters, None, None, None


def _partial(place: _Place, result: Tensor, log: Tensor, inverse: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """From the gradients of the result and its log-derivative to those of x and of the shape of its bin."""
    (width, height), (d0, d1), position = place.size.unbind(1), place.slopes.unbind(1), place.position
    slope = height / width
    bend = d0 + d1 - 2 * slope
    rest = 1 - position
    turn, square = rest - position, position * position
    mixed, rest = position * rest, rest * rest
    below = 1 / (slope + bend * mixed)
    share = (slope * square + d0 * mixed) * below  # of the bin's height
    steep = 1 / (d1 * square + 2 * slope * mixed + d0 * rest)
    derivative = slope * slope * below * below / steep
    mixed_below = 2 * mixed * below
    log_x = (2 * (d1 * position + slope * turn - d0 * (1 - position)) * steep - 2 * bend * turn * below) / width
    if inverse:  # By the theorem of the implicit function: x and the bin move so that the spline keeps its value.
        of_x = (result - log * log_x) / derivative
        result, log = -of_x, -log
    at_x = result * derivative + log * log_x
    lift = result * height * below
    of_slope = lift * (square - share * (1 - 2 * mixed))
    of_slope = of_slope + log * (2 / slope + 2 * mixed * steep - 2 * (1 - 2 * mixed) * below)
    of_d0 = lift * mixed * (1 - share) + log * (rest * steep - mixed_below)
    of_d1 = log * (square * steep - mixed_below) - lift * mixed * share
    of_slope = of_slope / width
    of_edge = torch.stack([-at_x, result], 1)
    of_size = torch.stack([-at_x * position - of_slope * slope, result * share + of_slope], 1)
    return of_x if inverse else at_x, of_edge, of_size, torch.stack([of_d0, of_d1], 1)


def _to_parameters(
    place: _Place, of_edge: Tensor, of_size: Tensor, of_slopes: Tensor, bound: float, least: float
) -> Tensor:
    """From the gradients of an event's own bin `[M, 2, d, N]` to those of all parameters `[M, 3K - 1, d, N]`."""
    sizes, index = place.sizes, place.bin
    members, _, bins, features, events = sizes.shape
    floor = 2 * bound * least
    # An edge is the sum of the sizes before it, and a size is a softmax and the floor below it.
    whole = 2 * bound * (1 - least * bins)
    mean = of_edge * (place.edge + bound - floor * index.to(sizes.dtype)) + of_size * (place.size - floor)
    mean = mean / whole
    before = torch.arange(bins, device=index.device)[:, None, None] < index  # [M, K, d, N]
    of_sizes = torch.where(before[:, None], (of_edge - mean)[:, :, None], -mean[:, :, None])
    own = index[:, None].expand(-1, 2, -1, -1, -1)
    of_sizes = of_sizes.scatter_add_(2, own, of_size[:, :, None]).mul_(sizes - floor)
    limit = -math.log(least)
    bent = torch.log(place.slopes) / limit  # the hyperbolic tangent
    of_free = of_slopes * place.slopes * (1 - bent * bent)
    slopes = of_free.new_zeros(members, bins + 1, features, events)
    slopes.scatter_(1, torch.cat([index, index + 1], 1), of_free)
    return torch.cat([of_sizes.reshape(members, 2 * bins, features, events), slopes[:, 1:-1]], 1)
