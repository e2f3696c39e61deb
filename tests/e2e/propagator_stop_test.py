"""Stopping: at once when idle, after the last answer when not, by the grace period when nobody answers."""

import json
import os
import pty
import signal
import subprocess
import time
import unittest

from harness import Answer, always
from programs import environment, program, wait_until
from propagator_case import PropagatorCase


class StopTest(PropagatorCase):
    def seconds_to_stop(self, process, number=signal.SIGTERM):
        started = time.monotonic()
        process.signal(number)
        self.assertEqual(process.wait(), 0)
        self.assertEqual(len(process.logged("Event propagator stopped.")), 1)
        return time.monotonic() - started

    def test_an_idle_one_stops_at_once_whatever_its_period(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                sink = self.sink(always(201))
                process = self.start(sink, period=3600)
                self.wait_lines(process, 1)
                self.assertLess(self.seconds_to_stop(process, number), 20)
                self.assertEqual(sink.count(), 1)

    def test_what_is_in_flight_is_finished(self):
        sink = self.sink(always(201, delay=1.0))
        process = self.start(sink, period=0.3)
        sink.wait_count(3)
        self.assertLess(self.seconds_to_stop(process), 20)
        self.assertTrue(all(one.answered for one in sink.snapshot()))
        self.assertEqual(process.lines()[-1]["total"], sink.count())
        self.assertEqual(process.logged("event abandoned"), [])

    def test_a_retry_that_is_due_within_the_grace_period_still_happens(self):
        seen = []

        def script(headers, body):
            seen.append(1)
            return Answer(503 if len(seen) == 1 else 201)

        sink = self.sink(script)
        process = self.start(sink, period=3600)
        sink.wait_count(1)
        self.seconds_to_stop(process)
        self.assertEqual(sink.count(), 2)
        self.assertEqual(process.lines()[-1]["status"], 201)

    def test_the_grace_period_ends_what_hangs(self):
        sink = self.sink(always(201, action="hang"))
        process = self.start(sink, period=0.2, DRAIN_SECONDS=1, SEND_TIMEOUT_SECONDS=60)
        sink.wait_count(3)
        seconds = self.seconds_to_stop(process)
        self.assertGreater(seconds, 0.9)
        self.assertLess(seconds, 20)
        self.assertEqual(len(process.logged("event abandoned")), sink.count())

    def test_not_ready_while_stopping(self):
        sink = self.sink(always(201, action="hang"))
        process = self.start(sink, period=3600, DRAIN_SECONDS=20)
        sink.wait_count(1)
        process.signal(signal.SIGTERM)
        wait_until(lambda: not process.is_ready(), 15, "readyz says no")
        with process.client() as client:
            self.assertEqual(client.get("/healthz").status, 200)
        sink.release()
        self.assertEqual(process.wait(), 0)

    def test_a_second_signal_ends_at_once(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number):
                sink = self.sink(always(201, action="hang"))
                process = self.start(sink, period=3600, DRAIN_SECONDS=60)
                sink.wait_count(1)
                process.signal(number)
                wait_until(lambda: process.logged("stopping"), 20, "it stops")
                started = time.monotonic()
                process.signal(number)
                self.assertEqual(process.wait(), -number)
                self.assertLess(time.monotonic() - started, 20)

    def test_the_admin_port_can_be_closed_and_a_taken_one_is_a_failure(self):
        sink = self.sink()
        process = self.launch(sink, PROMETHEUS_DISABLE="true")
        sink.wait_count(1)
        self.assertEqual(process.logged("listening"), [])
        self.assertEqual(process.terminate(), 0)
        first = self.start(sink)
        second = self.launch(sink, ADMIN_PORT=first.port)
        self.assertEqual(second.wait(), 1)


class TerminalTest(PropagatorCase):
    def on_a_terminal(self, sink, **more):
        """What the program writes to a terminal from its start until SIGTERM has ended it."""
        terminal, inside = pty.openpty()
        settings = environment(ADMIN_PORT=0, **self.settings(sink, **more))
        if "LOG_FORMAT" not in more:
            del settings["LOG_FORMAT"]
        process = subprocess.Popen([program("polis-propagator")], env=settings, stdin=inside, stderr=inside)
        os.close(inside)
        text = b""
        try:
            sink.wait_count(20)
            process.terminate()
            while True:
                try:
                    part = os.read(terminal, 65536)
                except OSError:  # the other end is closed
                    break
                if not part:
                    break
                text += part
        finally:
            self.assertEqual(process.wait(20), 0)
            os.close(terminal)
        return text.decode()

    def test_one_line_is_written_over_on_a_terminal(self):
        text = self.on_a_terminal(self.sink(always(201)), period=0.05)
        shown = [part for part in text.split("\r") if "HTTP metrics: jitter=" in part]
        self.assertGreater(len(shown), 2)
        self.assertFalse(any("\n" in part for part in shown[:-1]), shown)
        self.assertIn("Event propagator stopped.", text.rsplit("\r", 2)[-2] + text.rsplit("\r", 2)[-1])

    def test_json_lines_on_request(self):
        text = self.on_a_terminal(self.sink(always(201)), period=0.05, LOG_FORMAT="json")
        lines = [json.loads(line) for line in text.splitlines() if line.strip()]
        self.assertGreater(len([line for line in lines if line["event"] == "metrics"]), 10)


if __name__ == "__main__":
    unittest.main()
