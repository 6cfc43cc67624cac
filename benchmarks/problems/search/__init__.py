"""A search for a resonance in mass windows."""
