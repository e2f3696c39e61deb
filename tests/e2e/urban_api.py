"""A stand-in for the Urban API and for the server that grants its tokens, with faults to order.

`python3 urban_api.py PORT` serves it with a small city for a developer.
"""

import base64
import collections
import http.server
import json
import re
import sys
import threading
import time
import urllib.parse


class UrbanApi:
    """`projects` and `scenarios` are what exists: id -> (territory, user) and id -> (territory, user, is_based).

    `script(method, path, number of the request for that path)` may answer in its place: a status, a (status, JSON)
    pair, "hang", "close", or None. With `token` or `client` requests without it are answered 401.
    """

    def __init__(self, port=0, script=None, token=None, client=None, lifetime=300, page_size=None):
        self.script = script or (lambda method, path, number: None)
        self.token, self.client, self.lifetime, self.page_size = token, client, lifetime, page_size
        self.lock = threading.Lock()
        self.projects, self.scenarios, self.bases = {}, {}, {}
        self.requests = []  # (method, path with query, headers)
        self.counted = collections.Counter()  # requests by path
        self.grants = []  # when and for which scope
        self.tokens = {}
        self.released = threading.Event()
        self.server = self._server(port)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def creations(self):
        """Every POST that came: (project, scenario, Idempotency-Key)."""
        with self.lock:
            found = []
            for method, path, headers in self.requests:
                match = re.fullmatch(r"/api/v1/projects/(\d+)/base_scenario/(\d+)", path)
                if method == "POST" and match:
                    found.append((int(match[1]), int(match[2]), headers.get("idempotency-key")))
            return found

    def count(self, path):
        with self.lock:
            return self.counted[path]

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()

    # --- What it answers

    def answer(self, method, target, headers, body):
        path, _, query = target.partition("?")
        if path.endswith("/protocol/openid-connect/token"):
            return self.grant(headers, body)
        if not self.allowed(headers):
            return 401, {"detail": "not authenticated"}
        values = dict(urllib.parse.parse_qsl(query))
        for wanted, pattern, action in (
            ("GET", r"/health_check/ping", lambda: (200, {"message": "Pong!"})),
            ("GET", r"/api/v1/projects/(\d+)", self.project),
            ("GET", r"/api/v1/scenarios/(\d+)", self.scenario),
            ("GET", r"/api/v1/scenarios", lambda: self.scenario_list(values)),
            ("GET", r"/api/v1/projects", lambda: self.project_page(path, values)),
            ("POST", r"/api/v1/projects/(\d+)/base_scenario/(\d+)", self.create),
        ):
            match = re.fullmatch(pattern, path)
            if match and method == wanted:
                return action(*(int(group) for group in match.groups()))
        return 404, {"detail": "Not Found"}

    def project(self, identity):
        if identity not in self.projects:
            return 404, {"detail": "project not found"}
        return 200, self.project_json(identity)

    def scenario(self, identity):
        if identity not in self.scenarios:
            return 404, {"detail": "scenario not found"}
        return 200, self.scenario_json(identity)

    def scenario_list(self, values):
        territory = int(values["territory_id"])
        return 200, [self.scenario_json(each) for each, what in sorted(self.scenarios.items()) if what[0] == territory]

    def project_page(self, path, values):
        territory, page = int(values["territory_id"]), int(values.get("page", "1"))
        size = self.page_size or int(values["page_size"])
        all_of_them = [each for each, what in sorted(self.projects.items()) if what[0] == territory]
        more = len(all_of_them) > page * size
        following = f"{path}?{urllib.parse.urlencode({**values, 'page': page + 1})}" if more else None
        shown = all_of_them[(page - 1) * size : page * size]
        results = [self.project_json(each) for each in shown]
        return 200, {"count": len(all_of_them), "prev": None, "next": following, "results": results}

    def create(self, project, scenario):
        if project not in self.projects or scenario not in self.scenarios:
            return 404, {"detail": "not found"}
        if (project, scenario) in self.bases:
            return 409, {"detail": "base scenario already exists"}
        self.bases[project, scenario] = 1000 + len(self.bases)
        return 201, {"scenario_id": self.bases[project, scenario]}

    def project_json(self, identity):
        territory, user = self.projects[identity]
        return {
            "project_id": identity, "user_id": user, "name": f"project {identity}",
            "territory": {"id": territory, "name": "t"}, "base_scenario": None, "description": None,
            "public": True, "is_regional": False, "is_city": False, "properties": {},
        }  # fmt: skip

    def scenario_json(self, identity):
        territory, user, based = self.scenarios[identity]
        project = {"project_id": 1, "user_id": user, "name": "p", "region": {"id": territory, "name": "r"}}
        return {
            "scenario_id": identity, "parent_scenario": None, "project": project,
            "functional_zone_type": None, "name": f"scenario {identity}", "is_based": based, "properties": {},
        }  # fmt: skip

    # --- Tokens

    def allowed(self, headers):
        given = headers.get("authorization", "")
        if self.token:
            return given == f"Bearer {self.token}"
        return not self.client or self.tokens.get(given.removeprefix("Bearer "), 0) > time.monotonic()

    def grant(self, headers, body):
        wanted = base64.b64encode(":".join(self.client).encode()).decode() if self.client else None
        if headers.get("authorization") != f"Basic {wanted}":
            return 401, {"error": "invalid_client"}
        form = dict(urllib.parse.parse_qsl(body.decode()))
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        token = f"granted-{len(self.grants)}"
        self.grants.append(form.get("scope"))
        self.tokens[token] = time.monotonic() + self.lifetime
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime}

    def _server(self, port):
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *arguments):
                pass

            def serve(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                path = self.path.partition("?")[0]
                with api.lock:
                    number = api.counted[path]
                    api.counted[path] += 1
                    api.requests.append((self.command, self.path, headers))
                    answer = api.script(self.command, path, number) or api.answer(
                        self.command, self.path, headers, body
                    )
                if answer in ("hang", "close"):
                    if answer == "hang":
                        api.released.wait(60)
                    self.close_connection = True
                    return
                status, value = answer if isinstance(answer, tuple) else (answer, {"detail": "ordered"})
                text = json.dumps(value).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except OSError:
                    self.close_connection = True  # the caller has gone

            do_GET = do_POST = do_PUT = serve

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request, client_address):
                if not isinstance(sys.exc_info()[1], ConnectionError):  # a caller that was killed
                    super().handle_error(request, client_address)

        return Server(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    city = UrbanApi(int(sys.argv[1]))
    city.projects = {1: (3, "anna"), 2: (3, "boris")}
    city.scenarios = {10: (3, "anna", False), 11: (3, "boris", False), 12: (3, "anna", True)}
    print(f"Urban API on {city.url}", flush=True)
    threading.Event().wait()
