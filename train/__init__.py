"""Training: fits background models with torch and logs them to MLflow."""
