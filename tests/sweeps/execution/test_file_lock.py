"""The lock of a folder: exclusive, and released when its process is killed."""

import subprocess
import sys
from pathlib import Path

import pytest

from windtunnel.sweeps.execution.file_lock import exclusive_lock
from windtunnel.train.errors import InputError

HOLD = """
import sys, time
from pathlib import Path
from windtunnel.sweeps.execution.file_lock import exclusive_lock
with exclusive_lock(Path(sys.argv[1]), 0.0, "busy"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_lock_is_exclusive_and_released_by_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(InputError, match=r"^the folder is busy$"), exclusive_lock(path, 0.2, "the folder is busy"):
            pass
        process.kill()
    with exclusive_lock(path, 0.0, "busy"):
        pass
