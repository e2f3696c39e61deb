"""HTTP as a test wants it: a keep-alive client that never hides an answer, and raw sockets for everything rude."""

import http.client
import json
import socket
import time

request_timeout_seconds = 30.0


class Response:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.header_list = list(headers)
        self.body = body

    def json(self):
        return json.loads(self.body)

    def header(self, name, default=None):
        return self.headers.get(name.lower(), default)

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Client:
    """One connection, reopened when it is gone. Not for several threads: give each its own."""

    def __init__(self, host, port, timeout=request_timeout_seconds):
        self.host, self.port, self.timeout = host, port, timeout
        self.connection = None

    def request(self, method, path, body=None, headers=None):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
            self.connection.connect()
            self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            try:
                self.connection.request(method, path, body=body, headers=headers or {})
            except (BrokenPipeError, ConnectionResetError):
                pass  # a server may refuse and close before it has read everything: its answer is what counts
            answer = self.connection.getresponse()
            response = Response(answer.status, answer.getheaders(), answer.read())
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if answer.will_close:
            self.close()
        return response

    def get(self, path, headers=None):
        return self.request("GET", path, headers=headers)

    def post_json(self, path, value, headers=None):
        return self.post_raw(path, json.dumps(value), headers)

    def post_raw(self, path, body, headers=None):
        if isinstance(body, str):
            body = body.encode()
        return self.request("POST", path, body, {"Content-Type": "application/json", **(headers or {})})

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class RawConnection:
    """Bytes out, bytes in. Reads have one deadline for the whole answer, so a trickling server cannot hold a test."""

    def __init__(self, host, port, timeout=10.0):
        self.socket = socket.create_connection((host, port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self.buffer = b""

    def send(self, data):
        """False when the peer is already gone: for a server that refuses early that is a legal outcome."""
        try:
            self.socket.settimeout(self.timeout)
            self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)
            return True
        except OSError:
            return False

    def finish_sending(self):
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _fill(self, deadline):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise TimeoutError("no complete answer in time; so far: %r" % self.buffer[:500])
        self.socket.settimeout(remaining)
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return False
        except TimeoutError:
            raise TimeoutError("no complete answer in time; so far: %r" % self.buffer[:500]) from None
        self.buffer += data
        return bool(data)

    def read_response(self, timeout=None):
        """The next response, or None when the server closed without one. 1xx responses are returned too."""
        deadline = time.monotonic() + (timeout or self.timeout)
        while b"\r\n\r\n" not in self.buffer:
            if not self._fill(deadline):
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        while len(self.buffer) < length:
            if not self._fill(deadline):
                break
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return Response(status, headers, body)

    def read_to_end(self, timeout=None):
        """True when the server closes the connection in time; what it still sent is in `buffer`."""
        deadline = time.monotonic() + (timeout or self.timeout)
        try:
            while self._fill(deadline):
                pass
            return True
        except TimeoutError:
            return False

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
