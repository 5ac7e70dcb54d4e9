"""Sealed predictions of the law `ADDITIVE` and runs at their target, for tests of predictions, seals and scores."""

import argparse
from pathlib import Path
from typing import Any

from tests.support.run_records import record
from tests.support.true_laws import AT
from windtunnel.analysis.fitting.result import Fit
from windtunnel.analysis.prediction.predict import predict
from windtunnel.analysis.prediction.seal import seal


def command(module: Any, *words: str) -> int:
    """The exit status of a verb, given its module and its command-line words."""
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    status: int = module.run(parser.parse_args(list(words)))
    return status


def write_csv(path: Path, rows: list[tuple[Any, ...]], header: str = "N,D,loss") -> str:
    path.write_text("\n".join([header, *(",".join(map(_text, row)) for row in rows)]) + "\n")
    return str(path)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(float(value))


def outcome(loss: float, N: float = AT["N"], D: float = AT["D"]) -> tuple[float, float, float]:
    return N, D, loss


def sealed_file(fitted: Fit, folder: Path, **changes: Any) -> Path:
    return seal(predict(fitted, AT), fitted, folder, **{"results": [], **changes})


def run_at_target(width: int, steps: int, **changes: Any) -> tuple[dict[str, Any], dict[str, float]]:
    run = record(width=width, steps=steps, **changes)
    return run, {"N": float(run["counts"]["parameters"]["total"]), "D": float(run["counts"]["tokens"])}
