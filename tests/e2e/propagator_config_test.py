"""What the propagator accepts, what it says of the rest, and its exit codes."""

import json
import os
import signal
import time
import unittest

from harness import always
from programs import wait_until
from propagator_case import Propagator, PropagatorCase, answer, is_root


class ConfigurationTest(PropagatorCase):
    def good(self, **more):
        return {
            "PERIOD_IN_SECONDS": 1,
            "HTTP_POST_ENDPOINT": "http://127.0.0.1:1/event",
            "PAYLOAD_FILE_PATH": self.write("good.json", [{"event_type": "a"}]),
            **more,
        }

    def refused(self, text, **more):
        result = self.run_to_its_end(**self.good(**more))
        self.assertEqual(result.returncode, 2, result.stderr)
        self.assertIn(text, result.stderr)
        self.assertNotIn("Traceback", result.stderr)
        return result

    def test_a_good_configuration_passes_the_check(self):
        result = self.run_to_its_end("--check-config", **self.good())
        self.assertEqual((result.returncode, result.stdout), (0, "configuration is valid\n"), result.stderr)

    def test_the_check_finds_what_the_start_would(self):
        result = self.run_to_its_end("--check-config", **self.good(PAYLOAD_FILE_PATH="/nowhere.json"))
        self.assertEqual(result.returncode, 2)
        self.assertIn("Payload file not found: /nowhere.json", result.stderr)

    def test_the_period_is_a_positive_integer(self):
        for bad in ("2.5", "0", "-5", "abc", "1e3", "99999999999999999999"):
            with self.subTest(bad):
                self.refused(f"PERIOD_IN_SECONDS must be a positive integer (got: {bad})", PERIOD_IN_SECONDS=bad)

    def test_missing_variables_are_named_all_at_once(self):
        result = self.run_to_its_end()
        self.assertEqual(result.returncode, 2)
        for name in ("PERIOD_IN_SECONDS", "HTTP_POST_ENDPOINT", "PAYLOAD_FILE_PATH"):
            self.assertIn(f"Missing required environment variable: {name}", result.stderr)

    def test_faults_of_every_kind_are_told_together(self):
        result = self.refused(
            "PERIOD_IN_SECONDS must be", PERIOD_IN_SECONDS=0, HTTP_POST_ENDPOINT="ftp://x", PAYLOAD_FILE_PATH="/no"
        )
        self.assertIn("HTTP_POST_ENDPOINT", result.stderr)
        self.assertIn("Payload file not found: /no", result.stderr)

    def test_set_but_empty_is_not_set(self):
        for name in ("PERIOD_IN_SECONDS", "HTTP_POST_ENDPOINT", "PAYLOAD_FILE_PATH", "HEALTH_CHECK_ENDPOINT"):
            with self.subTest(name):
                self.refused(name, **{name: ""})

    def test_urls_are_http_or_https(self):
        for bad in ("ftp://host/x", "host/event", "http://", "//host"):
            with self.subTest(bad):
                self.refused("HTTP_POST_ENDPOINT", HTTP_POST_ENDPOINT=bad)
                self.refused("HEALTH_CHECK_ENDPOINT", HEALTH_CHECK_ENDPOINT=bad)
        result = self.run_to_its_end("--check-config", **self.good(HTTP_POST_ENDPOINT="https://host/event"))
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_payload_files_that_are_none(self):
        for text, message in (
            ('[{"a":}]', "contains invalid JSON: "),
            ("", "contains invalid JSON: "),
            ('{"a": 1}', "Payload file must be a JSON array"),
            ("[]", "Payload file is empty"),
            ("[1]", "Each payload must be a JSON object"),
            ('[{}, "x"]', "Each payload must be a JSON object"),
        ):
            with self.subTest(text):
                self.refused(message, PAYLOAD_FILE_PATH=self.write("bad.json", text))
        self.refused("Payload file cannot be read", PAYLOAD_FILE_PATH=str(self.directory))

    @unittest.skipIf(is_root(), "root may read everything")
    def test_a_payload_file_that_may_not_be_read(self):
        path = self.write("secret.json", "[{}]")
        os.chmod(path, 0)
        self.refused("Payload file cannot be read", PAYLOAD_FILE_PATH=path)

    def test_the_payload_that_provokes_a_422_is_accepted(self):
        path = self.payloads({"event_type": 123, "event_payload": {}})
        result = self.run_to_its_end("--check-config", **self.good(PAYLOAD_FILE_PATH=path))
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_a_dotenv_file_is_read(self):
        self.payloads()
        self.write(".env", "PERIOD_IN_SECONDS=7\nHTTP_POST_ENDPOINT=ftp://x\nPAYLOAD_FILE_PATH=payloads.json\n")
        process = Propagator(cwd=str(self.directory))
        self.addCleanup(process.clean_up)
        self.assertEqual(process.wait(), 2)
        self.assertIn(".env:2", process.log_text())

    def test_placeholders_are_checked_before_the_start(self):
        path = self.payloads({"a": "{{nonsense}}"})
        self.refused("{{nonsense}}", PAYLOAD_FILE_PATH=path, PAYLOAD_TEMPLATES="true")

    def test_a_flag_with_a_bad_value_is_a_fault_like_any_other(self):
        result = self.run_to_its_end("--rate", "fast", **self.good())
        self.assertEqual(result.returncode, 2)
        self.assertIn("LOAD_RATE", result.stderr)


