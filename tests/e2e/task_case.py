"""What the tests of tasks share: the three services as stand-ins, and requests."""

import uuid

from harness import EndToEndTest, wait_until
from mock_services import MockServices

service_names = ("revenue", "rebates", "specialty")
ended = ("COMPLETED", "FAILED")


def ids(number):
    return {"scenario_id": f"s{number}", "business_type_id": f"b{number}"}


def request(*items, **more):
    return {"task_name": "a task", "task_description": "for a test", "payload": list(items), **more}


def full_item(number=1):
    return {name: ids(number) for name in service_names}


class TaskCase(EndToEndTest):
    def start_services(self, script=None, **more):
        self.services = MockServices(script=script, **more)
        self.addCleanup(self.services.close)
        return self.services

    def service_urls(self):
        return {f"{name.upper()}_SERVICE_URL": self.services.url(f"/{name}") for name in service_names}

    def start_task_worker(self, **settings):
        return self.start_worker("null:", **{**self.service_urls(), **settings})

    def orchestrate(self, body=None, **headers):
        answer = self.client.post_json("/api/orchestrate", body or request(full_item()), headers)
        self.assertEqual(answer.status, 200, answer)
        found = answer.json()
        self.assertEqual(found["status"], "accepted")
        self.assertEqual(str(uuid.UUID(found["task_id"])), found["task_id"])
        self.assertEqual(found["message"], "Request accepted and sent to processing queue")
        return found["task_id"]

    def task(self, task_id):
        answer = self.client.get(f"/api/tasks/{task_id}")
        self.assertEqual(answer.status, 200, answer)
        return answer.json()

    def wait_status(self, task_id, *statuses, deadline=30.0):
        def check():
            task = self.task(task_id)
            return task if task["status"] in (statuses or ended) else None

        return wait_until(check, deadline, f"task is {statuses or ended}; now {self.task(task_id)}", poll=0.05)

    def requests_of(self, task):
        return {each["service_name"]: each for each in task["service_requests"]}
