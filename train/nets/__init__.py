"""Networks shared by methods."""
