"""Stands in front of the schema registry: forwards every request, and counts the paths that were asked for.

The registry keeps its schemas in memory, so after a restart it knows nothing until they are registered anew. The gate
stays shut until then; who asks in the meantime finds nobody listening, as with a registry that is down.
"""

import collections
import http.client
import http.server
import threading


class Gate:
    def __init__(self, port, registry_port):
        self.address = ("127.0.0.1", port)
        self.registry_port = registry_port
        self.asked = collections.Counter()
        self.server = None

    def open(self):
        self.server = http.server.ThreadingHTTPServer(self.address, _handler(self))
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        if self.server:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


def _handler(gate):
    # HTTP/1.0: one request a connection, so no connection outlives a closed gate.
    class Handler(http.server.BaseHTTPRequestHandler):
        def forward(self):
            gate.asked[self.path] += 1
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: self.headers[name] for name in ("Content-Type", "Accept") if name in self.headers}
            connection = http.client.HTTPConnection("127.0.0.1", gate.registry_port, timeout=20)
            try:
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                text = answer.read()
            finally:
                connection.close()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.getheader("Content-Type", "application/json"))
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = forward

        def log_message(self, *arguments):
            pass

    return Handler
