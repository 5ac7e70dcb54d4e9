"""Cluster profiles: what they become on sbatch's command line, and mistakes that name their line."""

from pathlib import Path

import pytest

from windtunnel.sweeps.slurm.profile import load_cluster, parse_cluster
from windtunnel.train.errors import InputError

PROFILE = """
partition: gpu
account: physics
gpus: a100:2
workers: 2
memory: 16G
setup: [module load cuda]
sbatch: {constraint: h100, exclusive: true, nice: 5, reservation: false}
"""


def test_a_profile_is_options_of_sbatch() -> None:
    assert parse_cluster(PROFILE, Path("p.yaml")).options() == [
        "--partition=gpu",
        "--account=physics",
        "--mem=16G",
        "--cpus-per-task=2",
        "--gres=gpu:a100:2",
        "--constraint=h100",
        "--exclusive",
        "--nice=5",
    ]


def test_without_a_profile_slurm_decides() -> None:
    assert load_cluster(None).options() == ["--cpus-per-task=1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partition: a\nacount: b\n", "p.yaml:2: acount: no such key; there are partition, account, qos, gpus"),
        ("account: b\n\npartition: 5\n", "p.yaml:3: partition: Input should be a valid string"),
        ("gpus: many\n", "p.yaml:1: gpus: many: write a number, or a type and a number such as a100:1"),
        ("gpus: -1\n", "p.yaml:1: gpus: -1: write a number"),
        ("memory: lots\n", "p.yaml:1: memory: lots: write it as SLURM does, for example 8G"),
        ("qos: x\ngpus: 4\n", "p.yaml:2: gpus: a run trains on one GPU, so 4 leaves some idle; add workers: 4 or ask"),
        ("gpus: 2\nworkers: 1\n", "p.yaml:1: gpus: a run trains on one GPU"),
        (
            "time_minutes: 1\nsignal_seconds: 60\n",
            "p.yaml:1: time_minutes: 1 leaves no time to train",
        ),
        ("qos: x\nsbatch:\n  nice: 1\n  partition: a\n", "p.yaml:4: sbatch: partition: say it as partition"),
        ("sbatch:\n  array: 0-3\n", "p.yaml:2: sbatch: array: say it as most_tasks and at_once"),
        ("sbatch:\n  requeue: true\n", "p.yaml:2: sbatch: requeue: windtunnel sets it; leave it out"),
        ("sbatch: {--nice: 1}\n", "p.yaml:1: sbatch: --nice: write the long name of an option of sbatch without its"),
        ("setup: [a\n", "p.yaml:2: not YAML"),
        ("setup: module load cuda\n", "p.yaml:1: setup: Input should be a valid list"),
        ("qos: a\nqos: b\n", "p.yaml:2: qos stands here for the second time"),
        ("- gpu\n", "p.yaml: a cluster profile is a mapping such as `partition: gpu`"),
        ("", "p.yaml: a cluster profile is a mapping such as `partition: gpu`"),
        ("target_minutes: 0\n", "p.yaml:1: target_minutes: Input should be greater than 0"),
    ],
)
def test_a_mistake_names_its_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_cluster(text, Path("p.yaml"))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_profile_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml: no such file"):
        load_cluster(tmp_path / "nowhere.yaml")
