"""Metrics: free functions of samples, which may be weighted. Without weights every event counts once."""
