"""A stand-in schema registry: the part of the Confluent API that producers and consumers of Avro use.

    python3 registry_server.py PORT STATE_FILE

Schemas get ids from 1; the same text under any subject keeps its id. Texts come back compacted, as from the Confluent
registry. It checks no compatibility. `GET /_fetches` counts the reads of each id, for tests of caches.
"""

import collections
import http.server
import json
import os
import re
import sys
import threading

content_type = "application/vnd.schemaregistry.v1+json"


class State:
    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        self.fetches = collections.Counter()
        self.schemas, self.subjects, self.levels = {}, {}, {}
        if os.path.exists(path):
            with open(path) as file:
                stored = json.load(file)
            self.schemas = {int(key): text for key, text in stored["schemas"].items()}
            self.subjects, self.levels = stored["subjects"], stored["levels"]

    def save(self):
        with open(self.path + ".new", "w") as file:
            json.dump({"schemas": self.schemas, "subjects": self.subjects, "levels": self.levels}, file)
        os.replace(self.path + ".new", self.path)

    def find(self, text):
        return next((key for key, known in self.schemas.items() if known == text), None)

    def register(self, subject, text):
        key = self.find(text)
        if key is None:
            key = len(self.schemas) + 1
            self.schemas[key] = text
        versions = self.subjects.setdefault(subject, [])
        if key not in versions:
            versions.append(key)
        self.save()
        return key


class Failure(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def compact(body):
    try:
        schema = json.loads(body["schema"])
    except (KeyError, TypeError, ValueError):
        raise Failure(422, 42201, "Invalid schema") from None
    if body.get("schemaType", "AVRO") != "AVRO":
        raise Failure(422, 42201, "Only AVRO is supported")
    return json.dumps(schema, separators=(",", ":"), ensure_ascii=False)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state = None

    def get_schema(self, key):
        self.state.fetches[int(key)] += 1
        if int(key) not in self.state.schemas:
            raise Failure(404, 40403, f"Schema {key} not found")
        return {"schema": self.state.schemas[int(key)]}

    def versions_of(self, subject):
        if subject not in self.state.subjects:
            raise Failure(404, 40401, f"Subject '{subject}' not found.")
        return self.state.subjects[subject]

    def described(self, subject, position):
        key = self.versions_of(subject)[position]
        return {"subject": subject, "version": position + 1, "id": key, "schema": self.state.schemas[key]}

    def get_version(self, subject, version):
        versions = self.versions_of(subject)
        position = len(versions) - 1 if version == "latest" else int(version) - 1
        if not 0 <= position < len(versions):
            raise Failure(404, 40402, f"Version {version} not found.")
        return self.described(subject, position)

    def look_up(self, subject):
        versions = self.versions_of(subject)
        key = self.state.find(compact(self.body))
        if key not in versions:
            raise Failure(404, 40403, "Schema not found")
        return self.described(subject, versions.index(key))

    def set_level(self, subject=""):
        self.state.levels[subject] = self.body["compatibility"]
        self.state.save()
        return {"compatibility": self.body["compatibility"]}

    def get_level(self, subject=""):
        levels = self.state.levels
        return {"compatibilityLevel": levels.get(subject, levels.get("", "BACKWARD"))}

    routes = [
        ("GET", r"/schemas/ids/(\d+)", get_schema),
        ("GET", r"/subjects", lambda self: sorted(self.state.subjects)),
        ("GET", r"/subjects/([^/]+)/versions", lambda self, s: list(range(1, len(self.versions_of(s)) + 1))),
        ("GET", r"/subjects/([^/]+)/versions/(\d+|latest)", get_version),
        ("POST", r"/subjects/([^/]+)/versions", lambda self, s: {"id": self.state.register(s, compact(self.body))}),
        ("POST", r"/subjects/([^/]+)", look_up),
        ("PUT", r"/config/([^/]+)", set_level),
        ("PUT", r"/config", set_level),
        ("GET", r"/config/([^/]+)", get_level),
        ("GET", r"/config", get_level),
        ("GET", r"/_fetches", lambda self: dict(self.state.fetches)),
    ]

    def handle_request(self):
        length = int(self.headers.get("Content-Length") or 0)
        raw = self.rfile.read(length)
        try:
            self.body = json.loads(raw) if raw else {}
            answer, status = self.answer(), 200
        except ValueError:
            answer, status = {"error_code": 400, "message": "not JSON"}, 400
        except Failure as failure:
            answer, status = {"error_code": failure.code, "message": failure.message}, failure.status
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def answer(self):
        path = self.path.partition("?")[0]
        with self.state.lock:
            for method, pattern, action in self.routes:
                match = re.fullmatch(pattern, path)
                if match and method == self.command:
                    return action(self, *match.groups())
        raise Failure(404, 404, "HTTP 404 Not Found")

    do_GET = do_POST = do_PUT = handle_request

    def log_message(self, *arguments):
        pass


if __name__ == "__main__":
    Handler.state = State(sys.argv[2])
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
