"""Real binaries on a real, private PostgreSQL: what every end-to-end test stands on.

Nothing outlives a test run: each process is stopped by its own pid in the test's clean-up, and once more at exit.
Nothing waits by sleeping for a guessed time: `wait_until` polls a condition against a deadline.
"""

import atexit
import calendar
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
import unittest

from client import Client, RawConnection
from database import Cluster, Database  # noqa: F401  (some names are imported for the tests)
from programs import (
    city_events,  # noqa: F401
    environment,
    program,
    repository,  # noqa: F401
    run_program,  # noqa: F401
    sanitizer_marks,
    start_deadline_seconds,
    stop_deadline_seconds,
    wait_until,
)
from sink import Answer, RecordingSink, always, in_turn  # noqa: F401

_running = set()


@atexit.register
def _stop_everything():
    for process in list(_running):
        process.kill()


class Process:
    """A program under test with its log, started at once; `ready()` waits for it."""

    program_name = None
    port_setting = None

    def __init__(self, *arguments, cwd=None, **settings):
        self.directory = tempfile.mkdtemp(prefix="polis-e2e-run-")
        self.log_path = os.path.join(self.directory, "log.jsonl")
        settings.setdefault(self.port_setting, 0)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [program(self.program_name), *arguments],
                env=environment(**settings),
                cwd=cwd or self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        _running.add(self)
        self.port = None
        self.stopped = False

    @property
    def pid(self):
        return self.process.pid

    def log_text(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def log_lines(self):
        lines = []
        for line in self.log_text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                lines.append({"not_json": line})
        return lines

    def logged(self, event):
        return [line for line in self.log_lines() if isinstance(line, dict) and line.get("event") == event]

    def _listening(self):
        lines = self.logged("listening")
        if lines:
            return int(lines[-1]["port"])
        if self.process.poll() is not None:
            raise AssertionError(
                f"{self.program_name} ended with {self.process.returncode}: {self.log_text()[-2000:]}"
            )
        return None

    def is_ready(self):
        try:
            with Client("127.0.0.1", self.port, timeout=5) as client:
                return client.get("/readyz").status == 200
        except OSError:
            return False

    def listening(self, deadline=start_deadline_seconds):
        """It answers on its port, whether or not it can work."""
        self.port = wait_until(self._listening, deadline, f"{self.program_name} listens")
        return self

    def ready(self, deadline=start_deadline_seconds):
        try:
            self.listening(deadline)
            wait_until(self.is_ready, deadline, f"{self.program_name} is ready")
        except AssertionError as fault:
            raise AssertionError(f"{fault}\n{self.log_text()[-3000:]}") from None
        return self

    def client(self, timeout=30.0):
        return Client("127.0.0.1", self.port, timeout)

    def raw(self, timeout=10.0):
        return RawConnection("127.0.0.1", self.port, timeout)

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=stop_deadline_seconds):
        code = self.process.wait(timeout)
        self._forget()
        return code

    def _forget(self):
        _running.discard(self)
        self.stopped = True

    def terminate(self, timeout=stop_deadline_seconds):
        """SIGTERM and the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.wait(timeout)
        except subprocess.TimeoutExpired:
            text = self.log_text()[-2000:]
            self.kill()
            raise AssertionError(
                f"{self.program_name} did not stop within {timeout} s of SIGTERM: {text}"
            ) from None

    def kill(self):
        """SIGKILL: also ends a stopped (SIGSTOP) process."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._forget()

    def clean_up(self):
        self.kill()
        text = self.log_text()
        shutil.rmtree(self.directory, ignore_errors=True)
        if any(mark in text for mark in sanitizer_marks):
            raise AssertionError(f"{self.program_name}: the sanitizer found a fault\n{text[-8000:]}")


class Api(Process):
    program_name = "polis-api"
    port_setting = "PORT"

    def __init__(self, database, *arguments, **settings):
        settings.setdefault("HOST", "127.0.0.1")
        super().__init__(*arguments, DATABASE_URL=database.url, **settings)


class Worker(Process):
    program_name = "polis-outbox-worker"
    port_setting = "ADMIN_PORT"

    def __init__(self, database, sink, *arguments, **settings):
        # Short waits keep the tests short; the defaults are pinned where a test is about them.
        settings.setdefault("OUTBOX_POLL_SECONDS", "0.05")
        settings.setdefault("OUTBOX_RETRY_BASE_SECONDS", "0.05")
        super().__init__(
            *arguments,
            DATABASE_URL=database.url,
            OUTBOX_SINK=sink if isinstance(sink, str) else sink.url,
            **settings,
        )


