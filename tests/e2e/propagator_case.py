"""What the tests of the propagator share: the program with its files, and receivers that misbehave."""

import json
import os
import pathlib
import socket
import tempfile
import threading
import time
import unittest
import shutil

from programs import run_program, wait_until
from harness import Process, RecordingSink

hang_limit_seconds = 60.0


class Propagator(Process):
    program_name = "polis-propagator"
    port_setting = "ADMIN_PORT"

    def lines(self):
        """The metrics lines so far, without the one that says that there is nothing yet."""
        return [line for line in self.logged("metrics") if "total" in line]

    def metric(self, name):
        """The value of one sample of /metrics, named with its labels."""
        with self.client() as client:
            text = client.get("/metrics").body.decode()
        for line in text.splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        return None


class RawReceiver:
    """Answers every request with bytes of the test's choice; None = never. `script(number, text)` is called once a request."""

    def __init__(self, script, tls=None):
        self.script, self.lock = script, threading.Lock()
        self.requests, self.connections = [], 0
        self.released = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.tls = tls
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            connection.settimeout(hang_limit_seconds)
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
            while self._one(connection):
                pass
        except OSError:
            pass
        finally:
            connection.close()

    def _one(self, connection):
        text = b""
        while b"\r\n\r\n" not in text:
            part = connection.recv(65536)
            if not part:
                return False
            text += part
        head, _, body = text.partition(b"\r\n\r\n")
        length = 0
        for line in head.decode("latin-1").split("\r\n")[1:]:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
        while len(body) < length:
            body += connection.recv(65536)
        with self.lock:
            number = len(self.requests)
            self.requests.append((time.monotonic(), head.decode("latin-1"), body))
        answer = self.script(number, head.decode("latin-1"))
        if answer is None:
            self.released.wait(hang_limit_seconds)
            return False
        connection.sendall(answer)
        # Without a length the end of the answer is the end of the connection.
        return b"ontent-Length" in answer and b"Content-Length: 999" not in answer

    def count(self):
        with self.lock:
            return len(self.requests)

    def close(self):
        self.released.set()
        self.listener.close()


def answer(status, headers="", body=b""):
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


class PropagatorCase(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="polis-e2e-propagator-"))
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def write(self, name, content):
        path = self.directory / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def payloads(self, *payloads):
        return self.write("payloads.json", list(payloads) or [{"event_type": "a", "event_payload": "b"}])

    def settings(self, receiver, **more):
        """A stream with a period below a second, which only the YAML file can have."""
        url = receiver if isinstance(receiver, str) else getattr(receiver, "url", None)
        if url is None:
            url = f"http://127.0.0.1:{receiver.port}/event"
        period = more.pop("period", 0.1)
        payloads = more.pop("payloads", None) or self.payloads()
        config = self.write(
            f"config-{time.monotonic_ns()}.yaml",
            f"propagator:\n  streams:\n    city:\n      period_seconds: {period}\n"
            f"      post_endpoint: '{url}'\n      payload_file: '{payloads}'\n",
        )
        return {"CONFIG_PATH": config, **more}

    def launch(self, receiver, *arguments, **more):
        process = Propagator(*arguments, **self.settings(receiver, **more))
        self.addCleanup(process.clean_up)
        return process

    def start(self, receiver, *arguments, **more):
        return self.launch(receiver, *arguments, **more).ready()

    def run_to_its_end(self, *arguments, **settings):
        settings.setdefault("ADMIN_PORT", 0)
        return run_program("polis-propagator", *arguments, **settings)

    def sink(self, script=None):
        sink = RecordingSink(script)
        self.addCleanup(sink.close)
        return sink

    def raw(self, script, tls=None):
        receiver = RawReceiver(script, tls)
        self.addCleanup(receiver.close)
        return receiver

    def unused_port(self):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            return probe.getsockname()[1]

    def wait_lines(self, process, count, deadline=20):
        return wait_until(
            lambda: process.lines() if len(process.lines()) >= count else None, deadline, f"{count} metrics lines"
        )

    def resident_kib(self, process):
        with open(f"/proc/{process.pid}/status") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1])
        raise AssertionError("no VmRSS")


def is_root():
    return os.geteuid() == 0
