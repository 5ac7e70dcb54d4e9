"""Resuming, branching and fleet membership change no bit of a run's metrics."""

import json
from dataclasses import replace

import pytest

from windtunnel.train import checkpoint
from windtunnel.train import loop as training_loop
from windtunnel.train.config.compose import compose
from windtunnel.train.config.config import RunConfig
from windtunnel.train.config.resolve import resolve
from windtunnel.train.errors import InputError
from windtunnel.train.fleet import Fleet
from windtunnel.train.interruption import Interruption
from windtunnel.train.records import read_metrics, read_record
from windtunnel.train.run import run_folder, train_runs


def metrics(config: RunConfig) -> bytes:
    return (run_folder(config) / "metrics.jsonl").read_bytes()


def final_tensors(config: RunConfig) -> dict[str, bytes]:
    tensors = checkpoint.find(run_folder(config))[-1].load()
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def train(*configs: RunConfig) -> None:
    train_runs(configs, show_progress=False)


def train_branch(trunk: RunConfig, step: int) -> RunConfig:
    overrides = [
        f"branch_from={run_folder(trunk).name}@{step}",
        "schedule=decay",
        "schedule.decay_fraction=0.25",
        "logging.wandb=off",
        f"runtime.runs_directory={trunk.runtime.runs_directory}",
        f"runtime.data_directory={trunk.runtime.data_directory}",
    ]
    branch, parent = resolve(compose(overrides), overrides, progress=lambda message: None)
    train_runs([branch], parent=parent, show_progress=False)
    return branch


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch):
    """Make the next training stop as if interrupted during update number `step`."""

    def arrange(step: int) -> None:
        original = Fleet.step
        seen: list[Interruption] = []
        enter = Interruption.__enter__

        def note(self: Interruption) -> Interruption:
            seen.append(self)
            return enter(self)

        def stopping(self: Fleet, number: int, batches):
            if number == step:
                seen[-1].stop = True
                monkeypatch.setattr(Fleet, "step", original)
            return original(self, number, batches)

        monkeypatch.setattr(Interruption, "__enter__", note)
        monkeypatch.setattr(Fleet, "step", stopping)

    return arrange


@pytest.mark.slow
@pytest.mark.parametrize("step", [0, 3, 5, 17, 31, 38])
def test_resume_is_bitwise_at_any_step(configure, stop_after, step: int) -> None:
    undisturbed, resumed = configure(runs="undisturbed"), configure(runs="resumed")
    train(undisturbed)
    stop_after(step)
    train(resumed)
    assert read_record(run_folder(resumed))["status"] == "preempted"
    assert len(metrics(resumed)) < len(metrics(undisturbed))
    train(resumed)
    assert metrics(resumed) == metrics(undisturbed)
    assert final_tensors(resumed) == final_tensors(undisturbed)


@pytest.mark.slow
def test_resumed_curve_keeps_its_interval(configure, stop_after) -> None:
    undisturbed = configure(runs="undisturbed")
    train(undisturbed)
    stop_after(17)
    train(configure(runs="resumed"))
    train(configure("logging.every_steps=5", runs="resumed"))
    assert metrics(configure(runs="resumed")) == metrics(undisturbed)


