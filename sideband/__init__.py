"""Sideband: background models for resonance searches, compared on equal terms."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sideband.api import Search

__all__ = ["Search"]


def __getattr__(name: str) -> Any:
    """`Search`, imported when it is asked for: it needs all stages, and whoever runs exported files has one alone."""
    if name == "Search":
        from sideband.api import Search

        return Search
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
