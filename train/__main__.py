"""`python -m windtunnel.train [overrides]`: the same as `windtunnel train`."""

import sys

from windtunnel.train.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
