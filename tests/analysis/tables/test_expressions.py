"""Expressions: the syntax that is accepted, and errors for any other text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windtunnel.analysis.tables.expressions import compute_column, evaluate_condition
from windtunnel.train.errors import InputError

COLUMNS = {
    "N": np.array([1e6, 2e6, 4e6, np.nan]),
    "seed": np.array([0.0, 1.0, 2.0, 3.0]),
    "schedule": np.array(["wsd", "cosine", "wsd", "constant"]),
    "eval/loss": np.array([3.0, 2.5, 2.0, 1.0]),
}


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("N > 1e6", [1, 2]),
        ("1e6 <= N < 4e6", [0, 1]),
        ("schedule == 'wsd'", [0, 2]),
        ("schedule != 'wsd' and not seed == 1", [3]),
        ("schedule in ('wsd', 'cosine')", [0, 1, 2]),
        ("seed not in [0, 3]", [1, 2]),
        ("N > 1e6 or seed == 0", [0, 1, 2]),
        ("isnan(N)", [3]),
        ("log10(N) > 6.5", [2]),
        ("N / (seed + 1) == 1e6", [0, 1]),
        ("-seed < -1.5", [2, 3]),
        ("`eval/loss` < 2.2", [2, 3]),
        ("True", [0, 1, 2, 3]),
    ],
)
def test_condition_selects_rows(expression: str, rows: list[int]) -> None:
    assert np.flatnonzero(evaluate_condition(expression, COLUMNS, 4)).tolist() == rows


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("N", "is not a condition"),
        ("N = 1", "cannot read"),
        ("", "cannot read"),
        ("n > 1", "no column n; the table has N, seed"),
        ("sead > 1", r"the table has N, seed.*; did you mean seed\?$"),
        ("schedule > 1", "mixes text and numbers"),
        ("schedule == 1", "mixes text and numbers"),
        ("seed in ()", "no list"),
        ("N / 0 > 1", "N / 0 divides by zero"),
        ("N % (seed - seed) > 1", "divides by zero"),
        ("seed in 3", "no list"),
        ("N and seed > 0", "not a condition"),
        ("__import__('os').system('true')", "not understood"),
        ("N.__class__", "not understood"),
        ("[x for x in N]", "not understood"),
        ("(lambda: 1)() == 1", "not understood"),
        ("open('file') == 1", "not understood"),
        ("N is 1", "write =="),
        ("exp(N, 1) > 1", "not understood"),
        ("`no such` > 1", "no column no such"),
        ("(" * 500, "cannot read"),
    ],
)
def test_invalid_expression_is_a_one_line_error(expression: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        evaluate_condition(expression, COLUMNS, 4)
    assert "\n" not in str(error.value)


@given(st.text(alphabet="N seed()<>=!.+-*/%'`[],:and or not1e6\\\n", max_size=40))
def test_any_text_is_a_condition_or_a_one_line_error(text: str) -> None:
    try:
        rows, message = evaluate_condition(text, COLUMNS, 4), ""
    except InputError as error:
        rows, message = np.zeros(0, np.bool_), str(error)
    assert rows.dtype == np.bool_
    assert "\n" not in message


def test_compute_column_takes_formulas_and_bare_names() -> None:
    assert compute_column("eval/loss", COLUMNS, 4).tolist() == [3.0, 2.5, 2.0, 1.0]
    assert compute_column("6 * N * 10", COLUMNS, 4)[:3].tolist() == [6e7, 12e7, 24e7]
    assert compute_column("1", COLUMNS, 4).tolist() == [1.0] * 4
