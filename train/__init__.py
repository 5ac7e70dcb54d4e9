"""One run, or one fleet of runs of one shape."""
