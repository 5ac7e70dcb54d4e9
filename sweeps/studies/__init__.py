"""The studies that come with windtunnel."""
