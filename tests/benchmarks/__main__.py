"""`make benchmark`, or `python -m tests.benchmarks [NAME...]`: what is measured rather than passed, each beside a peer
in the same run.
"""

import argparse
import sys
from importlib import import_module
from pathlib import Path

NAMES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("__"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(NAMES)}; default all")
    chosen = parser.parse_args().names or NAMES
    for unknown in set(chosen) - set(NAMES):
        parser.error(f"{unknown}: no such benchmark (there are: {', '.join(NAMES)})")
    for name in chosen:
        print(f"== {name}", flush=True)
        import_module(f"tests.benchmarks.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
