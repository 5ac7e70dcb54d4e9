"""Printed numbers on published tables (`tests.benchmarks.published_cases`): skipped where a table is absent."""

import pytest

from tests.benchmarks.published_cases import CASES, Case

# Open: the profile runs at a Huber threshold matched to the residuals and bounds R_D* above, (20.4, 1569), where the
# declared objective's own profile is open. Strict, so that the mend shows.
OPEN = {"data-constrained, half-lives refitted": "R_D* is given a bounded interval"}
MARKED = [
    pytest.param(case, id=case.name, marks=[pytest.mark.xfail(reason=OPEN[case.name])] if case.name in OPEN else [])
    for case in CASES
]


@pytest.mark.parametrize("case", MARKED)
def test_a_printed_number_holds(case: Case) -> None:
    if case.absent:
        pytest.skip(case.absent)
    rows = list(case.rows())
    assert rows
    wrong = [
        f"{row.quantity}: printed {row.printed:.8g} ({row.rule}), ours {row.ours:.8g}" for row in rows if not row.holds
    ]
    assert not wrong, "; ".join(wrong)
