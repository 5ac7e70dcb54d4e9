"""A private one-node SLURM for tests, started and stopped by the scripts in `tests/slurm/`, queried with `scontrol`.

Tests take the `slurm` fixture (conftest.py) and mark themselves `pytest.mark.xdist_group("slurm")`, so that under
`pytest -n ... --dist loadgroup` only one worker starts a cluster. Windtunnel itself uses any SLURM on PATH.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "slurm"
DAEMONS = ("munged", "slurmctld", "slurmd")
PROGRAMS = ("sbatch", "srun", "scontrol", "squeue", "scancel", "sinfo")
SYSTEM_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def reason_unavailable() -> str | None:
    """Why no cluster can be started here, in one line, or None."""
    missing = [name for name in (*DAEMONS, *PROGRAMS) if shutil.which(name, path=SYSTEM_PATH) is None]
    if missing:
        packages = "slurm-wlm slurmd slurmctld munge slurm-client"
        return f"SLURM is not installed (no {', '.join(missing)}): apt-get install {packages}"
    if os.geteuid() != 0:
        return "a private SLURM needs root: its node runs jobs as their owner and makes device files"
    return None


@dataclass(frozen=True)
class SlurmCluster:
    """A running cluster. `env` is the whole environment in which SLURM's programs, and submitit, find it."""

    folder: Path
    env: dict[str, str]

    def run(self, *command: str, timeout: float = 30.0) -> str:
        """Standard output of a command in the cluster's environment; AssertionError if it fails."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise AssertionError(f"{' '.join(command)} failed with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    def submit(self, *arguments: str) -> int:
        """Job of `sbatch arguments...`."""
        return int(self.run("sbatch", "--parsable", *arguments).split(";")[0])

    def job(self, job: int | str) -> dict[str, str]:
        """Fields of a job as `scontrol show job` names them (JobState, Reason, Restarts, ExitCode, ...)."""
        shown = self.run("scontrol", "show", "job", "-o", str(job)).splitlines()[0]
        return dict(re.findall(r"(\S+?)=(\S*)", shown))

    def state(self, job: int | str) -> str:
        return self.job(job)["JobState"]

    def wait_for(self, job: int | str, states: str | Collection[str], seconds: float = 30.0) -> str:
        """Wait until the job is in one of `states` and return it; AssertionError after `seconds`."""
        wanted = {states} if isinstance(states, str) else set(states)
        deadline = time.monotonic() + seconds
        while (state := self.state(job)) not in wanted:
            if time.monotonic() > deadline:
                raise AssertionError(f"job {job} is {state} and not {wanted} after {seconds} s: {self.job(job)}")
            time.sleep(0.05)
        return state

    def start_now(self, job: int | str) -> None:
        """Lift the two minutes for which SLURM holds a requeued job back, but for the first two seconds: a job that
        starts anew in the second it was ended in is failed by SLURM ("credential revoked").
        """
        time.sleep(2.0)
        self.run("scontrol", "update", f"jobid={job}", "StartTime=now")

    def cancel_all(self) -> None:
        """Cancel every job and wait until the node is free."""
        self.run("scancel", "--quiet", f"--user={os.geteuid()}")
        deadline = time.monotonic() + 20.0
        while queued := self.run("squeue", "--noheader").strip():
            if time.monotonic() > deadline:
                raise AssertionError(f"jobs do not end: {queued}")
            time.sleep(0.1)


@contextmanager
def private_cluster() -> Iterator[SlurmCluster]:
    """A cluster with its own directory, ports and daemons, stopped and removed at the end."""
    # Sockets lie below the folder and must fit 108 bytes, so it is not one of pytest's, whose names grow.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        (folder / "bin").mkdir()
        (folder / "bin" / "sacct").symlink_to(SCRIPTS / "sacct_shim.py")
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))},
            "PATH": os.pathsep.join((str(folder / "bin"), SYSTEM_PATH)),
            "SLURM_CONF": str(folder / "slurm.conf"),
        }
        knobs = {name: value for name, value in os.environ.items() if name.startswith("SLURM_TEST_")}
        try:
            started = subprocess.run(
                [SCRIPTS / "start_slurm.sh", folder], env=env | knobs, capture_output=True, text=True, timeout=60
            )
            if started.returncode:
                raise RuntimeError(f"the private SLURM did not start:\n{started.stderr}")
            yield SlurmCluster(folder, env)
        finally:
            subprocess.run([SCRIPTS / "stop_slurm.sh", folder], env=env, check=True, capture_output=True, timeout=60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
