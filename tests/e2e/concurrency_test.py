"""Many at once: one key, one window, two api processes."""

import threading
import unittest

from harness import EndToEndTest, wait_until

clients = 32


def at_once(tasks):
    """Runs all tasks from a common start; their results in order. A failed task raises here."""
    barrier = threading.Barrier(len(tasks))
    results = [None] * len(tasks)

    def run(index, task):
        try:
            barrier.wait(30)
            results[index] = task()
        except BaseException as fault:
            results[index] = fault

    threads = [threading.Thread(target=run, args=(index, task), daemon=True) for index, task in enumerate(tasks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


class ConcurrencyTest(EndToEndTest):
    def connected(self, *apis):
        """`clients` open connections, spread over the apis."""
        opened = [self.open_client(apis[index % len(apis)]) for index in range(clients)]
        for client in opened:
            self.assertEqual(client.get("/health").status, 200)
        return opened

    def post_all(self, connections, path, body):
        return at_once(
            [
                lambda client=client, index=index: client.post_json(path, body(index))
                for index, client in enumerate(connections)
            ]
        )

    def check_one_key(self, connections):
        for turn in range(5):
            answers = self.post_all(
                connections,
                f"/ingest/health?dedupe_key=same-{turn}",
                lambda index: {"patient_id": 1000 + turn, "alert": "emergency", "sender": index},
            )
            self.assertEqual({answer.status for answer in answers}, {200})
            bodies = [answer.json() for answer in answers]
            self.assertTrue(all(body == bodies[0] for body in bodies), bodies)
            self.assertEqual(len(bodies[0]["derived_events"]), 2)
            replayed = [answer for answer in answers if answer.header("idempotent-replayed") == "true"]
            self.assertEqual(len(replayed), clients - 1)
        self.assertEqual(self.database.count("event_details", "source_event_id is null"), 5)
        self.assertEqual(self.database.count("events"), 15)
        self.assertEqual(self.database.count("outbox_messages"), 10)

    def test_one_key_one_process(self):
        self.check_one_key(self.connected(self.start_api()))

    def test_one_key_two_processes(self):
        self.check_one_key(self.connected(self.start_api(), self.start_api()))

    def check_one_window(self, connections):
        for turn in range(5):
            answers = self.post_all(
                connections, "/ingest/health", lambda index: {"patient_id": turn, "alert": "emergency"}
            )
            self.assertEqual(
                {answer.status for answer in answers},
                {200},
                [answer for answer in answers if answer.status != 200],
            )
            bodies = [answer.json() for answer in answers]
            self.assertEqual(len({body["stored_event_id"] for body in bodies}), clients)
            self.assertEqual(len({tuple(body["derived_events"]) for body in bodies}), 1, bodies)
            self.assertEqual(len([body for body in bodies if "suppressed" not in body]), 1)
        self.assertEqual(self.database.count("event_details", "source_event_id is null"), 5 * clients)
        self.assertEqual(self.database.count("event_details", "source_event_id is not null"), 10)
        self.assertEqual(self.database.count("outbox_messages"), 10)

    def test_one_window_one_process(self):
        self.check_one_window(self.connected(self.start_api()))

    def test_one_window_two_processes(self):
        self.check_one_window(self.connected(self.start_api(), self.start_api()))

    def test_many_keys_over_two_processes(self):
        """Every key is sent by four clients in different orders; batches and single events mixed."""
        connections = self.connected(self.start_api(), self.start_api())
        keys = [f"many-{number}" for number in range(40)]

        def send(client, index):
            order = keys[index:] + keys[:index]
            if index % 2:
                order.reverse()
            answers = {}
            for key in order:
                response = client.post_json(
                    "/ingest/energy", {"energy": 600, "neighborhood": key}, {"Idempotency-Key": key}
                )
                self.assertEqual(response.status, 200, response)
                answers[key] = response.json()
            return answers

        results = at_once(
            [
                lambda client=client, index=index: send(client, index)
                for index, client in enumerate(connections[:16])
            ]
        )
        for answers in results:
            self.assertEqual(answers, results[0])
        self.assertEqual(self.database.count("event_details", "source_event_id is null"), len(keys))
        self.assertEqual(self.database.count("events"), 2 * len(keys))

    def test_equal_batches_over_two_processes(self):
        """The same 50 keyed items in opposite orders: no deadlock, one event a key."""
        connections = self.connected(self.start_api(), self.start_api())[:16]
        envelopes = [
            {
                "specversion": "1.0",
                "id": f"batch-{number}",
                "source": "/x",
                "type": "t",
                "data": {"energy": 600, "neighborhood": f"b{number}"},
            }
            for number in range(50)
        ]

        def send(client, index):
            ordered = envelopes if index % 2 else list(reversed(envelopes))
            response = client.post_json(
                "/ingest/energy", ordered, {"Content-Type": "application/cloudevents-batch+json"}
            )
            self.assertEqual(response.status, 200, response)
            return {
                item["id"]: result["stored_event_id"] for item, result in zip(ordered, response.json()["results"])
            }

        results = at_once(
            [lambda client=client, index=index: send(client, index) for index, client in enumerate(connections)]
        )
        for answers in results:
            self.assertEqual(answers, results[0])
        self.assertEqual(self.database.count("event_details", "source_event_id is null"), 50)
        self.assertEqual(self.database.count("outbox_messages"), 50)

    def test_one_key_twice_in_one_batch(self):
        client = self.open_client(self.start_api())
        envelope = {"specversion": "1.0", "id": "twice", "source": "/x", "type": "t", "data": {"a": 1}}
        response = client.post_json(
            "/ingest/parks", [envelope, envelope], {"Content-Type": "application/cloudevents-batch+json"}
        )
        self.assertEqual(response.status, 200, response)
        first, second = response.json()["results"]
        self.assertEqual(first["stored_event_id"], second["stored_event_id"])
        self.assertTrue(second.get("replayed"), second)
        self.assertEqual(self.database.count("events"), 1)


class BackpressureTest(EndToEndTest):
    def test_a_full_queue_is_503_and_loses_nothing(self):
        """The writer waits for a lock, the queue fills: the surplus is refused at once, the rest is stored afterwards."""
        api = self.start_api(INGEST_QUEUE_ROWS_MAX=10, INGEST_BATCH_ROWS_MAX=5)
        opened = [self.open_client(api) for _ in range(60)]
        self.ingest(opened[0], "parks", {"first": True})
        blocker = self.hold_lock("events")
        answers, lock = [], threading.Lock()

        def send(client, index):
            try:
                response = client.post_json(
                    "/ingest/parks", {"index": index}, {"Idempotency-Key": f"full-{index}"}
                )
            except OSError as fault:
                response = fault
            with lock:
                answers.append(response)

        threads = [
            threading.Thread(target=send, args=(client, index), daemon=True) for index, client in enumerate(opened)
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(answers) >= 20, 10, "the surplus is refused while the writer waits")
        with lock:
            refused = list(answers)
        self.release_lock(blocker)
        for thread in threads:
            thread.join(30)
        for response in refused:
            self.assert_problem(response, 503)
            self.assertTrue(response.header("retry-after"))
        self.assertEqual([fault for fault in answers if isinstance(fault, OSError)], [])
        self.assertEqual({response.status for response in answers}, {200, 503})
        stored = len([response for response in answers if response.status == 200])
        self.assertEqual(self.database.count("events"), stored + 1)


if __name__ == "__main__":
    unittest.main()
