"""Time and memory, in a fresh process, of planning and summarizing a study of ten thousand runs (`sweep plan`).

The baseline composes a hundredth of the runs one by one with Hydra.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.paths import ROOT

STUDY = """\
title: ten thousand runs
fixed: {data: speeches}
family:
  - grid:
      size: {from: 25k, to: 400k, points: 10}
      horizon.tokens: [1M, 1.5M, 2M, 3M, 4M]
      optimizer.rate: {from: 1e-3, to: 3e-2, points: 10}
      seed: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]
targets:
  - rows: [{size: 1m, horizon.tokens: 6M}]
analysis: {laws: [chinchilla]}
"""
MEASURE = """
import re, sys, time
from pathlib import Path
start = time.perf_counter()
num_runs = run()
seconds = time.perf_counter() - start
# Not `ru_maxrss`, which a process inherits from its parent.
peak = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])
print(f"{num_runs:,} runs: {seconds:.2f} s, {time.process_time():.2f} s of processor time since the process started, "
      f"{peak / 1024:,.0f} MB at most")
"""
OURS = """
def run():
    from pathlib import Path
    from windtunnel.sweeps.planning.cost import step_shapes
    from windtunnel.sweeps.planning.gpu_throughput import parse_gpu, published_timings
    from windtunnel.sweeps.planning.machine import Machine
    from windtunnel.sweeps.planning.summary import summarize_plan
    from windtunnel.sweeps.study.load import load_study
    from windtunnel.sweeps.study.plan import make_plan
    plan = make_plan(load_study(sys.argv[1]), Path(sys.argv[2]) / "runs", Path(sys.argv[2]) / "data")
    timings = published_timings(step_shapes(plan.runs), parse_gpu("h100").gpu)
    summary = summarize_plan(plan, Machine("h100", 8, timings))
    assert summary.totals.runs == len(summary.to_dict()["runs"])
    return summary.totals.runs
"""
BASELINE = """
def run():
    from windtunnel.train.config.compose import compose
    from windtunnel.train.config.resolve import resolve
    from windtunnel.train.config.run_id import run_id
    ids = set()
    for number in range(100):
        overrides = ["size=25k", f"seed={number}", "horizon.tokens=1M", f"optimizer.rate={1e-3 * (1 + number)}",
                     "dry_run=true", f"runtime.data_directory={sys.argv[2]}"]
        ids.add(run_id(resolve(compose(overrides), (), progress=lambda message: None)[0]))
    return len(ids)
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        study = Path(folder) / "study.yaml"
        study.write_text(STUDY)
        for name, script in (("windtunnel", OURS), ("baseline", BASELINE)):
            command = [sys.executable, "-c", script + MEASURE, str(study), folder]
            result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
            print(f"{name:>10}: {result.stdout.strip()}")


if __name__ == "__main__":
    main()
