#!/usr/bin/env python3
"""Metrics, rules and dashboard against Debian's own Prometheus.

Every program's /metrics passes `promtool check metrics`; the rules pass `promtool check rules`; and every query of rules and
dashboard is answered by a Prometheus that scrapes the real programs under load, with data where there must be some.

Exit: 0 passed, 1 failed, 77 skipped (no Prometheus).
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent / "e2e"))

from harness import EndToEndTest, wait_until  # noqa: E402

SKIPPED = 77
monitoring = here.parents[1] / "infra/monitoring"
promtool = os.environ.get("POLIS_PROMTOOL") or shutil.which("promtool")
prometheus = os.environ.get("POLIS_PROMETHEUS") or shutil.which("prometheus")

# What has no data in this test: there is no Kafka, no error and no follower that is too slow.
WITHOUT_DATA = re.compile(r"kafka_|consumer_|5\.\.|http_errors|event_stream_ended|rejected|circuit_open.*== 1|== 0|> ")


def dashboard_queries():
    board = json.loads((monitoring / "dashboard.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]


def rule_queries():
    """The files are simple enough for this: one expression a line."""
    found = []
    for name in ("recording_rules.yml", "alerts.yml"):
        found += re.findall(r"^\s+expr: (.*)$", (monitoring / name).read_text(), re.MULTILINE)
    return found


def free_port():
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class MonitoringTest(EndToEndTest):
    def lint(self, text):
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""), text[:3000])

    def metrics(self, process):
        with process.client() as client:
            return client.get("/metrics").body.decode()

    def start_prometheus(self, targets):
        directory = tempfile.mkdtemp(prefix="polis-prometheus-")
        self.addCleanup(shutil.rmtree, directory, ignore_errors=True)
        for name in ("recording_rules.yml", "alerts.yml"):
            text = (monitoring / name).read_text().replace("groups:\n  - name: polis", "groups:\n  - name: polis\n    interval: 1s")
            (pathlib.Path(directory) / name).write_text(text)
        jobs = "".join(
            f"  - job_name: {job}\n    static_configs: [{{targets: ['127.0.0.1:{port}']}}]\n"
            for job, port in targets.items()
        )
        config = pathlib.Path(directory) / "prometheus.yml"
        config.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: [recording_rules.yml, alerts.yml]\nscrape_configs:\n{jobs}"
        )
        port = free_port()
        log = open(pathlib.Path(directory) / "log", "wb")
        self.addCleanup(log.close)
        server = subprocess.Popen(
            [prometheus, f"--config.file={config}", f"--storage.tsdb.path={directory}/data", f"--web.listen-address=127.0.0.1:{port}"],
            stdout=log, stderr=log,
        )  # fmt: skip

        def stop():
            server.terminate()
            server.wait(30)

        self.addCleanup(stop)
        self.base = f"http://127.0.0.1:{port}"
        wait_until(self.is_up, 60, "Prometheus is ready")

    def is_up(self):
        try:
            return urllib.request.urlopen(self.base + "/-/ready", timeout=2).status == 200
        except OSError:
            return False

    def query(self, expression):
        address = f"{self.base}/api/v1/query?" + urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(address, timeout=10) as answer:
            told = json.load(answer)
        self.assertEqual(told["status"], "success", expression)
        return told["data"]["result"]

    def test_rules(self):
        files = [str(monitoring / name) for name in ("recording_rules.yml", "alerts.yml")]
        done = subprocess.run([promtool, "check", "rules", *files], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        done = subprocess.run([promtool, "check", "config", str(monitoring / "prometheus.yml")], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_metrics_and_queries_on_running_programs(self):
        sink = self.start_sink()
        api = self.start_api(DERIVED_DEDUPE_WINDOW_SECONDS=0)
        worker = self.start_worker(sink)
        client = self.open_client(api)
        self.ingest(client, "leak.reported", {"leak_id": 1})  # a workflow that waits for its valve
        self.start_prometheus({"polis-api": api.port, "polis-outbox-worker": worker.port})

        def load():
            for number in range(20):
                self.ingest(client, "health", {"patient_id": number, "alert": "emergency"})
            client.get("/events?limit=1")
            return len(self.query("rate(events_stored_total[1m]) > 0")) > 0

        wait_until(load, 60, "two scrapes", poll=0.5)
        with api.raw() as follower:
            follower.send("GET /events/stream HTTP/1.1\r\nHost: polis\r\n\r\n")
            self.assertEqual(follower.read_response().status, 200)
            for process in (api, worker):
                self.lint(self.metrics(process))
            wait_until(lambda: self.query("event_stream_followers == 1"), 30, "the follower is counted")
        wait_until(lambda: self.query("polis:outbox_deliveries:rate5m"), 30, "the rules are evaluated")
        queries = dashboard_queries() + rule_queries()
        self.assertGreater(len(queries), 35)
        for query in queries:
            result = self.query(query.replace("$__rate_interval", "1m"))
            if not WITHOUT_DATA.search(query):
                self.assertTrue(result, f"no data for {query}")
        # Labels come from routes, subscriptions and services, never from what a client sends.
        for path in ("/nowhere/1", "/nowhere/2", "/events/" + "0" * 8 + "-0000-0000-0000-" + "0" * 12):
            client.get(path)
        client.request("BREW", "/events")
        paths = set(re.findall(r'http_requests_total\{[^}]*path="([^"]*)"', self.metrics(api)))
        self.assertLessEqual(paths, {"other", "/events", "/events/{id}", "/events/stream", "/ingest/{service}", "/metrics", "/readyz"})

    def test_every_other_program(self):
        from propagator_case import Propagator

        sink = self.start_sink()
        with tempfile.NamedTemporaryFile("w", suffix=".json") as payloads:
            payloads.write('[{"a": 1}]')
            payloads.flush()
            process = Propagator(HTTP_POST_ENDPOINT=sink.url, PAYLOAD_FILE_PATH=payloads.name, PERIOD_IN_SECONDS=1)
            self.addCleanup(process.clean_up)
            process.ready()
            wait_until(lambda: sink.count() > 0, 20, "a send")
            self.lint(self.metrics(process))


if __name__ == "__main__":
    if not promtool or not prometheus:
        print("skipped: no Prometheus (infra/tools/deps.sh console)")
        sys.exit(SKIPPED)
    unittest.main()
