"""The progress display: a screen on a terminal, a plain log elsewhere, and silence after a closed pipe."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.tiny_study import write_study
from windtunnel.sweeps.execution import progress_display
from windtunnel.sweeps.execution.progress_display import ProgressDisplay
from windtunnel.sweeps.execution.run_progress import file_stamp, hang_seconds, read_progress
from windtunnel.sweeps.study.load import load_study
from windtunnel.sweeps.study.plan import Plan, make_plan

FINISHED = {"status": "finished", "result": {"validation_nats_per_token": 3.25}, "performance": {"wall_seconds": 2.0}}
DIVERGED = {"status": "diverged", "result": {"diverged_at_step": 17}, "performance": {"wall_seconds": 2.0}}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """Three runs. The second is half-way."""
    file = write_study(tmp_path / "study.yaml", steps=(40, 80, 160))
    plan = make_plan(load_study(str(file)), tmp_path / "runs", tmp_path / "data")
    folder = plan.runs[1].folder
    folder.mkdir(parents=True)
    metrics = '{"kind":"train","step":52,"loss":3.5}\n{"kind":"train","step":56,"loss":3.4}\n{"kind":"evalu'
    (folder / "metrics.jsonl").write_text("x" * 9000 + "\n" + metrics)
    (folder / "timings.jsonl").write_text('{"step":56,"seconds":1.0,"tokens_per_second":1234.5}\n')
    return plan


def show(display: ProgressDisplay, plan: Plan) -> None:
    first, second, third = plan.runs
    display.begin("study", plan.runs, plan.runs, 2)
    display.started(1, first, 0)
    display.started(2, second, 1)
    display.ended(first, FINISHED)
    display.show([(2, second)])
    display.ended(second, DIVERGED)
    display.failed(third, "no [good]")
    display.show([])
    display.stop()


def test_plain_log_without_a_terminal(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_display, "SUMMARY_SECONDS", 0.0)
    text = io.StringIO()
    show(ProgressDisplay(Console(file=text)), plan)
    first, second, third = (run.run_id for run in plan.runs)
    lines = text.getvalue().splitlines()
    assert [line.split(" FLOPs; ")[0] for line in lines] == [
        "study: 3 runs, 0 of them done before, 2 workers",
        f"start     {first} (worker 1)",
        f"start     {second} (worker 2, attempt 2)",
        f"finished  {first} loss 3.2500, 2.0 s [1/3]",
        "study: 1 of 3 done, 1 in training; 8.19k of 23.6k tokens, 7e+08 of 2e+09",
        f"diverged  {second} at step 17, 2.0 s [2/3]",
        f"failed    {third}: no [good]",
        "study: 2 of 3 done, 0 in training, 1 diverged, 1 failed; 11.3k of 23.6k tokens, 9.6e+08 of 2e+09",
    ]
    assert lines[4].endswith(" left")


def test_plain_log_summary_interval(plan: Plan) -> None:
    text = io.StringIO()
    show(ProgressDisplay(Console(file=text)), plan)
    assert sum(line.startswith("study:") for line in text.getvalue().splitlines()) == 1


def test_screen_on_a_terminal(plan: Plan) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=20, record=True)
    display = ProgressDisplay(console)
    show(display, plan)
    shown = console.export_text()
    row = next(line for line in shown.splitlines() if plan.runs[1].run_id in line and "56/80" in line)
    assert row.split()[0] == "2"
    assert "3.4000" in row
    assert "1,234" in row
    assert "1 of 3 done, 1 in training" in shown
    assert f"failed    {plan.runs[2].run_id}: no [good]" in shown
    assert "start" not in shown  # the table shows the running runs


def test_screen_with_more_workers_than_lines(plan: Plan) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=8, record=True)
    display = ProgressDisplay(console)
    display.begin("study", plan.runs, plan.runs, 9)
    display.show([(number, plan.runs[1]) for number in range(1, 10)])
    display.stop()
    assert "and 7 more" in console.export_text()


@pytest.mark.parametrize("terminal", [True, False])
def test_display_survives_a_closed_pipe(plan: Plan, terminal: bool) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    show(ProgressDisplay(Console(file=Closed(), force_terminal=terminal)), plan)


def test_read_progress_and_file_stamp(plan: Plan) -> None:
    first, second, _ = plan.runs
    assert (read_progress(first.folder).step, read_progress(first.folder).loss) == (0, None)
    progress = read_progress(second.folder)
    assert (progress.step, progress.loss, progress.tokens_per_second) == (56, 3.4, 1234.5)
    before = file_stamp(second.folder)
    assert file_stamp(second.folder) == before != file_stamp(first.folder)
    with (second.folder / "metrics.jsonl").open("a") as file:
        file.write("more")
    assert file_stamp(second.folder) != before


def test_hang_seconds_depend_on_the_speed_of_the_run(plan: Plan) -> None:
    config = plan.runs[0].config
    tokens = 4 * 128 + 0.4 * 1024  # between two lines, with an evaluation between them
    assert hang_seconds(config, 100.0, on_gpu=False) == pytest.approx(20 * tokens / 100)
    assert hang_seconds(config, None, on_gpu=False) > hang_seconds(config, None, on_gpu=True) > 0
