"""A reader of GET /events/stream that comes back where it was, as a browser does."""

import json
import socket
import threading
import time

patience_seconds = 90


class Follower:
    """Reads server-sent events on a thread and comes back with its Last-Event-ID, as a browser does."""

    def __init__(self, address, last_id=None):
        self.address, self.last_id = address, last_id
        self.ids, self.events, self.connections, self.comments = [], [], 0, 0
        self.status, self.head = None, ""
        self.stopping = False
        self.opened = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def close(self):
        self.stopping = True
        self.thread.join(patience_seconds)

    def _run(self):
        while not self.stopping:
            try:
                self._follow()
            except OSError:
                pass
            time.sleep(0.02)

    def _follow(self):
        with socket.create_connection(("127.0.0.1", self.address()), timeout=5) as connection:
            header = f"Last-Event-ID: {self.last_id}\r\n" if self.last_id else ""
            connection.sendall(f"GET /events/stream HTTP/1.1\r\nHost: polis\r\n{header}\r\n".encode())
            connection.settimeout(0.2)
            buffer, head_done = b"", False
            while not self.stopping:
                try:
                    data = connection.recv(65536)
                except TimeoutError:
                    continue
                if not data:
                    return
                buffer += data
                if not head_done:
                    if b"\r\n\r\n" not in buffer:
                        continue
                    head, buffer = buffer.split(b"\r\n\r\n", 1)
                    self.head, head_done = head.decode(), True
                    self.status = int(self.head.split(" ")[1])
                    if self.status != 200:
                        return
                    self.connections += 1
                    self.opened.set()
                *frames, buffer = buffer.split(b"\n\n")
                for frame in frames:
                    self._take(frame.decode())

    def _take(self, frame):
        fields = dict(line.split(": ", 1) for line in frame.split("\n") if not line.startswith((":", "retry")))
        if "data" not in fields:
            self.comments += 1
            return
        event = json.loads(fields["data"])
        assert event["id"] == fields["id"]
        self.last_id = event["id"]
        self.ids.append(event["id"])
        self.events.append(event)
