"""Trains the runs of a plan on this machine."""
