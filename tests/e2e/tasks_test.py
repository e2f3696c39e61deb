"""Orchestrator 001 without a broker: split, call, track. Rows of contracts 7, and the weaknesses W of 2.7."""

import json
import time
import unittest

from harness import wait_until
from mock_services import MockServices
from client import Client
from task_case import TaskCase, full_item, ids, request


class TasksTest(TaskCase):
    def setUp(self):
        super().setUp()
        self.client = self.open_client(self.start_api(), timeout=60)

    def start_all(self, script=None, delay_factor=0.0, **settings):
        self.start_services(script, delay_factor=delay_factor)
        return self.start_task_worker(**settings)

    def direct(self, body=None):
        answer = self.client.post_json("/api/orchestrate/direct", body or request(full_item()))
        self.assertEqual(answer.status, 200, answer)
        return answer.json()

    # --- Accept, split, track

    def test_a_task_is_split_called_and_tracked(self):
        """W1 it ends; W5 the ids are the caller's; W8 reads go on meanwhile."""
        self.start_all(delay_factor=0.3)
        task_id = self.orchestrate(request(full_item(1), {"revenue": ids(2), "ignored": 1}, {"specialty": ids(3)}))
        self.assertIn(self.task(task_id)["status"], ("PENDING", "IN_PROGRESS"))
        task = self.wait_status(task_id)
        self.assertEqual(task["status"], "COMPLETED", task)
        self.assertEqual((task["task_name"], task["task_description"]), ("a task", "for a test"))
        self.assertIsNone(task["error_message"])
        self.assertEqual(task["payload"][1], {"revenue": ids(2), "rebates": None, "specialty": None})
        for name, numbers in (("revenue", (1, 2)), ("rebates", (1,)), ("specialty", (1, 3))):
            (call,) = self.services.calls_of(f"/{name}")
            self.assertEqual(json.loads(call.body), [ids(number) for number in numbers])
            row = self.requests_of(task)[name]
            self.assertEqual(row["status"], "COMPLETED")
            self.assertEqual((row["scenario_id"], row["business_type_id"]), ("s1", "b1"))
            self.assertEqual(row["task_id"], task_id)
            self.assertEqual(row["request_payload"], {"items": [ids(number) for number in numbers]})
            self.assertEqual(row["response_payload"]["status"], "success")
            self.assertEqual(len(row["response_payload"]["data"]), len(numbers))
        calls = self.services.calls
        self.assertLess(max(call.began for call in calls), min(call.ended for call in calls), "not at the same time")

    def test_the_tables_of_the_original(self):
        """W2, W3: what reads the database of 001 finds its columns and values, as views."""
        self.start_all(lambda path, number: (400, {"detail": "no"}) if path == "/rebates" else None)
        task_id = self.orchestrate(request({"revenue": ids(1), "rebates": ids(2)}))
        self.wait_status(task_id, "FAILED")
        (task,) = self.database.rows("select * from tasks")
        wanted = {"id", "task_id", "task_name", "task_description", "status", "created_at", "updated_at", "payload"}
        self.assertLessEqual(wanted | {"error_message"}, set(task))
        self.assertEqual((task["task_id"], task["task_name"], task["status"]), (task_id, "a task", "FAILED"))
        self.assertEqual(list(json.loads(task["error_message"])), ["rebates"])
        rows = {row["service_name"]: row for row in self.database.rows("select * from service_requests")}
        wanted = {"id", "task_id", "service_name", "scenario_id", "business_type_id", "status", "created_at", "updated_at"}
        self.assertLessEqual(wanted | {"request_payload", "response_payload", "error_message"}, set(rows["revenue"]))
        self.assertEqual({name: row["status"] for name, row in rows.items()}, {"revenue": "COMPLETED", "rebates": "FAILED"})
        self.assertEqual({row["task_id"] for row in rows.values()}, {task_id})
        self.assertEqual((rows["rebates"]["scenario_id"], rows["rebates"]["business_type_id"]), ("s2", "b2"))
        self.assertEqual(rows["revenue"]["request_payload"], {"items": [ids(1)]})

    def test_what_a_request_must_have(self):
        for body, field in (
            ({"task_name": "n", "payload": []}, "task_description"),
            (request(task_description=None), "task_description"),
            (request(task_name=7), "task_name"),
            ({"task_name": "n", "task_description": "d"}, "payload"),
            (request({}), "payload.0"),
            (request({"revenue": None}), "payload.0"),
            (request({"revenue": {"scenario_id": "s"}}), "payload.0.revenue.business_type_id"),
            (request({"rebates": {"scenario_id": 1, "business_type_id": "b"}}), "payload.0.rebates.scenario_id"),
        ):
            for path in ("/api/orchestrate", "/api/orchestrate/direct"):
                problem = self.assert_problem(self.client.post_json(path, body), 422)
                self.assertEqual([each["field"] for each in problem["errors"]], [field])
        problem = self.assert_problem(self.client.post_json("/api/orchestrate", request({})), 422)
        self.assertIn("At least one of revenue, rebates, or specialty must be provided", problem["detail"])
        for raw in ("", "{", "[]", "7"):
            self.assert_problem(self.client.post_raw("/api/orchestrate", raw), 422)
        self.assertEqual(self.client.get("/api/tasks").json(), [])

    def test_nothing_to_call_is_a_success(self):
        task = self.task(self.orchestrate(request()))
        self.assertEqual((task["status"], task["service_requests"], task["payload"]), ("COMPLETED", [], []))

    def test_direct(self):
        self.start_all()
        result = self.direct()
        self.assertEqual(result["status"], "success")
        self.assertEqual(result["errors"], {})
        self.assertEqual(set(result["results"]), {"revenue", "rebates", "specialty"})
        self.assertEqual(len(self.services.calls), 3)
        self.assertEqual(self.task(result["task_id"])["status"], "COMPLETED")
        nothing = self.direct(request())
        self.assertEqual((nothing["status"], nothing["results"]), ("success", {}))

    # --- Failures

    def test_partial_and_total_failure(self):
        """W4: the final status stays."""
        self.start_all(lambda path, number: (500, {"detail": "no"}) if path == "/revenue" else None, OUTBOX_MAX_ATTEMPTS=2)
        result = self.direct()
        self.assertEqual(result["status"], "partial_success")
        self.assertEqual(set(result["results"]), {"rebates", "specialty"})
        self.assertEqual(set(result["errors"]), {"revenue"})
        task = self.task(result["task_id"])
        self.assertEqual(task["status"], "FAILED")
        self.assertEqual(json.loads(task["error_message"]), result["errors"])
        self.assertEqual(self.requests_of(task)["revenue"]["status"], "FAILED")
        self.assertEqual(self.requests_of(task)["revenue"]["error_message"], result["errors"]["revenue"])
        self.assertEqual(len(self.services.calls_of("/revenue")), 2)
        total = self.direct(request({"revenue": ids(1)}))
        self.assertEqual((total["status"], total["results"]), ("failure", {}))
        self.assertEqual(self.task(result["task_id"])["status"], "FAILED")

    def test_a_client_mistake_is_not_tried_again(self):
        self.start_all(lambda path, number: (400, {"detail": "no"}))
        self.assertEqual(self.direct(request({"rebates": ids(1)}))["status"], "failure")
        self.assertEqual(len(self.services.calls), 1)

    def test_transient_faults_are_tried_again_under_the_same_key(self):
        """W9."""

        def script(path, number):
            return {"/revenue": (503, {}), "/rebates": "close"}.get(path) if number == 0 else None

        self.start_all(script)
        self.assertEqual(self.direct()["status"], "success")
        for path in ("/revenue", "/rebates"):
            calls = self.services.calls_of(path)
            self.assertEqual(len(calls), 2)
            self.assertEqual(len({call.headers["idempotency-key"] for call in calls}), 1)

    def test_a_service_that_hangs_fails_by_its_timeout(self):
        self.start_all(
            lambda path, number: "hang" if path == "/specialty" else None,
            SERVICE_TIMEOUT_SECONDS=0.3,
            OUTBOX_MAX_ATTEMPTS=2,
        )
        result = self.direct()
        self.assertEqual(result["status"], "partial_success")
        self.assertIn("Timeout", result["errors"]["specialty"])

    def test_a_service_that_is_not_there(self):
        self.start_services()
        url = self.services.url("/revenue")
        self.services.close()
        self.start_worker("null:", REVENUE_SERVICE_URL=url, OUTBOX_MAX_ATTEMPTS=2)
        self.assertEqual(self.direct(request({"revenue": ids(1)}))["status"], "failure")

    def test_any_json_can_be_an_answer(self):
        """W13, W14."""
        self.start_all(lambda path, number: (200, {"/revenue": [1, 2], "/rebates": {}, "/specialty": "x"}[path]))
        result = self.direct()
        self.assertEqual(result["results"], {"revenue": [1, 2], "rebates": {}, "specialty": "x"})
        rows = self.requests_of(self.task(result["task_id"]))
        self.assertEqual(rows["revenue"]["response_payload"], [1, 2])
        self.assertEqual(rows["rebates"]["response_payload"], {})

    def test_a_killed_worker_loses_no_task(self):
        """W6, W7: accepted is stored; what was under way is made again under its key."""
        worker = self.start_all(lambda path, number: "hang" if number == 0 else None)
        task_id = self.orchestrate()
        wait_until(lambda: len(self.services.calls) == 3, 20, "the calls are under way")
        worker.kill()
        self.services.released.set()
        self.start_task_worker()
        self.assertEqual(self.wait_status(task_id, deadline=60)["status"], "COMPLETED")
        for path in ("/revenue", "/rebates", "/specialty"):
            keys = {call.headers["idempotency-key"] for call in self.services.calls_of(path)}
            self.assertEqual(len(keys), 1)

    def test_no_worker_delays_a_task(self):
        task_id = self.orchestrate()
        self.assertEqual(self.task(task_id)["status"], "IN_PROGRESS")
        self.start_all()
        self.assertEqual(self.wait_status(task_id)["status"], "COMPLETED")

    # --- Lists and keys

    def test_list(self):
        """W11: one query a page, with a cursor."""
        made = [self.orchestrate(request(task_name=f"t{number}")) for number in range(5)]
        made.append(self.orchestrate(request(full_item())))
        tasks = self.client.get("/api/tasks").json()
        self.assertEqual([task["task_id"] for task in tasks], made[::-1])
        self.assertTrue(all(task["service_requests"] == [] for task in tasks))
        self.assertTrue(all(task["created_at"].endswith("Z") for task in tasks))
        found, path = [], "/api/tasks?limit=2&status=COMPLETED"
        while path:
            page = self.client.get(path)
            found += [task["task_id"] for task in page.json()]
            path = (page.header("Link") or "").partition(">")[0].lstrip("<")
        self.assertEqual(found, made[4::-1])
        (waiting,) = self.client.get("/api/tasks?status=IN_PROGRESS").json()
        self.assertEqual(waiting["task_id"], made[5])
        for query in ("limit=0", "limit=101", "limit=x", "status=completed", "after=x"):
            self.assert_problem(self.client.get(f"/api/tasks?{query}"), 422)

    def test_unknown_task(self):
        problem = self.assert_problem(self.client.get("/api/tasks/nothing"), 404)
        self.assertEqual(problem["detail"], "Task with ID nothing not found")
        self.assert_problem(self.client.get("/api/tasks/%FF%00"), (400, 404))

    def test_a_repeated_request_with_its_key_is_one_task(self):
        first = self.orchestrate(**{"Idempotency-Key": "k"})
        answer = self.client.post_json("/api/orchestrate", request(), {"Idempotency-Key": "k"})
        self.assertEqual(answer.json()["task_id"], first)
        self.assertEqual(answer.header("Idempotent-Replayed"), "true")
        self.assertEqual(len(self.client.get("/api/tasks").json()), 1)

    def test_many_tasks_at_once(self):
        """W7, W10: tasks share nothing."""
        self.start_all()
        made = [self.orchestrate(request({"revenue": ids(number)})) for number in range(50)]
        for number, task_id in enumerate(made):
            row = self.requests_of(self.wait_status(task_id, "COMPLETED"))["revenue"]
            self.assertEqual(row["response_payload"]["data"][0]["scenario_id"], f"s{number}")
        self.assertEqual(len(self.services.calls), 50)

    def test_health(self):
        """W12."""
        self.assertEqual(self.client.get("/api/health").json(), {"status": "healthy", "event_hub_mode": "http"})

    def test_mock_services_take_their_time(self):
        services = MockServices(delay_factor=0.1)
        self.addCleanup(services.close)
        with Client("127.0.0.1", services.ports[0]) as client:
            for path, seconds in (("/revenue", 1.0), ("/rebates", 1.5), ("/specialty", 2.0)):
                began = time.monotonic()
                client.post_json(path, [ids(1)])
                self.assertGreaterEqual(time.monotonic() - began, 0.1 * seconds)

    def test_mock_services(self):
        services = MockServices()
        self.addCleanup(services.close)
        with Client("127.0.0.1", services.ports[0]) as client:
            self.assertEqual(client.get("/health").json(), {"status": "healthy"})
            for path, member in (
                ("/revenue", "revenue_result"),
                ("/rebates", "rebate_result"),
                ("/specialty", "specialty_result"),
            ):
                answer = client.post_json(path, [ids(1)]).json()
                (result,) = answer["data"]
                self.assertEqual(set(result), {"scenario_id", "business_type_id", member, "amount"})
                self.assertEqual(client.post_json(path, []).json(), {"status": "success", "data": []})
                refused = client.post_json(path, [{"scenario_id": "s"}])
                self.assertLessEqual(result["amount"], {"/revenue": 99.99, "/rebates": 49.99, "/specialty": 74.99}[path])
                self.assertEqual((refused.status, refused.json()["detail"]), (500, "Error: 400: Missing required fields"))


if __name__ == "__main__":
    unittest.main()
