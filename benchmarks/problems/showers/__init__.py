"""Telling decays from photons by their calorimeter showers."""
