#!/usr/bin/env python3
"""Traces of the real programs, read by the OpenTelemetry Collector's own decoder.

Usage: otlp_test.py <build folder>     The receiver (tests/trace/collector) is built there once, from the Go module proxy.
Exit: 0 passed, 1 failed, 77 skipped (no Go, or its modules are out of reach).
"""

import collections
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
import unittest

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent / "e2e"))

SKIPPED = 77
collector_program = None
parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
unsampled = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"

from consumer_case import ConsumerTest  # noqa: E402
from harness import EndToEndTest, wait_until  # noqa: E402


def build_collector(folder):
    go = shutil.which("go")
    if not go:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "collector"
    done = subprocess.run(
        [go, "build", "-p", "1", "-o", str(program), "."], cwd=here / "collector", capture_output=True, text=True
    )
    if done.returncode:
        print(done.stderr[-2000:])
    return program if done.returncode == 0 else None


class Collector:
    def __init__(self):
        self.spans, self.refused = [], []
        self.process = subprocess.Popen([str(collector_program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.port = json.loads(self.process.stdout.readline())["port"]
        self.url = f"http://127.0.0.1:{self.port}"
        self.threads = [threading.Thread(target=self._read, args=pipe, daemon=True)
                        for pipe in ((self.process.stdout, lambda line: self.spans.append(json.loads(line))),
                                     (self.process.stderr, self.refused.append))]  # fmt: skip
        for thread in self.threads:
            thread.start()

    @staticmethod
    def _read(pipe, take):
        for line in pipe:
            take(line)

    def close(self):
        self.process.kill()
        self.process.wait(10)

    def named(self, name):
        return [span for span in self.spans if span["name"] == name]


class OtlpTest(EndToEndTest):
    def start_collector(self):
        collector = Collector()
        self.addCleanup(collector.close)
        return collector

    def test_a_request_its_commit_and_its_delivery(self):
        collector = self.start_collector()
        sink = self.start_sink()
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_TRACES_SAMPLER_ARG": "1"}
        api = self.start_api(**settings)
        self.start_worker(sink, **settings)
        client = self.open_client(api)
        self.ingest(client, "health", {"patient_id": 1, "alert": "emergency"}, traceparent=parent)
        self.ingest(client, "parks", {"a": 1}, traceparent=unsampled)
        client.get("/events?limit=1")
        sink.wait_count(2)
        wait_until(lambda: len(collector.named("deliver event.security")) == 1, 20, "the spans arrive")
        wait_until(lambda: collector.named("GET /events"), 20, "the spans arrive")
        self.assertEqual(collector.refused, [])
        request = next(span for span in collector.named("POST /ingest/{service}"))
        self.assertEqual(len(collector.named("POST /ingest/{service}")), 1, "the unsampled one is not told")
        self.assertEqual((request["service"], request["kind"]), ("polis-api", "Server"))
        self.assertEqual((request["trace_id"], request["parent"]), tuple(parent.split("-")[1:3]))
        self.assertEqual(request["attributes"]["http.response.status_code"], 200)
        commit = collector.named("INSERT events")[0]
        self.assertEqual((commit["trace_id"], commit["parent"]), (request["trace_id"], request["span_id"]))
        self.assertLessEqual(commit["seconds"], request["seconds"])
        query = collector.named("database")[0]
        listing = collector.named("GET /events")[0]
        self.assertEqual((query["trace_id"], query["parent"]), (listing["trace_id"], listing["span_id"]))
        delivery = collector.named("deliver event.security")[0]
        self.assertEqual((delivery["service"], delivery["kind"]), ("polis-outbox-worker", "Producer"))
        self.assertEqual(delivery["links"], [f"{request['trace_id']}-{request['span_id']}"])
        self.assertEqual(delivery["attributes"]["polis.outcome"], "delivered")
        self.assertGreaterEqual(delivery["attributes"]["polis.outbox.wait_seconds"], 0)

    def test_what_is_not_sampled_is_stored_without_a_trace(self):
        """It would cost every row 55 bytes, for a trace that no collector has. A caller's own is kept."""
        api = self.start_api(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_TRACES_SAMPLER_ARG="0")
        client = self.open_client(api)
        self.ingest(client, "health", {"patient_id": 1, "alert": "emergency"})
        self.assertEqual(self.traces("events") + self.traces("outbox"), [None] * 5)
        self.ingest(client, "parks", {"a": 1}, traceparent=unsampled)
        kept = self.traces("events")[-1]
        self.assertEqual((kept[:35], kept[-3:]), (unsampled[:35], "-00"))

    def traces(self, table):
        column = "id" if table == "events" else "seq"
        return [row["traceparent"] for row in self.database.rows(f"select traceparent from {table} order by {column}")]

    def test_probes_make_no_spans(self):
        collector = self.start_collector()
        api = self.start_api(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        client = self.open_client(api)
        for path in ("/health", "/metrics", "/readyz", "/docs"):
            client.get(path)
        client.get("/quarantine")
        self.assertEqual(api.terminate(), 0)  # sends what is queued
        wait_until(lambda: collector.named("GET /quarantine"), 10, "the last spans arrive")
        self.assertEqual({span["name"] for span in collector.spans}, {"GET /quarantine", "database"})

    def test_a_collector_that_is_down_or_slow_holds_nothing_up(self):
        import socket

        silent = socket.create_server(("127.0.0.1", 0))  # accepts and never answers
        self.addCleanup(silent.close)
        for endpoint in ("http://127.0.0.1:9", f"http://127.0.0.1:{silent.getsockname()[1]}"):
            api = self.start_api(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
            client = self.open_client(api)
            for number in range(300):
                self.ingest(client, "parks", {"number": number})
            started = time.monotonic()
            self.assertEqual(api.terminate(), 0)
            self.assertLess(time.monotonic() - started, 15)


class KafkaOtlpTest(ConsumerTest):
    def test_a_message_from_its_producer_to_its_delivery(self):
        collector = Collector()
        self.addCleanup(collector.close)
        settings = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        topic = self.topic()
        for trace in (parent, unsampled):
            alarm = json.dumps({"energy": 600, "neighborhood": trace}).encode()
            headers = [("traceparent", trace), ("idempotency-key", trace)]
            self.kafka.produce(topic, alarm, headers=headers)
            self.kafka.produce(topic, alarm, headers=headers)  # a duplicate
        self.start_consumer(f"{topic}=energy", **settings)
        sink = self.start_sink()
        self.start_worker(sink, **settings)
        wait_until(lambda: len(collector.named(f"process {topic}")) == 2, 60, "the spans arrive")
        wait_until(lambda: any(span["links"] for span in collector.spans), 30, "the delivery's span arrives")
        self.assertEqual(collector.refused, [])
        consumed, again = sorted(collector.named(f"process {topic}"), key=lambda span: span["attributes"]["polis.position"])
        self.assertEqual((consumed["service"], consumed["kind"]), ("polis-consumer", "Consumer"))
        for span in (consumed, again):
            self.assertEqual((span["trace_id"], span["parent"]), tuple(parent.split("-")[1:3]))
        self.assertEqual(consumed["attributes"]["polis.outcome"], "stored")
        self.assertEqual(again["attributes"]["polis.outcome"], "duplicate")
        (delivery,) = [span for span in collector.spans if span["links"]]
        self.assertEqual(delivery["links"], [f"{consumed['trace_id']}-{consumed['span_id']}"])


if __name__ == "__main__":
    collector_program = build_collector(pathlib.Path(sys.argv.pop(1)).resolve() / "trace")
    if collector_program is None:
        print("skipped: no Go, or the Go modules are out of reach")
        sys.exit(SKIPPED)
    unittest.main()
