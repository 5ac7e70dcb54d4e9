"""Seconds to load ten thousand run records as a table: without a cache, with one, and after a hundred of them changed.

Each is measured in a fresh process, from its start to the table. The baselines are pandas with the same files.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.paths import ROOT
from tests.support.run_records import record, write
from windtunnel.analysis.tables.cache import CACHE_FILE

RUNS = 10_000
CHANGED = 100
OURS = "import sys; from windtunnel.analysis.tables.load import load_table; print(len(load_table(sys.argv[1])))"
BASELINE = """
import json, sys
from pathlib import Path
import pandas
rows = [json.loads(path.read_text()) for path in sorted(Path(sys.argv[1]).glob('*/run.json'))]
print(len(pandas.json_normalize(rows)))
"""
FILE_BY_FILE = """
import sys
from pathlib import Path
import pandas
paths = sorted(Path(sys.argv[1]).glob('*/run.json'))
print(len(pandas.concat([pandas.json_normalize(pandas.read_json(p, typ='series').to_dict()) for p in paths])))
"""


def seconds(script: str, runs: Path) -> float:
    """Seconds of a process that runs the script. Raises RuntimeError unless it prints the number of runs."""
    start = time.perf_counter()
    command = [sys.executable, "-c", script, str(runs)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    elapsed = time.perf_counter() - start
    if int(result.stdout) != RUNS:
        raise RuntimeError(f"{result.stdout.strip()} rows of {RUNS} runs")
    return elapsed


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        runs = Path(directory)
        for number in range(RUNS):
            write(runs, record(width=16 * (1 + number % 8), steps=500 + number // 64, seed=number // 8 % 8, loss=3.0))
        size = sum(path.stat().st_size for path in runs.glob("*/run.json"))
        print(f"{RUNS:,} run records, {size / 1e6:.0f} MB, just written, so that they are in the disk cache")
        first = seconds(OURS, runs)
        cache = (runs / CACHE_FILE).stat().st_size
        second = min(seconds(OURS, runs) for _ in range(3))
        for path in sorted(runs.glob("*/run.json"))[:CHANGED]:
            path.write_text(json.dumps(json.loads(path.read_text())))
        changed = seconds(OURS, runs)
        table = [
            ("windtunnel without a cache", first),
            (f"windtunnel with its cache ({cache / 1e6:.1f} MB)", second),
            (f"windtunnel, {CHANGED} runs changed", changed),
            ("json and one pandas.json_normalize", seconds(BASELINE, runs)),
            ("pandas, file by file", seconds(FILE_BY_FILE, runs)),
        ]
    print(f"{'':<46} {'seconds':>8} {'relative':>13}")
    for name, elapsed in table:
        print(f"{name:<46} {elapsed:>8.2f} {elapsed / second:>12.1f}x")


if __name__ == "__main__":
    main()
