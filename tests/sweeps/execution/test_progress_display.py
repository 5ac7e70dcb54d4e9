"""The screen and the plain log of a study, and that nobody reading them stops nothing."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.tiny_study import write_study
from windtunnel.sweeps.execution import progress_display as board_module
from windtunnel.sweeps.execution.progress_display import Board
from windtunnel.sweeps.execution.run_progress import longest_silence, standing, trace
from windtunnel.sweeps.study.load import load_study
from windtunnel.sweeps.study.plan import Plan, make_plan

FINISHED = {"status": "finished", "result": {"validation_nats_per_token": 3.25}, "performance": {"wall_seconds": 2.0}}
DIVERGED = {"status": "diverged", "result": {"diverged_at_step": 17}, "performance": {"wall_seconds": 2.0}}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """The second of its three runs is half way."""
    file = write_study(tmp_path / "study.yaml", steps=(40, 80, 160))
    plan = make_plan(load_study(str(file)), tmp_path / "runs", tmp_path / "data")
    folder = plan.runs[1].folder
    folder.mkdir(parents=True)
    metrics = '{"kind":"train","step":52,"loss":3.5}\n{"kind":"train","step":56,"loss":3.4}\n{"kind":"evalu'
    (folder / "metrics.jsonl").write_text("x" * 9000 + "\n" + metrics)
    (folder / "timings.jsonl").write_text('{"step":56,"seconds":1.0,"tokens_per_second":1234.5}\n')
    return plan


def show(board: Board, plan: Plan) -> None:
    first, second, third = plan.runs
    board.begin("study", plan.runs, plan.runs, 2)
    board.started(1, first, 0)
    board.started(2, second, 1)
    board.ended(first, FINISHED)
    board.show([(2, second)])
    board.ended(second, DIVERGED)
    board.failed(third, "no [good]")
    board.show([])
    board.stop()


def test_a_plain_log(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board_module, "SECONDS_BETWEEN_SUMMARIES", 0.0)
    text = io.StringIO()
    show(Board(Console(file=text)), plan)
    first, second, third = (run.run_id for run in plan.runs)
    lines = text.getvalue().splitlines()
    assert [line.split(" FLOPs; ")[0] for line in lines] == [
        "study: 3 runs, 0 of them done before, 2 workers",
        f"start     {first} (worker 1)",
        f"start     {second} (worker 2, attempt 2)",
        f"finished  {first} loss 3.2500, 2.0 s [1/3]",
        "study: 1 of 3 done, 1 in training; 8.19k of 24k tokens, 7e+08 of 2e+09",
        f"diverged  {second} at step 17, 2.0 s [2/3]",
        f"failed    {third}: no [good]",
        "study: 2 of 3 done, 0 in training, 1 diverged, 1 failed; 11k of 24k tokens, 9.6e+08 of 2e+09",
    ]
    assert lines[4].endswith(" left")


def test_summaries_are_rare(plan: Plan) -> None:
    text = io.StringIO()
    show(Board(Console(file=text)), plan)
    assert sum(line.startswith("study:") for line in text.getvalue().splitlines()) == 1


def test_a_screen(plan: Plan) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=20, record=True)
    board = Board(console)
    show(board, plan)
    shown = console.export_text()
    row = next(line for line in shown.splitlines() if plan.runs[1].run_id in line and "56/80" in line)
    assert row.split()[0] == "2"
    assert "3.4000" in row
    assert "1,234" in row
    assert "1 of 3 done, 1 in training" in shown
    assert f"failed    {plan.runs[2].run_id}: no [good]" in shown
    assert "start" not in shown  # the screen tells


def test_more_workers_than_lines(plan: Plan) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=8, record=True)
    board = Board(console)
    board.begin("study", plan.runs, plan.runs, 9)
    board.show([(number, plan.runs[1]) for number in range(1, 10)])
    board.stop()
    assert "and 7 more" in console.export_text()


@pytest.mark.parametrize("terminal", [True, False])
def test_nobody_reads(plan: Plan, terminal: bool) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    show(Board(Console(file=Closed(), force_terminal=terminal)), plan)


def test_where_a_run_stands(plan: Plan) -> None:
    first, second, _ = plan.runs
    assert (standing(first.folder).step, standing(first.folder).loss) == (0, None)
    now = standing(second.folder)
    assert (now.step, now.loss, now.tokens_per_second) == (56, 3.4, 1234.5)
    before = trace(second.folder)
    assert trace(second.folder) == before != trace(first.folder)
    with (second.folder / "metrics.jsonl").open("a") as file:
        file.write("more")
    assert trace(second.folder) != before


def test_a_slow_run_may_be_silent_for_longer(plan: Plan) -> None:
    config = plan.runs[0].config
    tokens = 4 * 128 + 0.4 * 1024  # between two lines, an evaluation among them
    assert longest_silence(config, 100.0, on_gpu=False) == pytest.approx(20 * tokens / 100)
    assert longest_silence(config, None, on_gpu=False) > longest_silence(config, None, on_gpu=True) > 0
