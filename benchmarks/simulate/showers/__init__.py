"""Photon showers in a sampling calorimeter, and those of a long-lived particle that decays to two photons."""
