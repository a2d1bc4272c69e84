"""A fake Kie that the commands are given, as a server that threads serve."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from .commands import KEY, PNG, RUNNING


class FakeKie:
    """Answers creates, questions and downloads; counts creates, which is what costs money."""

    def __init__(self):
        self.creates = 0
        self.asked = []
        self.refusal = None
        self.record = RUNNING
        self.records = {}
        self.file = PNG
        self.arrived, self.go_on = threading.Event(), threading.Event()
        self.go_on.set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                server.creates += 1
                number = server.creates
                server.arrived.set()
                server.go_on.wait(20)
                self.say(server.refusal or {"code": 200, "msg": "success", "data": {"taskId": f"t{number}"}})

            def do_GET(self):
                if self.path.startswith("/files/"):
                    self.say(server.file, 200 if server.file else 404)
                    return
                task = self.path.rpartition("taskId=")[2]
                server.asked.append(task)
                record = server.records.get(task, server.record)
                if record.get("state") == "succeeded":
                    record = {**record, "urls": [f"{server.url}/files/{task}.png"]}
                self.say(record if "code" in record else {"code": 200, "msg": "success", "data": record})

            def say(self, body, status=200):
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def fake(acme, monkeypatch):
    made = FakeKie()
    thread = threading.Thread(target=lambda: made.server.serve_forever(poll_interval=0.02))
    thread.start()
    monkeypatch.setenv("KIE_BASE_URL", made.url)
    monkeypatch.setenv("KIE_API_KEY", KEY)
    monkeypatch.setenv("KIE_CREATES_PER_10_SECONDS", "10000")
    yield made
    made.go_on.set()
    made.server.shutdown()
    thread.join()
    made.server.server_close()
