"""A study of runs small enough to train in a test: three horizons on one trunk, that is one chain of three runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from windtunnel.sweeps.study.load import load_study
from windtunnel.sweeps.study.plan import Plan, make_plan

FIXED: dict[str, Any] = {
    "size": "custom",
    "size.width": 16,
    "size.depth": 2,
    "size.head_count": 2,
    "schedule.warmup_tokens": 1024,
    "optimizer.tokens_per_step": 128,
    "optimizer.rate": 6e-3,
    "data.sequence_length": 32,
    "data.evaluation_tokens": 1024,
    "parametrization.embedding_std": 1,
    "logging.every_steps": 4,
}
WriteStudy = Callable[..., Path]
PlanStudy = Callable[..., Plan]


def write_study(
    path: Path,
    *,
    rates: tuple[float, ...] = (6e-3,),
    steps: tuple[int, ...] = (24, 40, 72),
    seeds: tuple[int, ...] = (0,),
    target_steps: int | None = None,
    disk_gigabytes: float | None = None,
    **fixed: Any,
) -> Path:
    """Write a study file. `fixed` settings are written as runtime__threads=1."""
    study: dict[str, Any] = {
        "title": "a study for tests",
        "fixed": {**FIXED, **{name.replace("__", "."): value for name, value in fixed.items()}},
        "family": [{"grid": {"optimizer.rate": list(rates), "horizon.steps": list(steps), "seed": list(seeds)}}],
    }
    if target_steps is not None:
        study |= {
            "targets": [{"grid": {"optimizer.rate": rates[0], "horizon.steps": target_steps, "seed": seeds[0]}}],
            "analysis": {"curves": {"laws": ["annealing"], "losses": "training"}},  # fits any family
        }
    if disk_gigabytes is not None:
        study["budget"] = {"disk_gigabytes": disk_gigabytes}
    path.write_text(yaml.safe_dump(study))
    return path


def plan_of(study: Path, runs: Path, data: Path) -> Plan:
    return make_plan(load_study(str(study)), runs, data, prepare=True)
