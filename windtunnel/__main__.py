"""`python -m windtunnel`: the command line."""

import sys

from windtunnel.sweeps.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