class ProbeTest(PropagatorCase):
    def test_a_healthy_receiver_lets_the_stream_start(self):
        probe = self.raw(lambda number, text: answer(204))
        sink = self.sink(always(201))
        process = self.start(sink, HEALTH_CHECK_ENDPOINT=f"http://127.0.0.1:{probe.port}/health")
        sink.wait_count(2)
        self.assertEqual(probe.count(), 1)
        self.assertTrue(probe.requests[0][1].startswith("GET /health HTTP/1.1"))
        self.assertEqual(process.terminate(), 0)

    def test_any_other_answer_is_final_and_nothing_is_posted(self):
        for status in (300, 404, 500, 503):
            with self.subTest(status):
                probe = self.raw(lambda number, text: answer(status))
                sink = self.sink()
                process = self.launch(sink, HEALTH_CHECK_ENDPOINT=f"http://127.0.0.1:{probe.port}/health")
                self.assertEqual(process.wait(), 1)
                self.assertEqual((probe.count(), sink.count()), (1, 0))
                self.assertIn("aborting startup", process.log_text())

    def test_redirects_are_followed(self):
        probe = self.raw(lambda n, text: answer(302, "Location: /other\r\n") if n == 0 else answer(200))
        sink = self.sink()
        self.start(sink, HEALTH_CHECK_ENDPOINT=f"http://127.0.0.1:{probe.port}/health")
        sink.wait_count(1)
        self.assertEqual(probe.count(), 2)

    def test_five_tries_where_nobody_listens(self):
        process = self.launch(self.sink(), HEALTH_CHECK_ENDPOINT=f"http://127.0.0.1:{self.unused_port()}/")
        started = time.monotonic()
        self.assertEqual(process.wait(), 1)
        self.assertGreater(time.monotonic() - started, 2.6)

    def test_dropped_connections_are_tried_five_times(self):
        probe = self.raw(lambda number, text: b"")
        process = self.launch(self.sink(), HEALTH_CHECK_ENDPOINT=f"http://127.0.0.1:{probe.port}/")
        self.assertEqual(process.wait(), 1)
        self.assertEqual(probe.count(), 5)
        times = [at for at, _, _ in probe.requests]
        waits = [later - earlier for earlier, later in zip(times, times[1:])]
        for wait, least in zip(waits, (0.2, 0.5, 1.0, 1.0)):
            self.assertGreaterEqual(wait, least - 0.01)
            self.assertLess(wait, least + 0.5)

    def test_sigterm_ends_a_probe_that_hangs(self):
        probe = self.raw(lambda number, text: None)
        process = self.launch(self.sink(), HEALTH_CHECK_ENDPOINT=f"http://127.0.0.1:{probe.port}/")
        wait_until(probe.count, 10, "the probe has come")
        process.signal(signal.SIGTERM)
        started = time.monotonic()
        self.assertEqual(process.wait(), 0)
        self.assertLess(time.monotonic() - started, 8)  # a try has 10 s


