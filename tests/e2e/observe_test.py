"""What operators see: explanations, the lag of subscriptions, open circuits, log files."""

import json
import os
import pathlib
import signal
import subprocess
import tempfile
import unittest

from harness import EndToEndTest, environment, program, wait_until


class ExplainTest(EndToEndTest):
    def test_over_http_nothing_is_written(self):
        client = self.open_client(self.start_api())
        before = {table: self.database.count(table) for table in ("events", "outbox", "quarantine", "derived_keys")}
        told = client.post_json("/explain/energy", {"energy": "650", "neighborhood": "north", "x": 1})
        self.assertEqual(told.status, 200, told)
        body = told.json()
        self.assertEqual((body["would"], body["status"]), ("store", 200))
        self.assertEqual(body["normalized_payload"], {"energy": 650.0, "neighborhood": "north", "x": 1})
        self.assertEqual(body["derived_events"][0]["deduplication_key"], "critical_energy_usage_north")
        self.assertEqual(body["derived_events"][0]["suppression_window_seconds"], 300)
        batch = client.post_raw("/explain/transport", '{"bus_id": 1}\nnot json\n', {"Content-Type": "application/x-ndjson"})
        self.assertEqual([one["would"] for one in batch.json()["results"]], ["store", "refuse"])
        after = {table: self.database.count(table) for table in before}
        self.assertEqual(after, before)
        stored = self.ingest(client, "energy", {"energy": "650", "neighborhood": "north", "x": 1})
        self.assertEqual(len(stored["derived_events"]), 1, "explaining has taken no key")

    def explain(self, service, text, **settings):
        return subprocess.run(
            [program("polis-api"), "--explain", service],
            input=text, env=environment(**settings), cwd="/", capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    def test_on_the_command_line_without_a_database(self):
        done = self.explain("energy", '{"energy": 550}', ENERGY_THRESHOLD_KWH=600)
        self.assertEqual((done.returncode, json.loads(done.stdout)["derived_events"]), (0, []), done.stderr)
        done = self.explain("energy", '{"energy": 550}')
        self.assertEqual(len(json.loads(done.stdout)["derived_events"]), 1)
        done = self.explain("energy", '{"energy": "x"}', INGEST_VALIDATION="strict")
        self.assertEqual((done.returncode, json.loads(done.stdout)["errors"][0]["field"]), (1, "energy"))


class LagTest(EndToEndTest):
    def lag(self, client):
        return client.get("/outbox/lag").json()[0]

    def test_backlog_workers_and_an_open_circuit(self):
        client = self.open_client(self.start_api(DERIVED_DEDUPE_WINDOW_SECONDS=0))
        for number in range(15):
            self.ingest(client, "health", {"patient_id": number, "alert": "emergency"})
        found = self.lag(client)
        self.assertEqual((found["unsent"], found["workers"], found["circuit"]), (30, 0, "closed"))
        self.assertGreater(found["oldest_unsent_seconds"], 0)
        sink = self.start_sink(lambda headers, body: self.answer)
        from harness import Answer

        self.answer = Answer(503)
        self.start_worker(sink, OUTBOX_MAX_ATTEMPTS=100)
        wait_until(lambda: self.lag(client)["circuit"] == "open", 30, "the breaker opens and is seen", poll=0.2)
        found = self.lag(client)
        self.assertEqual((found["workers"], found["unsent"]), (1, 30))
        self.assertTrue(found["circuit_open_since"])
        self.assertIn('outbox_subscription_circuit_open{subscription="default"} 1', client.get("/metrics").body.decode())
        self.answer = Answer(200)
        wait_until(lambda: self.lag(client)["unsent"] == 0, 60, "everything is sent", poll=0.2)
        wait_until(lambda: self.lag(client)["circuit"] == "closed", 30, "the breaker closes", poll=0.2)


class LogFileTest(EndToEndTest):
    def config_file(self, files):
        file = tempfile.NamedTemporaryFile("w", prefix="polis-e2e-", suffix=".yaml")
        self.addCleanup(file.close)
        file.write(f"log: {{files: {files}}}\n")
        file.flush()
        return file.name

    def lines(self, path):
        return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]

    def test_levels_and_reopening(self):
        config = self.config_file("[{filename: logs/info.log, level: info}, {filename: logs/error.log, level: error}]")
        api = self.start_api(CONFIG_PATH=config, LOG_LEVEL="info")
        folder = os.path.join(api.directory, "logs")
        info, error = os.path.join(folder, "info.log"), os.path.join(folder, "error.log")
        self.assertIn("listening", [line["event"] for line in self.lines(info)])
        self.assertEqual(self.lines(error), [])
        os.rename(info, info + ".1")
        api.signal(signal.SIGHUP)
        wait_until(lambda: os.path.exists(info), 10, "the new file is there")
        self.assertTrue(api.is_ready(), "SIGHUP is no reason to stop")
        self.assertEqual(api.terminate(), 0)
        self.assertEqual([line["event"] for line in self.lines(info)], ["stopping", "stopped"])
        self.assertNotIn("stopping", [line["event"] for line in self.lines(info + ".1")])

    def test_a_file_that_cannot_be_opened_is_a_fault_of_the_configuration(self):
        done = subprocess.run(
            [program("polis-api")],
            env=environment(
                DATABASE_URL=self.database.url, CONFIG_PATH=self.config_file("[{filename: /proc/no/such.log}]")
            ),
            cwd="/", capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("/proc/no/such.log", done.stderr)


if __name__ == "__main__":
    unittest.main()
