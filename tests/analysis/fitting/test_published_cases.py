"""Printed numbers on published tables (`tests.benchmarks.published_cases`): skipped where a table is absent."""

import pytest

from tests.benchmarks.published_cases import CASES, Case


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
def test_printed_number_holds(case: Case) -> None:
    if case.reason_unavailable:
        pytest.skip(case.reason_unavailable)
    rows = list(case.rows())
    assert rows
    wrong = [
        f"{row.quantity}: printed {row.printed:.8g} ({row.rule}), ours {row.ours:.8g}" for row in rows if not row.holds
    ]
    assert not wrong, "; ".join(wrong)
