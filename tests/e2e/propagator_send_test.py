"""Exact ticks, honest counts, and receivers of every kind."""

import ssl
import statistics
import subprocess
import unittest

from harness import Answer, always
from programs import wait_until
from propagator_case import PropagatorCase, answer

ticks_of_the_proof = 60


class TickTest(PropagatorCase):
    def test_a_receiver_that_sleeps_three_periods_changes_no_tick(self):
        period = 0.25
        sink = self.sink(always(201, delay=3 * period))
        process = self.start(sink, period=period)
        deliveries = sink.wait_count(ticks_of_the_proof, 3 * ticks_of_the_proof * period)
        times = [one.time for one in deliveries[:ticks_of_the_proof]]
        offsets = [at - times[0] - number * period for number, at in enumerate(times)]
        # What the receiver sees includes its own scheduling; a drift would grow, a busy machine does not.
        drift = statistics.median(offsets[-20:]) - statistics.median(offsets[:20])
        self.assertLess(abs(drift), 0.02, offsets)
        self.assertEqual(process.metric('propagator_ticks_skipped_total{stream="city"}'), 0)
        self.assertEqual(process.metric('propagator_ticks_dropped_total{stream="city"}'), 0)
        count = process.metric('propagator_tick_offset_seconds_count{stream="city"}')
        total = process.metric('propagator_tick_offset_seconds_sum{stream="city"}')
        # 1 ms on a machine of its own (make bench-propagator measures it); tests share theirs with sanitizers.
        self.assertLess(total / count, period / 5)

    def test_missed_ticks_are_skipped_or_made_up_for(self):
        import signal
        import time

        for policy, name in (("skip", "skipped"), ("catch_up", "caught_up")):
            with self.subTest(policy):
                sink = self.sink()
                process = self.start(sink, period=0.1, MISSED_TICKS=policy)
                sink.wait_count(3)
                process.signal(signal.SIGSTOP)
                time.sleep(1.0)  # the stall itself
                process.signal(signal.SIGCONT)
                metric = f'propagator_ticks_{name}_total{{stream="city"}}'
                # Caught-up ticks are counted one by one: wait for all of a stall that is ten periods long.
                wait_until(lambda: process.metric(metric) >= 7, 10, "missed ticks are counted")
                self.assertTrue(process.logged("ticks missed"))
                self.assertEqual(process.terminate(), 0)
                ticks = [line["total"] for line in process.lines()]
                self.assertEqual(ticks, sorted(ticks))

    def test_streams_have_their_own_period_receiver_and_payloads(self):
        fast, slow = self.sink(), self.sink()
        config = self.write(
            "two.yaml",
            "propagator:\n  streams:\n"
            f"    fast: {{period_seconds: 0.1, post_endpoint: '{fast.url}', payload_file: {self.write('f', [{'f': 1}])}}}\n"
            f"    slow: {{period_seconds: 0.5, post_endpoint: '{slow.url}', payload_file: {self.write('s', [{'s': 1}])}}}\n",
        )
        from propagator_case import Propagator

        process = Propagator(CONFIG_PATH=config)
        self.addCleanup(process.clean_up)
        slow.wait_count(4)
        self.assertEqual(process.terminate(), 0)
        self.assertEqual({one.body for one in fast.snapshot()}, {b'{"f": 1}'})
        self.assertEqual({one.body for one in slow.snapshot()}, {b'{"s": 1}'})
        self.assertAlmostEqual(fast.count() / slow.count(), 5, delta=2)


