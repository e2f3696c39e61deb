"""polis-outbox-worker against a real receiver: delivery, retries, order, stopping."""

import collections
import datetime
import json
import time
import unittest

from harness import Answer, always, in_turn, parse_time, wait_until
from worker_case import WorkerCase


class DeliveryTest(WorkerCase):
    def test_body_and_headers(self):
        sink = self.start_sink()
        started = int(time.time())
        answer = self.ingest(self.client, "health", {"patient_id": 1, "alert": "emergency", "location": "Čapkova"})
        self.start_worker(sink)
        deliveries = {delivery.event_id: delivery for delivery in sink.wait_count(2)}
        base = self.event(self.client, answer["stored_event_id"])
        for derived in base["derived_events"]:
            delivery = deliveries[derived["id"]]
            self.assertEqual(delivery.method, "POST")
            self.assertEqual(delivery.path, "/events")
            self.assertEqual(delivery.json(), derived["payload"])
            headers = delivery.headers
            self.assertEqual(headers["ce-id"], derived["id"])
            self.assertEqual(headers["ce-type"], f"event.{derived['service']}")
            self.assertEqual(headers["ce-specversion"], "1.0")
            self.assertTrue(headers["ce-source"])
            parse_time(headers["ce-time"])
            self.assertTrue(headers["content-type"].startswith("application/json"))
            self.assertTrue(headers["webhook-id"])
            self.assertTrue(started - 1 <= int(headers["webhook-timestamp"]) <= time.time() + 1, headers)
            self.assertIn(f"127.0.0.1:{sink.port}", headers["host"])
        self.assertEqual(len({delivery.headers["webhook-id"] for delivery in deliveries.values()}), 2)
        rows = self.wait_all_sent(2)
        for row in rows:
            self.assertEqual((row["attempts"], row["last_error"], row["subscription"]), (0, None, "default"))
            self.assertLessEqual(
                datetime.datetime.fromisoformat(row["created_at"]),
                datetime.datetime.fromisoformat(row["published_at"]),
            )
        self.assertEqual(sink.count(), 2)

    def test_only_derived_events_are_delivered(self):
        sink = self.start_sink()
        self.start_worker(sink)
        self.ingest(self.client, "parks", {"a": 1})
        self.ingest(self.client, "transport", {"bus_id": 1})
        derived = self.alert()
        self.wait_message(derived, status="sent")
        self.assertEqual([delivery.event_id for delivery in sink.snapshot()], [derived])

    def test_a_new_message_goes_out_at_once(self):
        """The worker is woken, it does not wait for its poll."""
        sink = self.start_sink()
        self.start_worker(sink, OUTBOX_POLL_SECONDS="20")
        self.alert()
        sink.wait_count(1, 10)

    def test_connections_are_kept(self):
        sink = self.start_sink()
        count = self.emergencies(100)
        self.start_worker(sink)
        self.wait_all_sent(count)
        self.assertLess(len({delivery.connection_id for delivery in sink.snapshot()}), 100)

    def test_many_messages_once_each(self):
        sink = self.start_sink()
        self.start_worker(sink)
        count = self.emergencies(500, times=2)
        self.wait_all_sent(count, 40)
        self.assert_each_once(sink.accepted(), count)

    def test_several_workers_side_by_side(self):
        sink = self.start_sink(always(200, delay=0.002))
        count = self.emergencies(200, times=2)
        workers = [self.start_worker(sink) for _ in range(3)]
        count += self.emergencies(200, first_patient=1000, times=2)
        self.wait_all_sent(count, 40)
        self.assert_each_once(sink.snapshot(), count)
        for worker in workers:
            self.assertEqual(worker.terminate(), 0)
        self.assert_each_once(sink.snapshot(), count)

    def test_metrics_and_health_of_the_worker(self):
        worker = self.start_worker(self.start_sink())
        with worker.client() as client:
            self.assertEqual(client.get("/healthz").status, 200)
            self.assertEqual(client.get("/readyz").status, 200)
            self.assertIn(b"# TYPE", client.get("/metrics").body)

    def test_log_and_null_sinks(self):
        count = self.emergencies(5)
        worker = self.start_worker("log:")
        self.wait_all_sent(count)
        self.assertEqual(worker.terminate(), 0)
        self.emergencies(5)
        self.start_worker("null:")
        self.wait_all_sent(2 * count)


