"""W&B projects as tables, read from a local server with the part of the W&B API that is needed, and without it."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.run_records import record, write
from windtunnel.analysis.tables.load import load_table
from windtunnel.train.errors import InputError

KEY = "0123456789012345678901234567890123456789"


class Server(ThreadingHTTPServer):
    """A W&B with one project, `entity/project`."""

    runs: list[dict[str, Any]]
    block_on_close = True


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        data: dict[str, Any] = {"viewer": {"id": "1", "entity": "entity", "username": "u", "email": "m", "flags": "{}"}}
        data["viewer"]["teams"] = {"edges": []}
        if self.path == "/graphql" and "Runs(" in json.loads(body)["query"]:
            known = json.loads(body)["variables"]["project"] == "project"
            data = {"project": self.project() if known else None}
        content = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def project(self) -> dict[str, Any]:
        nothing = {"tags": [], "group": None, "readOnly": False, "createdAt": "2026-01-01T00:00:00"}
        edges = [
            {
                "cursor": str(index),
                "node": {
                    **nothing,
                    "id": str(index),
                    "name": run["id"],
                    "displayName": run["id"],
                    "state": run["state"],
                    "config": json.dumps({name: {"value": value} for name, value in run["config"].items()}),
                    "summaryMetrics": json.dumps(run["summary"]),
                    "systemMetrics": "{}",
                    "historyLineCount": 0,
                    "user": {"name": "u", "username": "u"},
                    "historyKeys": None,
                },
            }
            for index, run in enumerate(self.server.runs)
        ]
        page = {"endCursor": None, "hasNextPage": False}
        return {"internalId": "1", "runCount": len(edges), "runs": {"edges": edges, "pageInfo": page}}

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.delenv("WANDB_MODE")
        yield server
        server.shutdown()
        thread.join()


def mirrored(content: dict[str, Any]) -> dict[str, Any]:
    """A run record as windtunnel writes it to W&B."""
    fields = ("run_id", "scientific_hash", "counts", "lineage")
    config = {**content["config"], "corpus": content["data"], **{name: content[name] for name in fields}}
    summary = {"status": content["status"], **(content["result"] or {}), **content["performance"]}
    return {"id": content["run_id"], "state": "finished", "config": config, "summary": summary}


@pytest.mark.slow
def test_mirrored_project_gives_the_table_of_its_records(server: Server, tmp_path: Path) -> None:
    contents = [record(width=width, seed=seed, loss=3.0 + seed / 10) for width in (32, 64) for seed in (0, 1)]
    contents += [record(steps=3000, status="diverged"), record(steps=4000, shape="constant")]
    server.runs = [mirrored(content) for content in contents]
    for content in contents:
        write(tmp_path, content)
    mirror, records = load_table("wandb:entity/project"), load_table(tmp_path)
    assert mirror.digest == records.digest
    assert sorted(row.reason for row in mirror.excluded) == sorted(row.reason for row in records.excluded)


@pytest.mark.slow
def test_other_project_is_read_by_its_own_names(server: Server) -> None:
    server.runs = [
        {
            "id": f"r{place}",
            "state": state,
            "config": {"model": {"params": 1e6 * (place + 1)}, "note": "x"},
            "summary": {"tokens": 2e7, "val/loss": loss, "_runtime": 1},
        }
        for place, (state, loss) in enumerate([("finished", 3.5), ("crashed", 9.0), ("finished", "NaN")])
    ]
    columns = "N=`model.params`,D=tokens,loss=`val/loss`"
    with pytest.raises(InputError, match="run r2, column loss is missing or not a number"):
        load_table("wandb:entity/project", columns=columns)
    table = load_table("wandb:entity/project", columns=columns, exclude=["r2=it ended in NaN"])
    assert (table.columns["N"].tolist(), table.columns["loss"].tolist()) == ([1e6], [3.5])
    assert {row.run: row.reason for row in table.excluded} == {
        "run r1": "not finished: crashed",
        "run r2": "it ended in NaN",
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("wandb:entity", "write wandb:ENTITY/PROJECT"),
        ("wandb:entity/project/more", "write wandb:ENTITY/PROJECT"),
        ("wandb:entity/nothing", "W&B does not answer: .*Could not find project nothing.*check the name"),
        ("wandb:entity/project", "the project has no runs"),
    ],
)
def test_invalid_name_is_a_one_line_error(server: Server, source: str, message: str) -> None:
    server.runs = []
    with pytest.raises(InputError, match=message) as error:
        load_table(source)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_missing_network_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr("windtunnel.analysis.tables.from_wandb.TIMEOUT_SECONDS", 1)
    with pytest.raises(InputError, match="wandb:entity/project: W&B does not answer: ") as error:
        load_table("wandb:entity/project")
    assert "\n" not in str(error.value)
