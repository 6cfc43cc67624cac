"""The grid of a suite: what it covers, and how it is run."""
