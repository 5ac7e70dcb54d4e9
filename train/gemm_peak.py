"""The machine's own matrix-product rate, measured: the yardstick for a run's share of peak.

Published peak figures per card are constants that age and never held for a CPU; a measured square product is what this
machine, precision and thread count can really do.
"""

import time
from functools import cache

import torch

SQUARE = {"cpu": 768, "cuda": 8192}
SECONDS = 0.25  # after this long, the best so far is the answer


@cache
def gemm_flops_per_second(device_type: str, dtype: torch.dtype, threads: int) -> float:
    """FLOP/s (two per multiply-add) of the best of several square products, at the current thread count (part of the
    cache key).
    """
    n = SQUARE[device_type]
    a = torch.ones(n, n, dtype=dtype, device=device_type)
    b = torch.ones(n, n, dtype=dtype, device=device_type)
    out = torch.empty(n, n, dtype=dtype, device=device_type)
    best = float("inf")
    with torch.no_grad():
        begin = time.perf_counter()
        while time.perf_counter() - begin < SECONDS or best == float("inf"):
            _wait(device_type)
            start = time.perf_counter()
            torch.mm(a, b, out=out)
            _wait(device_type)
            best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best


def _wait(device_type: str) -> None:
    if device_type == "cuda":
        torch.cuda.synchronize()
