"""Studies of runs that train in about a second, planned without data unless a test prepares them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.plan import Plan, make_plan
from sweeps.study_file import parse_study

# As `tests/train/conftest.py` has it.
TINY = """\
fixed:
  data: speeches
  size: custom
  size.width: 16
  size.depth: 2
  size.head_count: 2
  schedule.warmup_tokens: 1024
  optimizer.tokens_per_step: 128
  data.sequence_length: 32
  data.evaluation_tokens: 1024
  logging.every_steps: 4
"""
MakePlan = Callable[[str], Plan]


@pytest.fixture
def plan_of(tmp_path: Path) -> MakePlan:
    """The plan of a study's text, nothing of which is there yet."""

    def make(text: str, data: Path = tmp_path / "data") -> Plan:
        return make_plan(parse_study(text, tmp_path / "study.yaml"), tmp_path / "runs", data)

    return make
