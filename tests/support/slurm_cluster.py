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
    """A running cluster. `env` is the complete environment for SLURM's programs and submitit."""

    folder: Path
    env: dict[str, str]

    def run(self, *command: str, timeout: float = 30.0) -> str:
        """Standard output of a command in the cluster's environment. Raises AssertionError if it fails."""
        result = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=timeout)
        if result.returncode:
            raise AssertionError(
                f"{' '.join(command)} failed with {result.returncode}: {result.stderr or result.stdout}"
            )
        return result.stdout

    def submit(self, *arguments: str) -> int:
        """The job id of `sbatch arguments...`."""
        return int(self.run("sbatch", "--parsable", *arguments).split(";")[0])

    def job(self, job: int | str) -> dict[str, str]:
        """Fields of a job from `scontrol show job` (JobState, Reason, Restarts, ExitCode, ...)."""
        shown = self.run("scontrol", "show", "job", "-o", str(job)).splitlines()[0]
        return dict(re.findall(r"(\S+?)=(\S*)", shown))

    def state(self, job: int | str) -> str:
        return self.job(job)["JobState"]

    def wait_for(self, job: int | str, states: str | Collection[str], seconds: float = 30.0) -> str:
        """Wait until the job is in one of `states`, and return it. Raises AssertionError after `seconds`."""
        expected = {states} if isinstance(states, str) else set(states)
        deadline = time.monotonic() + seconds
        while (state := self.state(job)) not in expected:
            if time.monotonic() > deadline:
                raise AssertionError(f"job {job} is {state}, not {expected}, after {seconds} s: {self.job(job)}")
            time.sleep(0.05)
        return state

    def start_now(self, job: int | str) -> None:
        """Start a requeued job after two seconds, instead of the two minutes that SLURM waits.

        SLURM fails a job that starts again within the second in which it ended ("credential revoked").
        """
        time.sleep(2.0)
        self.run("scontrol", "update", f"jobid={job}", "StartTime=now")

    def cancel_all(self) -> None:
        """Cancel every job and wait until the node is free."""
        self.run("scancel", "--quiet", f"--user={os.geteuid()}")
        deadline = time.monotonic() + 20.0
        while queued := self.run("squeue", "--noheader").strip():
            if time.monotonic() > deadline:
                raise AssertionError(f"jobs did not end: {queued}")
            time.sleep(0.1)


@contextmanager
def private_cluster() -> Iterator[SlurmCluster]:
    """A cluster with its own folder, ports and daemons, stopped and removed at the end."""
    # The folder has sockets, whose paths are limited to 108 bytes, so it is not in the long temporary path of pytest.
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    try:
        (folder / "bin").mkdir()
        (folder / "bin" / "sacct").symlink_to(SCRIPTS / "sacct_shim.py")
        env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))},
            "PATH": os.pathsep.join((str(folder / "bin"), SYSTEM_PATH)),
            "SLURM_CONF": str(folder / "slurm.conf"),
        }
        settings = {name: value for name, value in os.environ.items() if name.startswith("SLURM_TEST_")}
        try:
            started = subprocess.run(
                [SCRIPTS / "start_slurm.sh", folder], env=env | settings, capture_output=True, text=True, timeout=60
            )
            if started.returncode:
                raise RuntimeError(f"the private SLURM did not start:\n{started.stderr}")
            yield SlurmCluster(folder, env)
        finally:
            subprocess.run([SCRIPTS / "stop_slurm.sh", folder], env=env, check=True, capture_output=True, timeout=60)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
