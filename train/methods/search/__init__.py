"""Methods for searches in mass windows."""