_cluster = None


def cluster():
    global _cluster
    if _cluster is None:
        _cluster = Cluster()
    return _cluster


def parse_time(text):
    """Seconds since the epoch of an RFC 3339 time that must end in Z."""
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?Z", text)
    if not match:
        raise AssertionError(f"not an RFC 3339 time in UTC with Z: {text!r}")
    return calendar.timegm(time.strptime(match[1], "%Y-%m-%dT%H:%M:%S")) + float(match[2] or 0)


class EndToEndTest(unittest.TestCase):
    """A fresh database for every test; what a test starts is stopped when it ends."""

    maxDiff = 4000

    def setUp(self):
        self.database = cluster().database()

    def start_api(self, *arguments, database=None, **settings):
        api = Api(database or self.database, *arguments, **settings)
        self.addCleanup(api.clean_up)
        return api.ready()

    def launch_worker(self, sink, *arguments, **settings):
        worker = Worker(self.database, sink, *arguments, **settings)
        self.addCleanup(worker.clean_up)
        return worker

    def start_worker(self, sink, *arguments, **settings):
        return self.launch_worker(sink, *arguments, **settings).ready()

    def start_sink(self, script=None):
        sink = RecordingSink(script)
        self.addCleanup(sink.close)
        return sink

    def open_client(self, api, timeout=30.0):
        client = api.client(timeout)
        self.addCleanup(client.close)
        return client

    def ingest(self, client, service, body, expected_status=200, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        response = client.post_json(f"/ingest/{service}", body, headers)
        self.assertEqual(response.status, expected_status, response)
        return response.json()

    def events(self, client, query="limit=100"):
        response = client.get(f"/events?{query}")
        self.assertEqual(response.status, 200, response)
        return response.json()

    def event(self, client, identity):
        response = client.get(f"/events/{identity}")
        self.assertEqual(response.status, 200, response)
        return response.json()

    def assert_problem(self, response, status):
        """A refusal in the one shape all refusals have."""
        statuses = status if isinstance(status, (tuple, list, set)) else (status,)
        self.assertIn(response.status, statuses, response)
        self.assertTrue(
            (response.header("content-type") or "").startswith("application/problem+json"), response.headers
        )
        body = response.json()
        self.assertEqual(body.get("status"), response.status, body)
        self.assertTrue(body.get("detail"), body)
        self.assertTrue(body.get("title"), body)
        return body

    def wait_messages(self, predicate, deadline=20.0, what="messages"):
        """Polls the view until `predicate(rows)`; psql costs some milliseconds, so it polls less often."""

        def check():
            rows = self.database.messages()
            return rows if predicate(rows) else None

        return wait_until(check, deadline, what, poll=0.1)

    def wait_all_sent(self, count, deadline=20.0):
        return self.wait_messages(
            lambda rows: len(rows) == count and all(row["status"] == "sent" for row in rows),
            deadline,
            f"{count} messages sent",
        )

    def hold_lock(self, table):
        """A psql session that keeps writers of the table waiting until `release` is called or it is stopped."""
        blocker = subprocess.Popen(
            ["psql", "-X", "-q", "-d", self.database.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )

        def end():
            if blocker.poll() is None:
                blocker.kill()
            blocker.wait(10)
            blocker.stdin.close()

        self.addCleanup(end)
        blocker.stdin.write(f"begin; lock table {table} in exclusive mode;\n")
        blocker.stdin.flush()
        wait_until(
            lambda: self.database.count(
                "pg_locks", f"relation = '{table}'::regclass and mode = 'ExclusiveLock' and granted"
            ),
            10,
            "the lock is held",
        )
        return blocker

    def release_lock(self, blocker):
        blocker.stdin.write("rollback;\n\\q\n")
        blocker.stdin.flush()
        blocker.wait(10)

    def wait_blocked(self):
        wait_until(lambda: self.database.count("pg_locks", "not granted"), 10, "somebody waits for the lock")


class SharedApiTest(EndToEndTest):
    """For tests that read their own events only: one database and one api for the whole class."""

    api_settings = {}

    @classmethod
    def setUpClass(cls):
        cls.shared_database = cluster().database()
        cls.api = Api(cls.shared_database, **cls.api_settings)
        try:
            cls.api.ready()
        except BaseException:
            cls.api.clean_up()
            raise

    @classmethod
    def tearDownClass(cls):
        cls.api.clean_up()

    def setUp(self):
        self.database = self.shared_database
        self.client = self.open_client(self.api)
