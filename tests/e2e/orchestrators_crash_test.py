"""kill -9 of api, workers and PostgreSQL under tasks and base scenarios: every one ends as the oracle says, and every
outside effect has one key, however often it was tried.

POLIS_CRASH_SEED, POLIS_CRASH_KILLS and POLIS_CRASH_WORKFLOWS repeat or prolong a run.
"""

import collections
import http.client
import json
import os
import random
import threading
import time
import unittest

from harness import Api, Client, Worker, cluster, wait_until
from mock_services import MockServices
from task_case import TaskCase, ids, request, service_names
from urban_api import UrbanApi

seed = int(os.environ.get("POLIS_CRASH_SEED", "20161121"))
kills = int(os.environ.get("POLIS_CRASH_KILLS", "8"))
workflows = int(os.environ.get("POLIS_CRASH_WORKFLOWS", "200"))
settle_seconds = 120.0
project_created = "scenario.events.projects.ProjectCreated"
territories, users = 3, 4


class Services(MockServices):
    """Refuse what is called bad, and fail some other calls for once."""

    unlucky = random.Random(seed + 1)

    def result(self, path, body):
        if any(item["scenario_id"].startswith("bad") for item in json.loads(body)):
            return 400, {"detail": "no"}
        return (503, {}) if self.unlucky.random() < 0.03 else super().result(path, body)


class OrchestratorsCrashTest(TaskCase):
    def setUp(self):
        super().setUp()
        self.numbers = random.Random(seed)
        self.services = Services()
        self.addCleanup(self.services.close)
        unlucky = random.Random(seed + 2)
        self.urban = UrbanApi(script=lambda method, path, number: 503 if unlucky.random() < 0.03 else None)
        self.addCleanup(self.urban.close)
        for number in range(1, workflows + 1):
            self.urban.projects[number] = (number % territories, f"user {number % users}")
        for number in range(1000, 1030):
            based = self.numbers.random() < 0.2
            self.urban.scenarios[number] = (number % territories, f"user {number % users}", based)
        self.api = self.new_api()
        self.workers = [self.new_worker(), self.new_worker()]
        self.expected, self.faults = {}, []

    def new_api(self):
        api = Api(self.database)
        self.addCleanup(api.clean_up)
        return api.ready()

    def new_worker(self):
        settings = {"URBAN_API_URL": self.urban.url, "OUTBOX_MAX_ATTEMPTS": 50, "URBAN_API_MAX_ATTEMPTS": 50}
        worker = Worker(self.database, "null:", **settings, **self.service_urls())
        self.addCleanup(worker.clean_up)
        return worker

    # --- What is asked for, again and again until it is acknowledged

    def post(self, path, body, key):
        deadline = time.monotonic() + settle_seconds
        while time.monotonic() < deadline:
            try:
                with Client("127.0.0.1", self.api.port, timeout=20) as client:
                    answer = client.post_json(path, body, {"Idempotency-Key": key})
                if answer.status == 200:
                    return answer.json()
                if answer.status != 503:
                    break
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)  # a polite client: this is pacing, nothing waits for it
        self.faults.append(f"no acknowledgement of {key}")
        return {}

    def ask(self):
        numbers = random.Random(seed + 3)
        for number in range(1, workflows + 1):
            bad = numbers.random() < 0.2
            wanted = numbers.sample(service_names, numbers.randint(1, 3))
            item = {name: {**ids(number), "scenario_id": f"{'bad' if bad else 's'}{number}"} for name in wanted}
            task_id = self.post("/api/orchestrate", request(item), f"task {number}").get("task_id")
            self.expected["task", task_id] = "FAILED" if bad else "COMPLETED"
            event = {"project_id": number, "base_scenario_id": 1, "territory_id": number % territories}
            self.post(f"/ingest/{project_created}", event, f"project {number}")
            self.expected["project-created", str(number)] = "completed"

    # --- What happens to the programs

    def kill_one(self):
        target = self.numbers.choice(["api", "worker", "worker", "postgres"])
        if target == "api":
            self.api.kill()
            self.api = self.new_api()
        elif target == "worker":
            place = self.numbers.randrange(len(self.workers))
            self.workers[place].kill()
            self.workers[place] = self.new_worker()
        else:
            cluster().kill()
            time.sleep(self.numbers.uniform(0, 2))  # how long it is away
            cluster().start()

    def test_every_workflow_ends_as_the_oracle_says(self):
        asking = threading.Thread(target=self.ask, daemon=True)
        asking.start()
        for _ in range(kills):
            time.sleep(self.numbers.uniform(0.3, 2))  # somewhere in the work: no condition is waited for
            self.kill_one()
        asking.join(settle_seconds)
        self.assertEqual(self.faults, [])
        self.assertFalse(asking.is_alive())

        def left():
            rows = self.database.rows("select workflow, id, status, ended from workflow_instances")
            return rows if len(rows) >= len(self.expected) and all(row["ended"] for row in rows) else None

        rows = wait_until(left, settle_seconds, "every workflow has ended", poll=0.5)
        self.assertEqual({(row["workflow"], row["id"]): row["status"] for row in rows}, self.expected)
        self.check_calls()
        self.check_creations()

    def check_calls(self):
        keys = collections.defaultdict(set)
        for call in self.services.calls:
            scenario = json.loads(call.body)[0]["scenario_id"]
            keys[call.path, scenario].add(call.headers["idempotency-key"])
        self.assertEqual({wanted: found for wanted, found in keys.items() if len(found) != 1}, {})
        rows = self.database.rows("select service_name, scenario_id, status from service_requests")
        self.assertEqual({(f"/{row['service_name']}", row["scenario_id"]) for row in rows}, set(keys))
        for row in rows:
            self.assertEqual(row["status"], "FAILED" if row["scenario_id"].startswith("bad") else "COMPLETED")

    def check_creations(self):
        keys = collections.defaultdict(set)
        for project, scenario, key in self.urban.creations():
            keys[project, scenario].add(key)
        self.assertEqual({wanted: found for wanted, found in keys.items() if len(found) != 1}, {})
        matches = {
            (project, scenario)
            for project, (territory, user) in self.urban.projects.items()
            for scenario, (place, owner, based) in self.urban.scenarios.items()
            if (territory, user) == (place, owner) and not based
        }
        self.assertEqual(set(self.urban.bases), matches)
        self.assertEqual(set(keys), matches)


if __name__ == "__main__":
    unittest.main()
