"""Metrics: free functions of samples."""
