"""Tests of the whole line, from events to the report."""
