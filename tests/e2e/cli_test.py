"""The programs as an operator meets them: options, configuration faults, migrations, stopping."""

import os
import pathlib
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from harness import Api, Client, EndToEndTest, cluster, environment, program, repository, run_program, wait_until

programs = ["polis-api", "polis-outbox-worker", "polis-migrate"]
no_server_url = "postgresql:///polis?host=/nonexistent-polis-socket&user=polis"


def run_in(directory, name, *arguments, **settings):
    return subprocess.run(
        [program(name), *arguments],
        env=environment(**settings),
        cwd=directory,
        text=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )


class OptionTest(unittest.TestCase):
    def test_help(self):
        for name in programs:
            with self.subTest(program=name):
                result = run_program(name, "--help")
                self.assertEqual(result.returncode, 0, result)
                self.assertIn(name, result.stdout)
                self.assertIn("--version", result.stdout)

    def test_version(self):
        for name in programs:
            with self.subTest(program=name):
                result = run_program(name, "--version")
                self.assertEqual(result.returncode, 0, result)
                self.assertRegex(result.stdout, r"\d+\.\d+")

    def test_unknown_options_are_2(self):
        for name in programs:
            with self.subTest(program=name):
                result = run_program(name, "--no-such-option", DATABASE_URL=no_server_url)
                self.assertEqual(result.returncode, 2, result)
                self.assertIn("no-such-option", result.stderr)

    def test_check_config(self):
        for name in programs:
            with self.subTest(program=name):
                result = run_program(name, "--check-config", DATABASE_URL=no_server_url)
                self.assertEqual(result.returncode, 0, result)

    def test_all_faults_are_named_at_once(self):
        faults = {
            "polis-api": {
                "PORT": "99999",
                "LOG_LEVEL": "shout",
                "INGEST_UNKNOWN_SERVICES": "maybe",
                "INGEST_VALIDATION": "hard",
                "DERIVED_DEDUPE_WINDOW_SECONDS": "-1",
                "ENERGY_THRESHOLD_KWH": "much",
                "DATABASE_URL": None,
            },
            "polis-outbox-worker": {
                "ADMIN_PORT": "x",
                "OUTBOX_SINK": "gopher://x",
                "OUTBOX_POLL_SECONDS": "never",
                "OUTBOX_BATCH_SIZE": "0",
                "OUTBOX_MAX_ATTEMPTS": "-3",
                "LOG_FORMAT": "xml",
                "DATABASE_URL": None,
            },
        }
        for name, settings in faults.items():
            for arguments in [[], ["--check-config"]]:
                with self.subTest(program=name, arguments=arguments):
                    result = run_program(name, *arguments, **settings)
                    self.assertEqual(result.returncode, 2, result)
                    for variable in settings:
                        self.assertIn(variable, result.stderr)

    def test_a_fault_never_shows_a_password(self):
        result = run_program("polis-api", DATABASE_URL="postgresql://polis:hunter2@127.0.0.1:1/polis", PORT="x")
        self.assertEqual(result.returncode, 2, result)
        self.assertNotIn("hunter2", result.stderr + result.stdout)

    def test_yaml_is_read_and_unknown_keys_are_faults(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "polis.yaml")
            path.write_text("no_such_key_here: 1\n")
            result = run_program("polis-api", "--check-config", DATABASE_URL=no_server_url, CONFIG_PATH=path)
            self.assertEqual(result.returncode, 2, result)
            self.assertIn("no_such_key_here", result.stderr)
            path.write_text("a: [unclosed\n")
            self.assertEqual(
                run_program(
                    "polis-api", "--check-config", DATABASE_URL=no_server_url, CONFIG_PATH=path
                ).returncode,
                2,
            )
            self.assertEqual(
                run_program(
                    "polis-api", "--check-config", DATABASE_URL=no_server_url, CONFIG_PATH="/nonexistent.yaml"
                ).returncode,
                2,
            )

    def test_the_env_file_is_read_and_the_environment_wins(self):
        with tempfile.TemporaryDirectory() as directory:
            pathlib.Path(directory, ".env").write_text(
                '# settings\nPORT=99999\nLOG_LEVEL="debug"\nSOMETHING_ELSE=1\n'
            )
            result = run_in(directory, "polis-api", "--check-config", DATABASE_URL=no_server_url)
            self.assertEqual(result.returncode, 2, result)
            self.assertIn("PORT", result.stderr)
            result = run_in(directory, "polis-api", "--check-config", DATABASE_URL=no_server_url, PORT="8123")
            self.assertEqual(result.returncode, 0, result)

    def test_a_database_that_is_not_there(self):
        """Not a configuration fault: it ends with 1, or it waits and says so; it never pretends to be ready."""
        result = run_program("polis-migrate", "status", DATABASE_URL=no_server_url)
        self.assertEqual(result.returncode, 1, result)
        self.assertTrue(result.stderr.strip())


