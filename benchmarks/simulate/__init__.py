"""Simulations that Sideband brings along, one folder each."""
