"""Tests of `infer`."""
