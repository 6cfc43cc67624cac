"""Sideband in Python: a search in events in memory, with the steps and the numbers of the grid."""

from sideband.api.excess import Excess
from sideband.api.fit import Fit
from sideband.api.search import Search

__all__ = ["Excess", "Fit", "Search"]
