"""The journal of every cell, and the MLflow store that it is sent to."""
