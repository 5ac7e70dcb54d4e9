"""A study of ten thousand runs to its plan and to all that `windtunnel sweep plan` says of it, in a fresh process from
its start to the end, beside composing each run with Hydra, the plain way, for a hundredth of them.
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
import resource, sys, time
began = time.perf_counter()
ran = run()
seconds = time.perf_counter() - began
processor = time.process_time()
print(f"{ran:,} runs: {seconds:.2f} s, {processor:.2f} s of a processor from the process's start, "
      f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB at most")
"""
OURS = """
def run():
    from pathlib import Path
    from windtunnel.sweeps.planning.summary import Machine, look_ahead
    from windtunnel.sweeps.study.plan import make_plan
    from windtunnel.sweeps.planning.gpu_throughput import parse_gpu, published_paces
    from windtunnel.sweeps.planning.cost import shapes_of
    from windtunnel.sweeps.study.load import load_study
    plan = make_plan(load_study(sys.argv[1]), Path(sys.argv[2]) / "runs", Path(sys.argv[2]) / "data")
    paces = published_paces(shapes_of(plan.runs), parse_gpu("h100").gpu)
    outlook = look_ahead(plan, Machine("h100", 8, paces))
    assert outlook.totals.runs == len(outlook.document()["runs"])
    return outlook.totals.runs
"""
PEER = """
def run():
    from windtunnel.train.config.compose import compose
    from windtunnel.train.config.run_id import run_id
    from windtunnel.train.config.resolve import resolve
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
        for name, script in (("a plan", OURS), ("composed one by one", PEER)):
            command = [sys.executable, "-c", script + MEASURE, str(study), folder]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
            print(f"{name:>20}: {done.stdout.strip()}")
