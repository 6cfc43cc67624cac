"""Sideband: background models for resonance searches, compared on equal terms."""
