"""`windtunnel data prepare` prepares, prints a table, and writes JSON that holds the same."""

import argparse
import json
from pathlib import Path

import pytest

from windtunnel.sweeps.cli.data_prepare import add_arguments, run
from windtunnel.sweeps.cli.main import main
from windtunnel.train.data.manifest import load_manifest


def parse(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


def test_data_prepare_prints_the_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parse("synthetic:zipf-facts", "--token-budget", "20k", "--data", str(tmp_path))) == 0
    output = capsys.readouterr()
    for text in ("zipf-facts", "20,000", "1,053", "0.811963", "576", "none needed", str(tmp_path)):
        assert text in output.out
    assert "making 20,000 train tokens" in output.err


def test_data_prepare_json_is_the_manifest(texts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (
        "--vocabulary",
        "280",
        "--validation-fraction",
        "0.2",
        "--data",
        str(tmp_path),
        "--json",
        "-",
    )
    assert run(parse(f"text:{texts}/*.txt", *arguments)) == 0
    document = json.loads(capsys.readouterr().out)
    manifest = load_manifest(Path(document["folder"]))
    assert document["content_hash"] == manifest.content_hash
    assert document["domains"][0]["train_bytes_per_token"] == manifest.domains[0].train_bytes_per_token
    assert manifest.spec.validation_fraction == 0.2


def test_dry_run_prepares_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "plan.json"
    arguments = ("--dry-run", "--data", str(tmp_path / "data"), "--json", str(target))
    assert run(parse("speeches+plays", "--vocabulary", "4k", *arguments)) == 0
    assert "not prepared yet; vocabulary 4,000" in capsys.readouterr().out
    plan = json.loads(target.read_text())
    assert plan["prepared"] is False
    assert [domain["name"] for domain in plan["domains"]] == ["speeches", "plays"]
    assert not (tmp_path / "data").exists()


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["data", "prepare", "--help"])
    assert caught.value.code == 0
    assert "windtunnel data prepare synthetic:context-tree --token-budget 20M" in capsys.readouterr().out


def test_invalid_count_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("speeches", "--token-budget", "lots")
    assert caught.value.code == 2
    assert "'lots' is not a count" in capsys.readouterr().err
