"""The measured rate of a matrix product on this machine, to which a run's throughput is compared.

Published peak rates of GPUs are ideal and there are none for CPUs. A large square product shows what this machine,
precision and number of threads can do.
"""

import time
from functools import cache

import torch

MATRIX_SIZE = {"cpu": 768, "cuda": 8192}
MEASUREMENT_SECONDS = 0.25


@cache
def gemm_flops_per_second(device_type: str, dtype: torch.dtype, threads: int) -> float:
    """FLOP/s (two per multiply-add) of the fastest of several square products.

    threads: the current number of threads of torch, which is part of the cache key.
    """
    n = MATRIX_SIZE[device_type]
    a = torch.ones(n, n, dtype=dtype, device=device_type)
    b = torch.ones(n, n, dtype=dtype, device=device_type)
    out = torch.empty(n, n, dtype=dtype, device=device_type)
    best = float("inf")
    with torch.no_grad():
        begin = time.perf_counter()
        while time.perf_counter() - begin < MEASUREMENT_SECONDS or best == float("inf"):
            _synchronize(device_type)
            start = time.perf_counter()
            torch.mm(a, b, out=out)
            _synchronize(device_type)
            best = min(best, time.perf_counter() - start)
    return 2 * n**3 / best


def _synchronize(device_type: str) -> None:
    if device_type == "cuda":
        torch.cuda.synchronize()