class LoadReportTest(PropagatorCase):
    def test_the_plan_is_kept_and_the_report_tells_it(self):
        sink = self.sink(always(201))
        report = self.directory / "report.json"
        result = self.run_to_its_end(
            "--target", sink.url, "--payloads", self.payloads(), "--rate", "50", "--duration", "2",
            "--report", str(report),
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)
        told = json.loads(report.read_text())
        self.assertEqual((told["intended"], told["sent"], told["succeeded"]), (100, 100, 100))
        self.assertEqual((sink.count(), told["statuses"]), (100, {"201": 100}))
        self.assertLessEqual(told["latency_ms"]["p50"], told["latency_ms"]["p99"])
        self.assertEqual(len({one.headers["idempotency-key"] for one in sink.snapshot()}), 100)

    def test_the_csv_report_has_a_column_for_every_value(self):
        report = self.directory / "report.csv"
        result = self.run_to_its_end(
            "--target", self.sink().url, "--payloads", self.payloads(), "--rate", "20", "--duration", "0.5",
            "--report", str(report),
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)
        names, values = report.read_text().splitlines()
        self.assertEqual(len(names.split(",")), len(values.split(",")))
        self.assertEqual(dict(zip(names.split(","), values.split(",")))["sent"], "10")

    def test_a_stalled_receiver_is_charged_for_everybody_who_had_to_wait(self):
        """One connection and one answer of a second: those behind it started late, and their latency says so."""
        first = []

        def script(headers, body):
            from harness import Answer

            first.append(1)
            return Answer(200, delay=1.0 if len(first) == 1 else 0.0)

        report = self.directory / "report.json"
        result = self.run_to_its_end(
            "--target", self.sink(script).url, "--payloads", self.payloads(), "--rate", "50", "--duration", "2",
            "--connections", "1", "--report", str(report),
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)
        told = json.loads(report.read_text())
        self.assertEqual(told["sent"], 100)
        self.assertGreater(told["latency_ms"]["p75"], 200)
        self.assertLess(told["service_time_ms"]["p75"], 100)
        self.assertGreater(told["latency_ms"]["max"], 990)

    def test_failures_are_counted_once_each_and_not_repeated(self):
        sink = self.sink(always(503))
        report = self.directory / "report.json"
        result = self.run_to_its_end(
            "--target", sink.url, "--payloads", self.payloads(), "--rate", "20", "--duration", "1",
            "--report", str(report),
        )  # fmt: skip
        told = json.loads(report.read_text())
        self.assertEqual((told["failed"], told["statuses"], sink.count()), (20, {"503": 20}, 20))
        self.assertEqual(result.returncode, 0)

    def test_nobody_listens(self):
        report = self.directory / "report.json"
        self.run_to_its_end(
            "--target", f"http://127.0.0.1:{self.unused_port()}/", "--payloads", self.payloads(), "--rate", "20",
            "--duration", "1", "--report", str(report),
        )  # fmt: skip
        told = json.loads(report.read_text())
        self.assertEqual((told["failed"], sum(told["errors"].values()), told["statuses"]), (20, 20, {}))

    def test_sigterm_ends_the_run_and_the_report_tells_how_far_it_came(self):
        sink = self.sink()
        report = self.directory / "report.json"
        process = Propagator(
            "--target", sink.url, "--payloads", self.payloads(), "--rate", "20", "--duration", "60",
            "--report", str(report),
        )  # fmt: skip
        self.addCleanup(process.clean_up)
        sink.wait_count(5)
        self.assertEqual(process.terminate(), 0)
        told = json.loads(report.read_text())
        self.assertEqual(told["intended"], 1200)
        self.assertEqual(told["sent"], sink.count())


if __name__ == "__main__":
    unittest.main()