class RetryTest(WorkerCase):
    def test_faults_are_retried_until_it_works(self):
        for name, fault in [
            ("500", 500),
            ("503", 503),
            ("408", 408),
            ("429", 429),
            ("closed", Answer(action="close")),
        ]:
            with self.subTest(fault=name):
                sink = self.start_sink(in_turn(fault, fault, 200))
                worker = self.start_worker(sink)
                derived = self.alert(name)
                self.wait_message(derived, status="sent")
                row = self.message(derived)
                self.assertEqual(row["attempts"], 2, row)
                deliveries = sink.snapshot()
                self.assertEqual([delivery.event_id for delivery in deliveries], [derived] * 3)
                for header in ["webhook-id", "ce-id", "ce-type", "ce-source", "ce-time"]:
                    self.assertEqual(len({delivery.headers[header] for delivery in deliveries}), 1, header)
                self.assertEqual(len({delivery.body for delivery in deliveries}), 1)
                self.assertEqual(worker.terminate(), 0)

    def test_attempts_and_the_last_error_are_visible_while_it_waits(self):
        sink = self.start_sink(always(503))
        self.start_worker(
            sink, OUTBOX_RETRY_BASE_SECONDS="0.05", OUTBOX_MAX_ATTEMPTS=50, OUTBOX_RETRY_MAX_SECONDS="0.5"
        )
        derived = self.alert()
        row = wait_until(
            lambda: (lambda found: found if found["attempts"] >= 2 else None)(self.message(derived)),
            15,
            "two attempts",
            poll=0.05,
        )
        self.assertEqual((row["status"], row["published_at"]), ("pending", None))
        self.assertIn("503", row["last_error"])
        deliveries = [one for one in self.event(self.client, derived)["deliveries"]]
        self.assertGreaterEqual(deliveries[0]["attempts"], 2)

    def test_a_receiver_that_is_down_is_a_fault_like_any_other(self):
        sink = self.start_sink()
        sink.close()
        self.start_worker(sink.url, OUTBOX_MAX_ATTEMPTS=3)
        derived = self.alert()
        row = self.wait_message(derived, status="failed", deadline=30)
        self.assertEqual(row["attempts"], 3)
        self.assertTrue(row["last_error"])

    def test_a_receiver_that_does_not_answer_times_out(self):
        sink = self.start_sink(in_turn(Answer(action="hang"), 200))
        self.start_worker(sink, OUTBOX_TIMEOUT_SECONDS="1")
        derived = self.alert()
        row = self.wait_message(derived, status="sent")
        self.assertEqual(row["attempts"], 1)
        self.assertEqual(sink.count(), 2)

    def test_five_tries_then_failed(self):
        sink = self.start_sink(always(500))
        self.start_worker(sink)
        derived = self.alert()
        row = self.wait_message(derived, status="failed", deadline=30)
        self.assertEqual((row["attempts"], row["published_at"]), (5, None))
        self.assertIn("500", row["last_error"])
        self.assertEqual(sink.count(), 5)

    def test_the_number_of_tries_is_configured(self):
        sink = self.start_sink(always(500))
        self.start_worker(sink, OUTBOX_MAX_ATTEMPTS=2)
        derived = self.alert()
        self.assertEqual(self.wait_message(derived, status="failed")["attempts"], 2)
        self.assertEqual(sink.count(), 2)

    def test_recovery_before_the_last_try_is_sent_with_its_attempts(self):
        sink = self.start_sink(in_turn(500, 502, 503, 504, 200))
        self.start_worker(sink)
        derived = self.alert()
        row = self.wait_message(derived, status="sent", deadline=30)
        self.assertEqual(row["attempts"], 4)
        self.assertIsNotNone(row["published_at"])

    def test_other_client_errors_fail_at_once(self):
        for status in [400, 401, 403, 404, 422]:
            with self.subTest(status=status):
                sink = self.start_sink(always(status))
                worker = self.start_worker(sink)
                derived = self.alert(str(status))
                row = self.wait_message(derived, status="failed")
                self.assertEqual(row["attempts"], 1)
                self.assertIn(str(status), row["last_error"])
                self.assertEqual(sink.count(), 1)
                self.assertEqual(worker.terminate(), 0)

    def test_redirects_are_not_followed(self):
        target = self.start_sink()
        sink = self.start_sink(always(302, headers={"Location": target.url}))
        self.start_worker(sink, OUTBOX_MAX_ATTEMPTS=2)
        derived = self.alert()
        self.wait_message(derived, status="failed")
        self.assertEqual(target.count(), 0)

    def test_retry_after_is_honoured(self):
        for status in [429, 503]:
            with self.subTest(status=status):
                sink = self.start_sink(in_turn(Answer(status, {"Retry-After": "2"}), 200))
                worker = self.start_worker(sink)
                derived = self.alert(f"later-{status}")
                self.wait_message(derived, status="sent")
                first, second = sink.snapshot()
                self.assertGreaterEqual(second.time - first.time, 1.9)
                self.assertLess(second.time - first.time, 8)
                self.assertEqual(worker.terminate(), 0)

    def test_failed_messages_do_not_stop_others(self):
        def script(headers, body):
            return Answer(500 if json.loads(body)["neighborhood"] == "bad" else 200)

        sink = self.start_sink(script)
        self.start_worker(sink, OUTBOX_MAX_ATTEMPTS=100, OUTBOX_RETRY_MAX_SECONDS="1")
        bad = self.alert("bad")
        good = [self.alert(f"good-{number}") for number in range(50)]
        for derived in good:
            self.wait_message(derived, status="sent")
        self.assertEqual(self.message(bad)["status"], "pending")

    def test_gone_disables_the_subscription(self):
        sink = self.start_sink(always(410))
        self.start_worker(sink)
        self.alert("first")
        sink.wait_count(1)
        self.wait_messages(
            lambda rows: rows[0]["last_error"] is not None or rows[0]["status"] == "failed", what="410 is recorded"
        )
        later = self.alert("second")
        marker = time.monotonic()
        wait_until(lambda: time.monotonic() - marker > 2, 5, "two polls and more")
        self.assertEqual(sink.count(), 1)
        self.assertNotEqual(self.message(later)["status"], "sent")


