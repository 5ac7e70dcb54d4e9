"""Benchmarks: `make benchmark` or `python -m tests.benchmarks [NAME...]`. Most measure a baseline in the same run.

Options of a benchmark: `python -m tests.benchmarks.NAME --help`.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("__"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(NAMES)}; default: all")
    names = parser.parse_args().names or NAMES
    for unknown in set(names) - set(NAMES):
        parser.error(f"{unknown}: no such benchmark; choose from {', '.join(NAMES)}")
    for name in names:
        print(f"== {name}", flush=True)
        import_module(f"tests.benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
