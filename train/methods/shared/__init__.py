"""Fits that several methods share."""
