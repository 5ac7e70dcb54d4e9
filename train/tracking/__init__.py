"""Mirrors of run records in Weights & Biases."""