class PayloadTest(PropagatorCase):
    def test_the_request(self):
        sink = self.sink(always(201))
        path = self.write("p.json", '[ {"event_type" : 123,  "event_payload":{}, "n": 1.50} ]')
        self.start(sink, payloads=path)
        first, second = sink.wait_count(2)[:2]
        self.assertEqual((first.method, first.path), ("POST", "/events"))
        self.assertEqual(first.body, b'{"event_type" : 123,  "event_payload":{}, "n": 1.50}')
        self.assertEqual(first.headers["content-type"], "application/json")
        self.assertRegex(first.headers["idempotency-key"], r"^[0-9a-f-]{36}$")
        self.assertNotEqual(first.headers["idempotency-key"], second.headers["idempotency-key"])
        self.assertNotIn("expect", first.headers)
        self.assertEqual(first.connection_id, second.connection_id, "connections are kept")

    def test_random_by_default_in_order_on_request_and_repeatable_with_a_seed(self):
        path = self.write("p.json", [{"n": number, "tick": "{{counter 0}}"} for number in range(10)])

        def seen(**more):
            sink = self.sink()
            process = self.start(sink, period=0.02, payloads=path, PAYLOAD_TEMPLATES="true", **more)
            # A tick waits for nobody, so one request may overtake another on its way.
            ticks = sorted((one.json()["tick"], one.json()["n"]) for one in sink.wait_count(40))[:30]
            process.kill()
            self.assertEqual([tick for tick, _ in ticks], list(range(30)))
            return [number for _, number in ticks]

        self.assertEqual(seen(PAYLOAD_ORDER="sequence"), [number % 10 for number in range(30)])
        first = seen(PAYLOAD_SEED=7)
        self.assertEqual(first, seen(PAYLOAD_SEED=7))
        self.assertNotEqual(first, seen(PAYLOAD_SEED=8))
        self.assertGreater(len(set(seen())), 5)

    def test_templates(self):
        sink = self.sink()
        path = self.payloads(
            {"n": "{{counter 100}}", "id": "{{uuid}}", "at": "{{now}}", "dice": "{{random 1 6}}", "c": "{{pick a|b}}"}
        )
        self.start(sink, period=0.02, payloads=path, PAYLOAD_TEMPLATES="true")
        events = [one.json() for one in sink.wait_count(20)[:20]]
        self.assertEqual([one["n"] for one in events], list(range(100, 120)))
        self.assertEqual(len({one["id"] for one in events}), 20)
        for one in events:
            self.assertIn(one["dice"], range(1, 7))
            self.assertIn(one["c"], ("a", "b"))
            self.assertRegex(one["at"], r"^2\d{3}-\d\d-\d\dT.*Z$")

    def test_without_the_switch_braces_are_sent_as_they_are(self):
        sink = self.sink()
        self.start(sink, payloads=self.payloads({"n": "{{counter}}"}))
        self.assertEqual(sink.wait_count(1)[0].json(), {"n": "{{counter}}"})


class ResultTest(PropagatorCase):
    def test_the_line_has_the_original_form(self):
        process = self.start(self.sink(always(201)), METRICS_WINDOW=5)
        lines = self.wait_lines(process, 10)
        self.assertIn("Metrics: waiting for data …", process.logged("metrics")[0]["line"])
        self.assertRegex(
            lines[9]["line"],
            r"^HTTP metrics: jitter= *-?\d+\.\d ms \| status=201 \| fail=  0\.0% \| win=5/5 \| total=10$",
        )

    def test_statuses_below_400_are_fine_and_the_others_failed(self):
        for status, failed, tries in ((200, 0, 1), (204, 0, 1), (404, 100, 1), (422, 100, 1), (500, 100, 3)):
            with self.subTest(status):
                sink = self.sink(always(status))
                process = self.start(sink, period=5)
                line = self.wait_lines(process, 1)[0]
                self.assertEqual((line["status"], line["failed_percent"]), (status, failed))
                self.assertEqual(sink.count(), tries)
                self.assertEqual(len({one.headers["idempotency-key"] for one in sink.snapshot()}), 1)

    def test_408_429_and_5xx_are_tried_again_until_they_pass(self):
        for status in (408, 429, 502):
            with self.subTest(status):
                seen = []

                def script(headers, body):
                    seen.append(1)
                    return Answer(status if len(seen) == 1 else 201)

                sink = self.sink(script)
                process = self.start(sink, period=5)
                line = self.wait_lines(process, 1)[0]
                self.assertEqual((line["status"], line["failed_percent"], sink.count()), (201, 0, 2))

    def test_the_waits_are_the_original_ones(self):
        sink = self.sink(always(503))
        self.start(sink, period=10)
        times = [one.time for one in sink.wait_count(3)]
        self.assertAlmostEqual(times[1] - times[0], 0.2, delta=0.1)
        self.assertAlmostEqual(times[2] - times[1], 0.5, delta=0.1)

    def test_retry_after_is_obeyed(self):
        seen = []

        def script(headers, body):
            seen.append(1)
            return Answer(503, {"Retry-After": "2"}) if len(seen) == 1 else Answer(200)

        sink = self.sink(script)
        self.start(sink, period=10)
        times = [one.time for one in sink.wait_count(2)]
        self.assertGreater(times[1] - times[0], 1.9)

    def test_redirects_are_followed(self):
        receiver = self.raw(
            lambda number, text: answer(307, "Location: /there\r\n") if "/event " in text else answer(201)
        )
        process = self.start(receiver, period=5)
        self.assertEqual(self.wait_lines(process, 1)[0]["status"], 201)
        self.assertEqual([text.split(" ")[1] for _, text, _ in receiver.requests], ["/event", "/there"])