class MigrateTest(EndToEndTest):
    def setUp(self):
        self.database = cluster().empty_database()

    def migrate(self, *arguments):
        return run_program("polis-migrate", *arguments, DATABASE_URL=self.database.url)

    def tables(self):
        return {
            row["relname"]
            for row in self.database.rows(
                "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r','p','v')"
            )
        }

    def test_up_creates_the_two_tables_of_old(self):
        result = self.migrate("up")
        self.assertEqual(result.returncode, 0, result)
        self.assertLessEqual({"events", "outbox_messages"}, self.tables())
        columns = {
            row["column_name"]
            for row in self.database.rows(
                "select column_name from information_schema.columns where table_name = 'outbox_messages'"
            )
        }
        self.assertLessEqual(
            {
                "id",
                "topic",
                "payload",
                "status",
                "attempts",
                "published_at",
                "created_at",
                "event_id",
                "subscription",
                "last_error",
            },
            columns,
        )
        self.assertEqual(self.migrate("up").returncode, 0)

    def test_a_driver_suffix_is_ignored(self):
        url = self.database.url.replace("postgresql://", "postgresql+psycopg2://")
        self.assertEqual(run_program("polis-migrate", "up", DATABASE_URL=url).returncode, 0)

    def test_status_and_history(self):
        before = self.migrate("status")
        self.assertIn(before.returncode, (0, 1), before)
        self.assertTrue(before.stdout.strip())
        self.migrate("up")
        after = self.migrate("status")
        self.assertEqual(after.returncode, 0, after)
        self.assertNotEqual(before.stdout, after.stdout)
        history = self.migrate("history")
        self.assertEqual(history.returncode, 0, history)
        self.assertGreaterEqual(len(history.stdout.strip().splitlines()), 1)

    def test_down_to_nothing_and_up_again(self):
        self.migrate("up")
        for _ in range(100):
            if "events" not in self.tables():
                break
            result = self.migrate("down")
            self.assertEqual(result.returncode, 0, result)
        self.assertFalse({"events", "outbox_messages"} & self.tables())
        self.assertEqual(self.migrate("up").returncode, 0)
        self.assertLessEqual({"events", "outbox_messages"}, self.tables())

    def test_many_at_once(self):
        running = [
            subprocess.Popen(
                [program("polis-migrate"), "up"],
                env=environment(DATABASE_URL=self.database.url),
                cwd=tempfile.gettempdir(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for _ in range(8)
        ]
        for process in running:
            _, errors = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 0, errors)
        self.assertEqual(self.migrate("status").returncode, 0)

    def test_the_programs_refuse_a_schema_that_is_missing_or_old(self):
        self.refuse_start()
        self.migrate("up")
        self.migrate("down")
        self.refuse_start()

    def refuse_start(self):
        for name in ["polis-api", "polis-outbox-worker"]:
            with self.subTest(program=name):
                result = run_program(
                    name, DATABASE_URL=self.database.url, PORT=0, ADMIN_PORT=0, OUTBOX_SINK="null:", timeout=30
                )
                self.assertEqual(result.returncode, 1, result)
                self.assertIn("polis-migrate up", result.stderr + result.stdout)

    def test_the_programs_refuse_a_newer_schema(self):
        self.migrate("up")
        table = self.database.value(
            "select table_name from information_schema.columns where table_schema = 'public' and column_name = 'checksum'"
        )
        self.assertIsNotNone(table)
        columns = [
            row["column_name"]
            for row in self.database.rows(
                f"select column_name from information_schema.columns where table_name = '{table}'"
            )
        ]
        version = next(name for name in columns if name in ("version", "number", "id"))
        others = ",".join(name for name in columns if name != version)
        self.database.execute(
            f"insert into {table} ({version},{others}) select {version} + 9000, {others} from {table} order by {version} desc limit 1"
        )
        for name in ["polis-api", "polis-outbox-worker"]:
            with self.subTest(program=name):
                result = run_program(
                    name, DATABASE_URL=self.database.url, PORT=0, ADMIN_PORT=0, OUTBOX_SINK="null:", timeout=30
                )
                self.assertEqual(result.returncode, 1, result)
                self.assertTrue(result.stderr.strip())

    def test_migrate_option_applies_the_schema_first(self):
        apis = [Api(self.database, "--migrate") for _ in range(3)]
        for api in apis:
            self.addCleanup(api.clean_up)
        for api in apis:
            with api.ready().client() as client:
                self.assertEqual(client.post_json("/ingest/parks", {"a": 1}).status, 200)
        self.assertEqual(self.database.count("events"), 3)

    def test_a_changed_migration_is_noticed(self):
        self.migrate("up")
        table = self.database.value(
            "select table_name from information_schema.columns where table_schema = 'public' and column_name = 'checksum'"
        )
        kind = self.database.value(
            f"select data_type from information_schema.columns where table_name = '{table}' and column_name = 'checksum'"
        )
        other = "'\\x00'" if kind == "bytea" else "'0'"
        self.database.execute(f"update {table} set checksum = {other}")
        self.assertEqual(self.migrate("up").returncode, 1)


class StopTest(EndToEndTest):
    def send_later(self, api, path="/ingest/health", body=None):
        """A request on a thread of its own; the list fills when it is answered."""
        answers = []

        def send():
            with api.client() as client:
                answers.append(client.post_json(path, body or {"patient_id": 1, "alert": "emergency"}))

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        return thread, answers

    def refuses(self, api):
        try:
            with Client("127.0.0.1", api.port, timeout=2) as client:
                return client.get("/health").status != 200
        except OSError:
            return True

    def test_sigterm_answers_what_is_in_flight(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                api = self.start_api()
                idle = self.open_client(api)
                self.assertEqual(idle.get("/health").status, 200)
                before = self.database.count("events")
                blocker = self.hold_lock("events")
                thread, answers = self.send_later(api)
                self.wait_blocked()
                api.signal(number)
                wait_until(lambda: self.refuses(api), 10, "no new clients while stopping")
                self.assertIsNone(api.process.poll(), "left a request behind")
                self.release_lock(blocker)
                thread.join(20)
                self.assertEqual([answer.status for answer in answers], [200])
                self.assertEqual(api.wait(), 0)
                self.assertGreater(self.database.count("events"), before)

    def test_sigterm_when_idle_is_quick(self):
        api = self.start_api()
        client = self.open_client(api)
        client.get("/health")
        half_open = api.raw()
        self.addCleanup(half_open.close)
        half_open.send("POST /ingest/parks HTTP/1.1\r\nHost: x\r\n")
        started = time.monotonic()
        self.assertEqual(api.terminate(), 0)
        self.assertLess(time.monotonic() - started, 15)

    def test_a_port_in_use_is_a_clear_fault(self):
        api = self.start_api()
        result = run_program("polis-api", DATABASE_URL=self.database.url, PORT=api.port, timeout=30)
        self.assertEqual(result.returncode, 1, result)
        self.assertIn(str(api.port), result.stderr)

    def test_sigterm_during_start(self):
        for delay in (0.0, 0.01, 0.05, 0.2):
            api = Api(self.database)
            self.addCleanup(api.clean_up)
            time.sleep(delay)  # different moments of the start; none of them may hang or crash
            api.signal(signal.SIGTERM)
            self.assertIn(api.wait(20), (0, -signal.SIGTERM))

    def test_logs_are_json_lines_without_payloads(self):
        api = self.start_api(LOG_LEVEL="debug")
        client = self.open_client(api)
        self.ingest(client, "parks", {"secret-field": "very-secret-value"})
        client.post_raw("/ingest/parks", b'{"secret-field": "very-secret-value"')
        self.assertEqual(api.terminate(), 0)
        lines = api.log_lines()
        self.assertEqual([line for line in lines if "not_json" in line], [])
        for line in lines:
            self.assertTrue(line.get("event") and line.get("level"), line)
        self.assertNotIn("very-secret-value", api.log_text())
        self.assertNotIn(self.database.url, api.log_text())


class DocumentTest(EndToEndTest):
    def test_operating_endpoints(self):
        client = self.open_client(self.start_api())
        self.ingest(client, "health", {"patient_id": 1, "alert": "emergency"})
        self.assertEqual(client.get("/healthz").status, 200)
        self.assertEqual(client.get("/readyz").status, 200)
        metrics = client.get("/metrics")
        self.assertEqual(metrics.status, 200)
        self.assertIn(b"# TYPE", metrics.body)
        self.assertIn(b'path="/ingest/{service}"', metrics.body)
        document = client.get("/openapi.json").json()
        self.assertTrue(document["openapi"].startswith("3.1"))
        self.assertLessEqual({"/ingest/{service}", "/events", "/events/{id}", "/health"}, set(document["paths"]))
        for path in ["/docs", "/redoc"]:
            response = client.get(path)
            self.assertEqual(response.status, 200, path)
            self.assertIn(b"<html", response.body.lower())
            self.assertNotIn(b"https://cdn", response.body)


class DemoTest(EndToEndTest):
    def demo(self, *arguments):
        return subprocess.run(
            ["python3", str(repository / "tests/demo/replay.py"), *arguments],
            text=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def test_replay_twice(self):
        sink = self.start_sink()
        api = self.start_api()
        self.start_worker(sink)
        url = f"http://127.0.0.1:{api.port}"
        first = self.demo("--limit", "2000", "--database-url", self.database.url, url)
        self.assertEqual(first.returncode, 0, first)
        self.assertEqual(self.database.count("event_details", "source_event_id is null"), 2000)
        second = self.demo("--limit", "2000", url)
        self.assertEqual(second.returncode, 0, second)
        self.assertEqual(self.database.count("event_details", "source_event_id is null"), 2000)

    def test_nobody_listens(self):
        result = self.demo("http://127.0.0.1:1")
        self.assertEqual(result.returncode, 1, result)
        self.assertIn("make run", result.stderr)
        self.assertNotIn("Traceback", result.stderr)


if __name__ == "__main__":
    unittest.main()
