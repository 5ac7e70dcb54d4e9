"""Comparisons: laws ranked by backtests, two arms contrasted, exponents under every convention."""
