"""Schedules of least final loss under a fitted law."""