class BadReceiverTest(PropagatorCase):
    def failures(self, receiver, tries=3, **more):
        """One event, every try of which fails: one sample, counted as a failure."""
        process = self.start(receiver, period=20, **more)
        line = self.wait_lines(process, 1)[0]
        self.assertEqual((line["status"], line["failed_percent"], line["total"]), (0, 100, 1))
        self.assertEqual(len(process.logged("Consumer unreachable")), 1)
        self.assertEqual(process.logged("Consumer unreachable")[0]["tries"], tries)
        self.assertEqual(process.metric('propagator_retries_total{stream="city"}'), tries - 1)
        self.assertEqual(process.terminate(), 0)

    def test_nobody_listens(self):
        self.failures(f"http://127.0.0.1:{self.unused_port()}/event")

    def test_the_name_is_unknown(self):
        self.failures("http://nobody.invalid/event")

    def test_it_closes_without_an_answer(self):
        receiver = self.raw(lambda number, text: b"")
        self.failures(receiver)
        self.assertEqual(receiver.count(), 3)

    def test_it_closes_in_the_middle_of_the_answer(self):
        receiver = self.raw(lambda number, text: b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\nhalf")
        self.failures(receiver)
        self.assertEqual(receiver.count(), 3)

    def test_it_answers_garbage(self):
        for garbage in (b"\x00\xff\x13\x37garbage\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n", b"HTTP/9.9 banana\r\n\r\n"):
            with self.subTest(garbage):
                receiver = self.raw(lambda number, text: garbage)
                self.failures(receiver)

    def test_it_hangs(self):
        receiver = self.raw(lambda number, text: None)
        self.failures(receiver, SEND_TIMEOUT_SECONDS="0.3")

    def test_an_endless_answer_costs_neither_memory_nor_the_tick(self):
        def script(number, text):
            return b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (8 * 1024 * 1024)

        receiver = self.raw(script)
        process = self.start(receiver, period=0.1)
        line = self.wait_lines(process, 20)[19]
        self.assertEqual((line["status"], line["failed_percent"]), (200, 0))
        self.assertLess(self.resident_kib(process), 200_000)
        self.assertEqual(process.terminate(), 0)

    def test_a_slow_receiver_fills_the_places_and_the_rest_is_counted(self):
        sink = self.sink(always(200, action="hang"))
        process = self.start(sink, period=0.02, SEND_IN_FLIGHT_MAX=5, SEND_TIMEOUT_SECONDS=60)
        dropped = 'propagator_ticks_dropped_total{stream="city"}'
        wait_until(lambda: (process.metric(dropped) or 0) > 100, 20, "dropped ticks are counted")
        self.assertEqual((sink.count(), sink.max_in_flight), (5, 5))
        self.assertEqual(process.metric('propagator_in_flight{stream="city"}'), 5)
        before = self.resident_kib(process)
        wait_until(lambda: (process.metric(dropped) or 0) > 250, 20, "and on and on")
        self.assertLess(self.resident_kib(process) - before, 20_000)

    def test_it_flaps(self):
        """Every other request fails; every event passes in the end, and none is counted twice."""
        turn = []

        def script(headers, body):
            turn.append(1)
            return Answer(action="close") if len(turn) % 2 == 1 else Answer(201)

        sink = self.sink(script)
        process = self.start(sink, period=0.1, SEND_MAX_TRIES=20)
        self.wait_lines(process, 20)
        self.assertEqual(process.terminate(), 0)
        accepted = [one.headers["idempotency-key"] for one in sink.accepted()]
        self.assertEqual(len(accepted), len(set(accepted)))
        last = process.lines()[-1]
        self.assertEqual((last["failed_percent"], last["total"]), (0, len(accepted)))

    def test_it_comes_back(self):
        port = self.unused_port()
        process = self.start(f"http://127.0.0.1:{port}/event", period=0.2)
        self.wait_lines(process, 1)
        from harness import RecordingSink

        sink = RecordingSink(always(201), port)
        self.addCleanup(sink.close)
        sink.wait_count(3)
        wait_until(lambda: process.lines()[-1]["status"] == 201, 10, "the line tells the new status")
        self.assertEqual(process.terminate(), 0)


class TlsTest(PropagatorCase):
    def setUp(self):
        super().setUp()
        self.certificate, self.key = str(self.directory / "c.pem"), str(self.directory / "k.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
             "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", self.key, "-out", self.certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, self.key)

    def test_https_with_a_trusted_certificate(self):
        receiver = self.raw(lambda number, text: answer(201), self.context)
        process = self.start(f"https://127.0.0.1:{receiver.port}/event", SSL_CERT_FILE=self.certificate)
        self.assertEqual(self.wait_lines(process, 2)[1]["status"], 201)
        self.assertEqual(process.terminate(), 0)

    def test_an_unknown_certificate_is_refused(self):
        receiver = self.raw(lambda number, text: answer(201), self.context)
        process = self.start(f"https://127.0.0.1:{receiver.port}/event", period=10)
        self.assertEqual(self.wait_lines(process, 1)[0]["status"], 0)
        self.assertEqual(receiver.count(), 0)


if __name__ == "__main__":
    unittest.main()