class OrderTest(WorkerCase):
    def key_of(self, delivery):
        body = delivery.json()
        return body.get("patient_id", body.get("neighborhood"))

    def test_order_of_a_key_is_kept_through_retries(self):
        """Every third message fails twice; later messages of its key must wait behind it."""
        tries = collections.Counter()

        def script(headers, body):
            identity = headers["ce-id"]
            tries[identity] += 1
            unlucky = json.loads(body)["energy"] % 3 == 0
            return Answer(503 if unlucky and tries[identity] <= 2 else 200)

        sink = self.start_sink(script)
        items = [
            {"energy": 600 + turn, "neighborhood": f"n{number}"} for turn in range(12) for number in range(10)
        ]
        self.assertEqual(self.client.post_json("/ingest/energy", items).status, 200)
        for _ in range(2):
            self.start_worker(sink)
        self.wait_all_sent(120, 40)
        order = collections.defaultdict(list)
        for delivery in sink.accepted():
            order[self.key_of(delivery)].append(delivery.json()["energy"])
        self.assertEqual(len(order), 10)
        for key, energies in order.items():
            self.assertEqual(energies, [600 + turn for turn in range(12)], key)

    def test_a_dead_letter_lets_the_next_of_its_key_go(self):
        sink = self.start_sink(lambda headers, body: Answer(400 if json.loads(body)["energy"] == 601 else 200))
        items = [{"energy": 600 + turn, "neighborhood": "one"} for turn in range(4)]
        self.assertEqual(self.client.post_json("/ingest/energy", items).status, 200)
        self.start_worker(sink)
        rows = self.wait_messages(
            lambda found: sorted(row["status"] for row in found) == ["failed", "sent", "sent", "sent"]
        )
        self.assertEqual(next(row for row in rows if row["status"] == "failed")["payload"]["energy"], 601)
        self.assertEqual([delivery.json()["energy"] for delivery in sink.snapshot()], [600, 601, 602, 603])


class DrainTest(WorkerCase):
    def test_drain_delivers_everything_and_ends(self):
        sink = self.start_sink()
        count = self.emergencies(150)
        self.assertEqual(self.launch_worker(sink, "--drain").wait(60), 0)
        self.assert_each_once(sink.snapshot(), count)
        self.assertEqual(self.database.count("outbox_messages", "status = 'sent'"), count)

    def test_drain_with_nothing_to_do(self):
        self.assertEqual(self.launch_worker(self.start_sink(), "--drain").wait(30), 0)

    def test_drain_does_not_wait_for_what_is_not_due(self):
        sink = self.start_sink(in_turn(Answer(503, {"Retry-After": "100"})))
        derived = self.alert()
        self.assertEqual(self.launch_worker(sink, "--drain").wait(30), 0)
        self.assertEqual((self.message(derived)["status"], self.message(derived)["attempts"]), ("pending", 1))
        self.assertEqual(sink.count(), 1)

    def test_drain_beside_a_worker_that_has_everything_says_so_and_ends(self):
        hanging = self.start_sink(lambda headers, body: Answer(action="hang"))
        self.alert()
        self.start_worker(hanging)
        hanging.wait_count(1)
        drain = self.launch_worker(self.start_sink(), "--drain")
        self.assertEqual(drain.wait(60), 1)
        self.assertIn("lanes belong to another worker", drain.log_text())
        hanging.release()

    def test_drain_twice_in_a_row(self):
        """The first hands its lanes back: the second need not wait for a lease to end."""
        sink = self.start_sink()
        for turn in range(2):
            count = self.emergencies(20, first_patient=100 * turn)
            started = time.monotonic()
            self.assertEqual(self.launch_worker(sink, "--drain").wait(30), 0)
            self.assertLess(time.monotonic() - started, 10)
            self.assertEqual(sink.count(), count * (turn + 1))


if __name__ == "__main__":
    unittest.main()
