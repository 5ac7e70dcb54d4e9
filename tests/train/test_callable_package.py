"""`windtunnel.train` is a package with modules and a function of the public API."""

import subprocess
import sys

import pytest

import windtunnel as wt
import windtunnel.train.records
from windtunnel.train.records import read_record


def test_call_trains_one_run(arguments, capsys: pytest.CaptureFixture[str]) -> None:
    run = wt.train(*arguments("horizon.steps=20"), show_progress=False)
    assert run.status == "finished"
    assert run.loss == read_record(run.folder)["result"]["validation_nats_per_token"]
    assert wt.train(*arguments("horizon.steps=20")).record == run.record  # finished before
    assert capsys.readouterr() == ("", "")


def test_package_and_function_are_one_object() -> None:
    from windtunnel import train

    assert wt.train is train is windtunnel.train is sys.modules["windtunnel.train"]
    assert sys.modules["windtunnel.train.records"].read_record is read_record


def test_dry_run_is_an_input_error(arguments) -> None:
    with pytest.raises(wt.InputError, match=r"dry_run=true: wt\.train has no dry run; .*wt\.Study\(\.\.\.\)\.plan"):
        wt.train(*arguments("dry_run=true"))


def test_package_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, windtunnel.train; sys.exit(bool({'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