@pytest.mark.slow
def test_resume_survives_a_damaged_checkpoint(configure, stop_after, capsys) -> None:
    config, undisturbed = configure("runtime.keep_checkpoints=2"), configure(runs="undisturbed")
    train(undisturbed)
    for step in (10, 20):
        stop_after(step)
        train(config)
    newest = checkpoint.find(run_folder(config))[-1]
    newest.path.write_bytes(newest.path.read_bytes()[:-1])
    train(config)
    assert "does not match the hash" in capsys.readouterr().out
    assert metrics(config) == metrics(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("step", [16, 18, 24])
def test_branch_is_bitwise_the_run_from_scratch(configure, step: int) -> None:
    trunk = configure("schedule=constant", f"logging.checkpoint_steps=[{step}]", "horizon.steps=30", runs="branched")
    train(trunk)
    branch = train_branch(trunk, step)

    total = branch.schedule.total_steps
    assert total == round(step / 0.75)
    scratch = configure(f"horizon.steps={total}", "schedule.decay_fraction=0.25", runs="scratch")
    train(scratch)
    assert scratch.schedule == branch.schedule
    assert run_folder(scratch).name == run_folder(branch).name
    assert metrics(branch) == metrics(scratch)
    assert final_tensors(branch) == final_tensors(scratch)
    assert read_record(run_folder(branch))["lineage"] == {"parent": run_folder(trunk).name, "step": step}
    assert read_record(run_folder(scratch))["lineage"] is None


@pytest.mark.slow
def test_branch_from_the_end_of_a_trunk_between_rows(configure) -> None:
    trunk = configure("schedule=constant", "horizon.steps=18", runs="branched")  # lines every 4: its last is incomplete
    train(trunk)
    assert read_metrics(run_folder(trunk), "train")[-1]["step"] == 18
    branch = train_branch(trunk, 18)
    scratch = configure("horizon.steps=24", "schedule.decay_fraction=0.25", runs="scratch")
    train(scratch)
    assert metrics(branch) == metrics(scratch)


@pytest.mark.slow
def test_member_does_not_depend_on_its_companions(configure) -> None:
    def member(runs: str, seed: int, rate: float, *overrides: str) -> RunConfig:
        return configure(f"seed={seed}", f"optimizer.rate={rate}", *overrides, runs=runs)

    kinds = [(0, 6e-3, "schedule=wsd"), (1, 2e-2, "schedule=cosine"), (2, 1e-3, "schedule=linear")]
    together = [member("together", *kind) for kind in kinds]
    train(*together)
    for config, kind in zip(together, kinds, strict=True):
        alone = member("alone", *kind)
        train(alone)
        assert metrics(alone) == metrics(config)
        assert final_tensors(alone) == final_tensors(config)


@pytest.mark.slow
def test_diverged_member_does_not_change_its_companions(configure) -> None:
    wild, tame = configure("optimizer.rate=1e20", runs="together"), configure("seed=1", runs="together")
    train(wild, tame)
    record = read_record(run_folder(wild))
    assert record["status"] == "diverged"
    assert 1 < record["result"]["diverged_at_step"] < 40
    alone = configure("seed=1", runs="alone")
    train(alone)
    assert metrics(alone) == metrics(tame)
    assert read_record(run_folder(tame))["status"] == "finished"


@pytest.mark.slow
def test_fleet_resumes_bitwise(configure, stop_after) -> None:
    undisturbed = [configure(f"seed={seed}", runs="undisturbed") for seed in (0, 1)]
    resumed = [configure(f"seed={seed}", runs="resumed") for seed in (0, 1)]
    train(*undisturbed)
    stop_after(13)
    train(*resumed)
    train(*resumed)
    assert [metrics(config) for config in resumed] == [metrics(config) for config in undisturbed]


@pytest.mark.slow
def test_time_of_writing_changes_nothing(configure, monkeypatch: pytest.MonkeyPatch) -> None:
    lazy, eager = configure(runs="lazy"), configure("runtime.checkpoint_seconds=0", runs="eager")
    train(lazy)
    monkeypatch.setattr(training_loop, "FLUSH_SECONDS", 0.0)
    train(eager)
    assert metrics(lazy) == metrics(eager)


def test_fleet_members_must_have_one_shape(configure) -> None:
    config = configure()
    wider = replace(config, model=replace(config.model, width=32))
    with pytest.raises(InputError, match="differ only in rate, schedule and seed"):
        Fleet([config, wider], None, None)  # type: ignore[arg-type]


@pytest.mark.slow
def test_incomplete_curve_is_trained_again(configure, stop_after, capsys) -> None:
    undisturbed, incomplete = configure(runs="undisturbed"), configure(runs="incomplete")
    train(undisturbed)
    stop_after(25)
    train(incomplete)
    path = run_folder(incomplete) / "metrics.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    train(incomplete)
    assert "ends before the checkpoint" in capsys.readouterr().out
    assert metrics(incomplete) == metrics(undisturbed)


def test_damaged_checkpoint_is_deleted_on_resume(configure, stop_after) -> None:
    config = configure()
    stop_after(30)
    train(config)
    (newest,) = checkpoint.find(run_folder(config))
    newest.path.write_bytes(newest.path.read_bytes()[:-1])
    stop_after(10)
    train(config)
    assert [saved.step for saved in checkpoint.find(run_folder(config))] == [11]


@pytest.mark.slow
def test_invalid_fleet_changes_no_file(configure, stop_after) -> None:
    config, other = configure(), configure("size.width=24")
    stop_after(17)
    train(config)
    before = {path: path.read_bytes() for path in run_folder(config).rglob("*") if path.is_file()}
    with pytest.raises(InputError, match="differ only in rate, schedule and seed"):
        train(config, other)
    with pytest.raises(InputError, match="has one run twice"):
        train(config, config)
    assert {path: path.read_bytes() for path in run_folder(config).rglob("*") if path.is_file()} == before
    assert not run_folder(other).exists()


def test_edited_parent_and_other_data_are_input_errors(configure) -> None:
    trunk = configure("schedule=constant", "horizon.steps=20")
    train(trunk)
    record = json.loads((run_folder(trunk) / "run.json").read_text())
    record["config"]["optimizer"]["rate"] = 0.5
    (run_folder(trunk) / "run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="its configuration is not the one that was trained"):
        train_branch(trunk, 20)
    with pytest.raises(InputError, match="not the data of this run"):
        train(replace(trunk, data=replace(trunk.data, content_hash="0" * 64)))


def test_finished_run_is_left_alone_without_its_data(configure, tmp_path) -> None:
    config = configure("horizon.steps=20")
    train(config)
    moved = replace(config, runtime=replace(config.runtime, data_directory=str(tmp_path / "gone"), device="cuda"))
    (outcome,) = train_runs([moved], show_progress=False)
    assert not outcome.trained
