"""Compute-optimal size and tokens: three approaches, and the optimum of a fitted law."""
