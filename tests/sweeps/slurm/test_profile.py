"""Cluster profiles: the sbatch options that they become, and errors that name the line of a mistake."""

from pathlib import Path

import pytest

from windtunnel.sweeps.slurm.profile import load_profile, parse_profile
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


def test_profile_becomes_sbatch_options() -> None:
    assert parse_profile(PROFILE, Path("p.yaml")).options() == [
        "--partition=gpu",
        "--account=physics",
        "--mem=16G",
        "--cpus-per-task=2",
        "--gres=gpu:a100:2",
        "--constraint=h100",
        "--exclusive",
        "--nice=5",
    ]


def test_default_profile_leaves_resources_to_slurm() -> None:
    assert load_profile(None).options() == ["--cpus-per-task=1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("partition: a\nacount: b\n", "p.yaml:2: acount: no such key; there are partition, account, qos, gpus"),
        ("account: b\n\npartition: 5\n", "p.yaml:3: partition: Input should be a valid string"),
        ("gpus: many\n", "p.yaml:1: gpus: many: write a number, or a type and a number such as a100:1"),
        ("gpus: -1\n", "p.yaml:1: gpus: -1: write a number"),
        ("memory: lots\n", "p.yaml:1: memory: lots: write it as SLURM does, for example 8G"),
        (
            "qos: x\ngpus: 4\n",
            "p.yaml:2: gpus: a run trains on one GPU, so 4 leaves some idle; add workers: 4 or request",
        ),
        ("gpus: 2\nworkers: 1\n", "p.yaml:1: gpus: a run trains on one GPU"),
        (
            "time_minutes: 1\nsignal_seconds: 60\n",
            "p.yaml:1: time_minutes: 1 leaves no time to train",
        ),
        ("qos: x\nsbatch:\n  nice: 1\n  partition: a\n", "p.yaml:4: sbatch: partition: use the key partition"),
        ("sbatch:\n  array: 0-3\n", "p.yaml:2: sbatch: array: use the key most_tasks and at_once"),
        ("sbatch:\n  requeue: true\n", "p.yaml:2: sbatch: requeue: windtunnel sets it; leave it out"),
        ("sbatch: {--nice: 1}\n", "p.yaml:1: sbatch: --nice: write the long name of an sbatch option without its"),
        ("setup: [a\n", "p.yaml:2: not valid YAML"),
        ("setup: module load cuda\n", "p.yaml:1: setup: Input should be a valid list"),
        ("qos: a\nqos: b\n", "p.yaml:2: duplicate key 'qos'"),
        ("- gpu\n", "p.yaml: a cluster profile is a mapping such as `partition: gpu`"),
        ("", "p.yaml: a cluster profile is a mapping such as `partition: gpu`"),
        ("target_minutes: 0\n", "p.yaml:1: target_minutes: Input should be greater than 0"),
    ],
)
def test_mistake_names_its_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_profile(text, Path("p.yaml"))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_missing_profile_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml: no such file"):
        load_profile(tmp_path / "nowhere.yaml")
