"""Runs in training: forecasts of their final loss, and whether they follow the curves of their family."""
