"""A local server that replaces W&B for tests, and a push as a process that uses it."""

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KEY = "0123456789012345678901234567890123456789"


@dataclass
class Arrived:
    """The uploaded run: how it was created, its history by line, its summary, its files by name."""

    created: dict[str, Any] = field(default_factory=dict)
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    complete: bool | None = None
    exit_code: int | None = None
    files: dict[str, bytes] = field(default_factory=dict)


class StandIn:
    """The part of W&B's server that a run needs. It accepts every run and keeps its uploads."""

    def __init__(self) -> None:
        self.runs: dict[str, Arrived] = {}
        self.artifacts: dict[str, dict[str, Any]] = {}
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                self.reply(stand_in.answer(self.path, body))

            do_PUT = do_POST
            do_GET = do_POST

            def reply(self, answer: dict[str, Any]) -> None:
                data = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def rows(self) -> dict[int, dict[str, Any]]:
        """The history of the only run."""
        return next((run.rows for run in self.runs.values()), {})

    @property
    def complete(self) -> bool | None:
        return next((run.complete for run in self.runs.values()), None)

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        if path == "/graphql":
            query = json.loads(body)
            return {"data": self.answer_query(query["query"], query.get("variables") or {})}
        parts = path.split("/")
        if path.endswith("/file_stream"):
            self.receive(self.runs.setdefault(parts[-2], Arrived()), json.loads(body))
        elif parts[1] == "upload":
            self.runs.setdefault(parts[2], Arrived()).files["/".join(parts[3:])] = body
        return {}

    def receive(self, run: Arrived, stream: dict[str, Any]) -> None:
        for name, chunk in stream.get("files", {}).items():
            lines = dict(enumerate(map(json.loads, chunk["content"]), start=chunk["offset"]))
            if name == "wandb-history.jsonl":
                run.rows.update(lines)
            elif name == "wandb-summary.json":
                run.summary = lines[0]
        run.complete = stream.get("complete") or run.complete
        run.exit_code = stream.get("exitcode", run.exit_code)

    def answer_query(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "upsertBucket" in query:
            name = variables.get("name")
            if name is not None:
                run = self.runs.setdefault(name, Arrived())
                run.created |= {key: value for key, value in variables.items() if value is not None}
            project = {"name": "windtunnel", "entity": {"name": "me"}}
            bucket = {"id": "b", "name": name, "displayName": "", "project": project}
            return {"upsertBucket": {"bucket": bucket, "inserted": True}}
        if "createRunFiles" in query:
            run_id = variables["run"]
            files = [
                {"name": name, "uploadUrl": f"{self.address}/upload/{run_id}/{name}"} for name in variables["files"]
            ]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        if "viewer" in query:
            return {
                "viewer": {
                    "id": "v",
                    "entity": "me",
                    "username": "me",
                    "email": "",
                    "flags": "{}",
                    "teams": {"edges": []},
                }
            }
        if "artifactType" in query:  # whether the name exists with another type
            return {"project": {"artifact": None}}
        if "createArtifact(" in query:
            artifact = {"id": "a", "state": "PENDING", "artifactSequence": {"latestArtifact": None}}
            return {"createArtifact": {"artifact": artifact}}
        if "createArtifactManifest(" in query or "updateArtifactManifest(" in query:
            verb = "createArtifactManifest" if "createArtifactManifest(" in query else "updateArtifactManifest"
            file = {"id": "f", "uploadUrl": f"{self.address}/upload/artifacts/manifest", "uploadHeaders": []}
            return {verb: {"artifactManifest": {"id": "m", "file": file}}}
        if "createArtifactFiles(" in query:
            names = [each["name"] for each in variables["input"]["artifactFiles"]]
            nodes = [
                {
                    "storagePath": name,
                    "uploadUrl": f"{self.address}/upload/artifacts/{name}",
                    "uploadHeaders": [],
                    "artifact": {"id": "a"},
                }
                for name in names
            ]
            return {"createArtifactFiles": {"files": {"edges": [{"node": node} for node in nodes]}}}
        if "commitArtifact(" in query:
            return {"commitArtifact": {"artifact": {"id": "a", "digest": "d"}}}
        return {}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Mirror:
    """A push as a process, online at `address`, with some constants of the mirror changed: `main` of `module` with
    `words`, for `windtunnel.sweeps.cli.main` those of the verb.
    """

    def __init__(
        self, module: str, words: Sequence[str | Path], directory: Path, address: str, **constants: float
    ) -> None:
        constants = {"POLL_SECONDS": 0.05, "UPLOAD_SECONDS": 1.0, **constants}
        places = {name: "mirror" if name == "POLL_SECONDS" else "run" for name in constants}
        changes = "".join(f"{places[name]}.{name} = {value};" for name, value in constants.items())
        code = (
            f"import sys, {module} as module; "
            f"from windtunnel.train.tracking import wandb_mirror as mirror, wandb_run as run; {changes} "
            "sys.exit(module.main(sys.argv[1:]))"
        )
        command = [sys.executable, "-P", "-c", code, *map(str, words), "--directory", str(directory)]
        environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
        self.process = subprocess.Popen(
            [*command, "--mode", "online"],
            env={**environment, "WANDB_BASE_URL": address, "WANDB_API_KEY": KEY},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> "Mirror":
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def finished(self, seconds: float = 30.0) -> tuple[int, str, str]:
        out, error = self.process.communicate(timeout=seconds)
        return self.process.returncode, out, error


def wait_until(condition: Any, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition is not met"
        time.sleep(0.05)
