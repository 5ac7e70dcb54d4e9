"""Many runs, and the `windtunnel` command."""
