"""The problems that a suite can pose."""
