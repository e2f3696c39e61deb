"""Workflows without Kafka: the example from the first event to the last, its call, its deadline, its restart, its crashes."""

import json
import threading
import unittest

from harness import Answer, EndToEndTest, in_turn, wait_until


class WorkflowTest(EndToEndTest):
    def start_all(self, script=None, **settings):
        self.settings = settings
        self.client = self.open_client(self.start_api(**settings))
        self.valves = self.start_sink(script)
        self.receiver = self.start_sink()
        self.worker = self.run_worker()

    def run_worker(self):
        endpoints = f"valves=http://127.0.0.1:{self.valves.port}/valves"
        return self.start_worker(self.receiver, WORKFLOW_ENDPOINTS=endpoints, **self.settings)

    def report(self, leak):
        self.ingest(self.client, "leak.reported", {"leak_id": leak, "street": "Bay St"})

    def workflow(self, leak):
        response = self.client.get(f"/workflows/{leak}")
        self.assertEqual(response.status, 200, response)
        return response.json()

    def wait_status(self, leak, status):
        def check():
            found = self.workflow(leak)
            return found if found["status"] == status else None

        return wait_until(check, 30, f"{leak} is {status}; now {self.workflow(leak)}", poll=0.05)

    def test_from_the_first_event_to_the_last(self):
        self.start_all(lambda headers, body: Answer(200, body=b'{"closed":true}'))
        self.report(17)
        found = self.wait_status(17, "repairing")
        self.assertEqual([(s["step"], s["status"]) for s in found["steps"]], [("valve", "completed"), ("repair", "pending")])
        metrics = self.client.get("/metrics").body.decode()
        self.assertIn('workflows_under_way{workflow="water-leak",status="repairing"} 1\n', metrics)
        self.assertRegex(metrics, r'workflows_oldest_seconds{workflow="water-leak",status="repairing"} \d+\.\d+\n')
        (call,) = self.valves.snapshot()
        self.assertEqual((call.method, call.path), ("POST", "/valves/close"))
        self.assertEqual(call.json(), {"leak_id": 17, "street": "Bay St"})
        self.assertEqual(call.headers["idempotency-key"], "water-leak/17/valve/1")
        self.report(17)
        self.ingest(self.client, "leak.repaired", {"leak_id": 17})
        found = self.wait_status(17, "completed")
        self.assertTrue(found["ended"])
        self.assertNotIn('workflows_under_way{', self.client.get("/metrics").body.decode())
        self.assertEqual(found["leak_id"], "17")
        events = [row["event"] for row in reversed(found["history"])]
        self.assertEqual(events, ["leak.reported", "reply valve", "leak.repaired"])
        (crew,) = self.receiver.wait_count(1)
        self.assertEqual((crew.topic, crew.json()), ("crew.requested", {"leak_id": 17, "street": "Bay St"}))
        # The reply is an event like any other; the engine's own messages go to nobody else.
        reply = self.event(self.client, found["history"][1]["event_id"])
        self.assertEqual(reply["payload"]["body"], {"closed": True})
        self.assertEqual(self.valves.count(), 1)

    def test_a_transient_fault_is_tried_again_with_one_key(self):
        self.start_all(in_turn(Answer(503), Answer(action="close"), Answer(200)))
        self.report(1)
        self.wait_status(1, "repairing")
        self.assertEqual({call.headers["idempotency-key"] for call in self.valves.snapshot()}, {"water-leak/1/valve/1"})
        self.assertEqual(self.valves.count(), 3)

    def test_a_call_that_fails_is_an_outcome_and_can_be_restarted(self):
        answers = [Answer(503), Answer(503), Answer(404), Answer(200)]
        self.start_all(in_turn(*answers), OUTBOX_MAX_ATTEMPTS=2)
        self.report(1)
        failed = self.wait_status(1, "failed")
        self.assertEqual(failed["error"], "the valve is open")
        self.assertEqual(failed["steps"][0]["error"], "HTTP 503")
        restart = "/workflows/1/restart"
        self.assert_problem(self.client.request("POST", f"{restart}?step=repair"), 400)
        self.assert_problem(self.client.request("POST", "/workflows/9/restart?step=valve"), 404)
        self.assertEqual(self.client.request("POST", f"{restart}?step=valve").json(), {"status": "ok"})
        wait_until(lambda: self.workflow(1)["steps"][0].get("error") == "HTTP 404", 20, "the second failure")
        self.assertEqual(self.client.request("POST", f"{restart}?step=valve").json(), {"status": "ok"})
        found = self.wait_status(1, "repairing")
        self.assertEqual((found["steps"][0]["attempts"], found["steps"][0]["retries"]), (3, 2))
        self.assert_problem(self.client.request("POST", f"{restart}?step=valve"), 404)
        keys = [call.headers["idempotency-key"] for call in self.valves.snapshot()]
        self.assertEqual(keys, [f"water-leak/1/valve/{n}" for n in (1, 1, 2, 3)])
        self.assertEqual(self.database.count("dead_letters"), 0)

    def test_a_deadline_is_an_outcome(self):
        self.start_all(WORKFLOW_STEP_DEADLINE_SECONDS=1)
        self.report(1)
        found = self.wait_status(1, "failed")
        self.assertEqual(found["error"], "repair took too long")
        self.assertEqual(found["steps"][1]["error"], "no outcome before its deadline")
        self.assertEqual(found["history"][0]["event"], "wake")

    def lag(self):
        """Of the subscription that gets every message, and of the one that makes calls once there is a worker for it."""
        found = self.client.get("/outbox/lag").json()
        return {(each["unsent"], each["oldest_unsent_seconds"], each["retrying"]) for each in found}

    def gauges(self):
        samples = [text.rpartition(" ") for text in self.client.get("/metrics").body.decode().splitlines()]
        wanted = ("outbox_depth", "outbox_oldest_unsent_seconds", 'outbox_subscription_depth{subscription="default"}')
        return {name: float(value) for name, _, value in samples if name in wanted}

    def test_a_timer_that_is_not_due_is_no_backlog(self):
        """Not before a worker has seen it, and not while it waits; an alert on either would never end."""
        self.client = self.open_client(self.start_api())
        for leak in range(5):
            self.report(leak)
        self.assertEqual(self.database.count("outbox", "due_at > now()"), 5)
        self.assertEqual([unsent for unsent, _, _ in self.lag()], [5], "a call each, and no timer")
        self.start_all(lambda headers, body: Answer(200))
        wait_until(lambda: self.lag() == {(0, 0, 0)}, 30, "nothing is behind", poll=0.1)
        for leak in range(5):
            self.wait_status(leak, "repairing")
        wait_until(lambda: self.lag() == {(0, 0, 0)}, 30, "nothing is behind", poll=0.1)
        self.assertEqual(set(self.gauges().values()), {0.0}, self.gauges())
        self.assertEqual(len(self.gauges()), 3)
        waiting = "select count(*) from outbox_retries r join outbox o using (lane, seq) where o.due_at > now() and not adopted"
        wait_until(lambda: self.database.value(waiting) >= 5, 30, "the timers are there", poll=0.1)

    def test_an_event_without_an_id_is_stored_and_told(self):
        self.start_all()
        answer = self.ingest(self.client, "leak.reported", {"street": "Bay St"})
        self.assertEqual(answer["validation_errors"], [{"field": "leak_id", "message": "must be a text or a whole number"}])
        self.assertEqual(self.client.get("/workflows").json(), [])
        self.assert_problem(self.client.post_json("/ingest/$workflow", {"event": "wake"}), 422)

    def test_the_list_goes_on(self):
        self.start_all()
        for leak in range(5):
            self.report(leak)
        first = self.client.get("/workflows?workflow=water-leak&limit=3")
        self.assertEqual([row["id"] for row in first.json()], ["4", "3", "2"])
        link = first.header("link")
        second = self.client.get(link[1 : link.index(">")])
        self.assertEqual([row["id"] for row in second.json()], ["1", "0"])
        self.assertEqual(self.client.get("/workflows?workflow=other").json(), [])
        self.wait_status(0, "repairing")
        self.assertIn("0", [row["id"] for row in self.client.get("/workflows?status=repairing").json()])
        self.assert_problem(self.client.get("/workflows?limit=0"), 422)
        self.assert_problem(self.client.get("/workflows?after=x"), 422)
        self.assert_problem(self.client.get("/workflows/none"), 404)

    def test_workers_that_are_killed_lose_no_call_and_repeat_no_turn(self):
        self.start_all(lambda headers, body: Answer(200, delay=0.02))
        leaks = list(range(200))
        reporter = threading.Thread(target=lambda: [self.report(leak) for leak in leaks])
        reporter.start()
        for _ in range(4):
            wait_until(lambda: self.valves.count() > 0, 20)
            seen = self.valves.count()
            wait_until(lambda: self.valves.count() > seen or not reporter.is_alive(), 20)
            self.worker.kill()
            self.worker = self.run_worker()
        reporter.join()
        wanted = self.database.count
        wait_until(lambda: wanted("workflow_instances", "status = 'repairing'") == len(leaks), 60, "all repairing", poll=0.2)
        keys = {call.headers["idempotency-key"] for call in self.valves.snapshot()}
        self.assertEqual(keys, {f"water-leak/{leak}/valve/1" for leak in leaks})
        # One turn for each event, one message to the crew for each leak.
        self.assertEqual(wanted("workflow_history"), 2 * len(leaks))
        self.assertEqual(wanted("outbox", "topic = 'crew.requested'"), len(leaks))
        wait_until(lambda: {json.loads(d.body)["leak_id"] for d in self.receiver.snapshot()} == set(leaks), 30, "all crews")
        ids = {}
        for delivery in self.receiver.snapshot():
            ids.setdefault(delivery.json()["leak_id"], set()).add(delivery.event_id)
        self.assertEqual({len(found) for found in ids.values()}, {1})


if __name__ == "__main__":
    unittest.main()
