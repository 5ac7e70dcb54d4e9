"""The typed configuration of a run: request, resolution, identity."""
