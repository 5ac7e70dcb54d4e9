"""`wandb:ENTITY/PROJECT` against a server that answers as little of W&B as is needed, and without one."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.run_records import record, write
from windtunnel.analysis.tables.table import load_table
from windtunnel.train.errors import InputError

KEY = "0123456789012345678901234567890123456789"


class Server(ThreadingHTTPServer):
    """A W&B with one project, `entity/project`."""

    runs: list[dict[str, Any]]
    block_on_close = True


class Answer(BaseHTTPRequestHandler):
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
                "cursor": str(place),
                "node": {
                    **nothing,
                    "id": str(place),
                    "name": each["id"],
                    "displayName": each["id"],
                    "state": each["state"],
                    "config": json.dumps({name: {"value": value} for name, value in each["config"].items()}),
                    "summaryMetrics": json.dumps(each["summary"]),
                    "systemMetrics": "{}",
                    "historyLineCount": 0,
                    "user": {"name": "u", "username": "u"},
                    "historyKeys": None,
                },
            }
            for place, each in enumerate(self.server.runs)
        ]
        page = {"endCursor": None, "hasNextPage": False}
        return {"internalId": "1", "runCount": len(edges), "runs": {"edges": edges, "pageInfo": page}}

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answer) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{found.server_port}")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.delenv("WANDB_MODE")
        yield found
        found.shutdown()
        thread.join()


def mirrored(content: dict[str, Any]) -> dict[str, Any]:
    """A run record as the mirror puts it into W&B."""
    beside = ("run_id", "scientific_hash", "counts", "lineage")
    config = {**content["config"], "corpus": content["data"], **{name: content[name] for name in beside}}
    summary = {"status": content["status"], **(content["result"] or {}), **content["performance"]}
    return {"id": content["run_id"], "state": "finished", "config": config, "summary": summary}


def test_a_mirror_is_the_table_of_its_records(server: Server, tmp_path: Path) -> None:
    contents = [record(width=width, seed=seed, loss=3.0 + seed / 10) for width in (32, 64) for seed in (0, 1)]
    contents += [record(steps=3000, status="diverged"), record(steps=4000, shape="constant")]
    server.runs = [mirrored(content) for content in contents]
    for content in contents:
        write(tmp_path, content)
    found, records = load_table("wandb:entity/project"), load_table(tmp_path)
    assert found.digest == records.digest
    assert sorted(each.reason for each in found.excluded) == sorted(each.reason for each in records.excluded)


def test_any_project_is_read_by_its_own_names(server: Server) -> None:
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
    assert {each.run: each.reason for each in table.excluded} == {
        "run r1": "not finished: crashed",
        "run r2": "it ended in NaN",
    }


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("wandb:entity", "write wandb:ENTITY/PROJECT"),
        ("wandb:entity/project/more", "write wandb:ENTITY/PROJECT"),
        ("wandb:entity/nothing", "W&B does not answer: .*Could not find project nothing.*check the name"),
        ("wandb:entity/project", "the project has no runs"),
    ],
)
def test_a_wrong_name_is_one_line(server: Server, source: str, said: str) -> None:
    server.runs = []
    with pytest.raises(InputError, match=said) as refused:
        load_table(source)
    assert "\n" not in str(refused.value)


def test_no_network_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr("windtunnel.analysis.tables.from_wandb.TIMEOUT_SECONDS", 1)
    with pytest.raises(InputError, match="wandb:entity/project: W&B does not answer: ") as refused:
        load_table("wandb:entity/project")
    assert "\n" not in str(refused.value)
