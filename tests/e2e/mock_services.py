"""The three services that a task is split over, as stand-ins: revenue, rebates and specialty.

A test imports MockServices; `python3 mock_services.py [--host HOST]` serves them on ports 8001, 8002 and 8003 with the
delays of the original, every path on every port.
"""

import argparse
import collections
import http.server
import json
import random
import sys
import threading
import time
import uuid

# path -> (member of a result, its prefix, greatest amount, seconds)
services = {
    "/revenue": ("revenue_result", "Revenue-", 99.99, 1.0),
    "/rebates": ("rebate_result", "Rebate-", 49.99, 1.5),
    "/specialty": ("specialty_result", "Specialty-", 74.99, 2.0),
}


class Call:
    def __init__(self, path, headers, body):
        self.path, self.headers, self.body = path, headers, body
        self.began = time.monotonic()
        self.ended = None


class MockServices:
    """All paths on each of `ports` (0 = any free one). `script(path, number of the call to it)` may answer in their
    place: a (status, JSON) pair, "hang", "close", or None."""

    def __init__(self, ports=(0,), host="127.0.0.1", delay_factor=0.0, script=None):
        self.delay_factor = delay_factor
        self.script = script or (lambda path, number: None)
        self.lock = threading.Lock()
        self.calls = []
        self.counted = collections.Counter()  # calls by path
        self.released = threading.Event()
        self.servers = [self._server(host, port) for port in ports]
        self.ports = [server.server_address[1] for server in self.servers]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.ports[0]}{path}"

    def calls_of(self, path):
        with self.lock:
            return [call for call in self.calls if call.path == path]

    def close(self):
        self.released.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def _server(self, host, port):
        mock = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments):
                pass

            def do_GET(self):
                self.answer(200, {"status": "healthy"}) if self.path == "/health" else self.answer(404, {})

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                with mock.lock:
                    number = mock.counted[self.path]
                    mock.counted[self.path] += 1
                    mock.calls.append(call)
                scripted = mock.script(self.path, number)
                if scripted in ("hang", "close"):
                    if scripted == "hang":
                        mock.released.wait(60)
                    self.close_connection = True
                    return
                status, answer = scripted or mock.result(self.path, body)
                call.ended = time.monotonic()
                self.answer(status, answer)

            def answer(self, status, value):
                text = json.dumps(value).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    self.close_connection = True  # the caller has gone

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request, client_address):
                if not isinstance(sys.exc_info()[1], ConnectionError):  # a caller that was killed
                    super().handle_error(request, client_address)

        return Server((host, port), Handler)

    def result(self, path, body):
        if path not in services:
            return 404, {"detail": "Not Found"}
        member, prefix, greatest, seconds = services[path]
        self.released.wait(seconds * self.delay_factor)
        data = []
        for item in json.loads(body):
            if "scenario_id" not in item or "business_type_id" not in item:
                return 500, {"detail": "Error: 400: Missing required fields"}
            data.append(
                {
                    "scenario_id": item["scenario_id"],
                    "business_type_id": item["business_type_id"],
                    member: f"{prefix}{uuid.uuid4()}",
                    "amount": round(random.uniform(0, greatest), 2),
                }
            )
        return 200, {"status": "success", "data": data}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    MockServices((8001, 8002, 8003), parser.parse_args().host, delay_factor=1.0)
    print("mock services on ports 8001, 8002 and 8003", flush=True)
    threading.Event().wait()
