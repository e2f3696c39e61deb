"""A receiver of deliveries that writes down what it saw and answers by a script."""

import json
import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler

hang_limit_seconds = 60.0


class Answer:
    """How to treat one delivery. `delay` seconds first; then `action`: answer, close (no answer) or hang (until released)."""

    def __init__(self, status=200, headers=None, delay=0.0, action="answer", body=b""):
        self.status, self.headers, self.delay, self.action = status, headers or {}, delay, action
        self.body = body


class Delivery:
    def __init__(self, method, path, headers, body, answer, connection_id):
        self.method, self.path, self.headers, self.body = method, path, headers, body
        self.answer, self.connection_id = answer, connection_id
        self.time = time.monotonic()
        self.wall_time = time.time()
        self.answered = False

    @property
    def event_id(self):
        return self.headers.get("ce-id")

    @property
    def topic(self):
        return self.headers.get("ce-type")

    @property
    def accepted(self):
        return self.answered and 200 <= self.answer.status < 300

    def json(self):
        return json.loads(self.body)


class RecordingSink:
    """HTTP/1.1 with keep-alive on a free loopback port. `script` maps a Delivery-to-be to an Answer."""

    def __init__(self, script=None, port=0):
        self.lock = threading.Condition()
        self.deliveries = []
        self.released = threading.Event()
        self.script = script or (lambda headers, body: Answer(200))
        self.in_flight = 0
        self.max_in_flight = 0
        self.connections = set()
        self.closed = False
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def do_POST(self):
                sink._serve(self)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 256

            def process_request(self, request, client_address):
                with sink.lock:
                    sink.connections.add(request)
                super().process_request(request, client_address)

            def shutdown_request(self, request):
                with sink.lock:
                    sink.connections.discard(request)
                super().shutdown_request(request)

            def handle_error(self, request, client_address):
                pass  # A worker that was killed resets its connections: expected here.

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(
            target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/events"

    def _serve(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        with self.lock:
            answer = self.script(headers, body)
            delivery = Delivery(handler.command, handler.path, headers, body, answer, id(handler.connection))
            self.deliveries.append(delivery)
            self.in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
            self.lock.notify_all()
        try:
            if answer.delay:
                self.released.wait(answer.delay)
            if answer.action == "hang":
                self.released.wait(hang_limit_seconds)
            if answer.action == "close" or self.closed:
                handler.close_connection = True
                return
            # Marked before the bytes leave: what was perhaps received must count as possibly delivered.
            delivery.answered = True
            handler.send_response(answer.status)
            for name, value in answer.headers.items():
                handler.send_header(name, value)
            if answer.status != 204:
                handler.send_header("Content-Length", str(len(answer.body)))
            handler.end_headers()
            handler.wfile.write(answer.body)
        except OSError:
            handler.close_connection = True
        finally:
            with self.lock:
                self.in_flight -= 1
                self.lock.notify_all()

    def release(self):
        """Lets every hanging or delayed delivery go on; later ones do not wait either."""
        self.released.set()

    def snapshot(self):
        with self.lock:
            return list(self.deliveries)

    def accepted(self):
        return [delivery for delivery in self.snapshot() if delivery.accepted]

    def count(self):
        with self.lock:
            return len(self.deliveries)

    def wait_count(self, count, deadline=20.0):
        with self.lock:
            if not self.lock.wait_for(lambda: len(self.deliveries) >= count, deadline):
                raise AssertionError(f"{len(self.deliveries)} of {count} deliveries within {deadline} s")
            return list(self.deliveries)

    def close(self):
        if self.closed:
            return
        self.closed = True
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        with self.lock:
            open_connections = list(self.connections)
        for connection in open_connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.thread.join(5)


def always(status, **more):
    return lambda headers, body: Answer(status, **more)


def in_turn(*answers):
    """The first delivery of each event gets the first answer, its second try the next; the last one stays.

    Called under the sink's lock, so the counting needs none of its own.
    """
    tries = {}

    def script(headers, body):
        identity = headers.get("ce-id")
        number = tries.get(identity, 0)
        tries[identity] = number + 1
        answer = answers[min(number, len(answers) - 1)]
        return answer if isinstance(answer, Answer) else Answer(answer)

    return script
