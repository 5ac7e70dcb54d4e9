"""A server that answers as little of W&B as a run needs, and the mirror as a process that speaks to it."""

import contextlib
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

KEY = "0123456789012345678901234567890123456789"


class StandIn:
    """The part of W&B's server that a run needs: it grants every run and keeps the history that is streamed to it."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.complete: bool | None = None
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

    def answer(self, path: str, body: bytes) -> dict[str, Any]:
        if path == "/graphql":
            query = json.loads(body)
            project = {"name": "windtunnel", "entity": {"name": "me"}}
            bucket = {"id": "b", "name": query["variables"].get("name"), "displayName": "", "project": project}
            return {"data": {"upsertBucket": {"bucket": bucket, "inserted": True}, "createRunFiles": {"files": []}}}
        if path.endswith("/file_stream"):
            stream = json.loads(body)
            chunk = stream.get("files", {}).get("wandb-history.jsonl")
            if chunk:
                lines = enumerate(chunk["content"], start=chunk["offset"])
                self.rows.update({number: json.loads(line) for number, line in lines})
            self.complete = stream.get("complete") or self.complete
        return {}

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Mirror:
    """The mirror as a process, online at `address`, with some of the module's constants changed."""

    def __init__(self, folder: Path, directory: Path, address: str, *words: str, **constants: float) -> None:
        constants = {"POLL_SECONDS": 0.05, "UPLOAD_SECONDS": 1.0, **constants}
        changes = "".join(f"mirror.{name} = {value};" for name, value in constants.items())
        code = f"import sys, train.wandb_mirror as mirror; {changes} sys.exit(mirror.main())"
        command = [sys.executable, "-P", "-c", code, str(folder), "--directory", str(directory), "--mode", "online"]
        environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
        self.process = subprocess.Popen(
            [*command, *words],
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
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.05)
