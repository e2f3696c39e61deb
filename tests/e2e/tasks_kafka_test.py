"""Orchestrator 001 over a real Kafka: EVENT_HUB_MODE=kafka."""

import json
import unittest

from consumer_case import ConsumerTest
from harness import wait_until
from task_case import TaskCase, full_item, ids, request


class TasksOverKafkaTest(ConsumerTest, TaskCase):
    def setUp(self):
        super().setUp()
        self.hub = self.topic()
        self.settings = {"EVENT_HUB_MODE": "kafka", "KAFKA_TOPIC": self.hub, "KAFKA_BOOTSTRAP_SERVERS": self.kafka.address}
        self.client = self.open_client(self.start_api(**self.settings), timeout=60)
        self.start_services()

    def start_hub_consumer(self):
        return self.start_consumer(None, EVENT_HUB_MODE="kafka", KAFKA_TOPIC=self.hub)

    def test_a_task_travels_through_the_hub(self):
        self.start_task_worker(**self.settings)
        task_id = self.orchestrate()
        (message,) = wait_until(lambda: self.kafka.messages(self.hub), 30, "the message", poll=0.3)
        self.assertEqual(message["key"], task_id)
        value = json.loads(message["payload"])
        self.assertEqual(value["task_id"], task_id)
        self.assertEqual((value["task_name"], value["task_description"]), ("a task", "for a test"))
        self.assertEqual(value["payload"], [full_item()])
        self.assertEqual(self.task(task_id)["status"], "PENDING")
        self.assertEqual(self.task(task_id)["service_requests"], [])
        self.start_hub_consumer()
        self.assertEqual(self.wait_status(task_id, deadline=60)["status"], "COMPLETED")
        self.assertEqual(self.client.get("/api/health").json()["event_hub_mode"], "kafka")

        with self.subTest("a message that comes again makes no second calls"):
            self.kafka.produce(self.hub, message["payload"].encode(), key=task_id)
            other = self.orchestrate(request({"revenue": ids(2)}))
            self.assertEqual(self.wait_status(other, deadline=60)["status"], "COMPLETED")
            self.assertEqual(len(self.services.calls), 4)
            self.assertEqual(len(self.task(task_id)["service_requests"]), 3)

    def test_messages_of_others(self):
        self.start_task_worker(**self.settings)
        consumer = self.start_hub_consumer()
        self.kafka.produce(self.hub, b"junk")
        self.kafka.produce(self.hub, json.dumps(request({"rebates": ids(7)})).encode())
        self.kafka.produce(self.hub, json.dumps({**request(full_item()), "task_id": "theirs"}).encode())
        self.kafka.produce(self.hub, json.dumps({"task_id": "bad", "payload": []}).encode())
        wait_until(lambda: len(self.client.get("/api/tasks").json()) == 3, 60, "three tasks", poll=0.1)
        self.assertEqual(self.wait_status("theirs")["status"], "COMPLETED")
        bad = self.task("bad")
        self.assertEqual(bad["status"], "FAILED")
        self.assertTrue(bad["error_message"].startswith("Validation error: "), bad)
        self.assertEqual(bad["task_name"], "Unknown Task")
        (nameless,) = [
            task for task in self.client.get("/api/tasks").json() if task["task_id"] not in ("theirs", "bad")
        ]
        self.assertEqual(self.wait_status(nameless["task_id"])["status"], "COMPLETED")
        self.wait_quarantined(1)
        self.assertEqual(consumer.reasons(), "")

    def test_a_hub_that_is_down_delays_a_task(self):
        settings = {**self.settings, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "EVENT_HUB_PATIENCE_SECONDS": 1}
        self.client = self.open_client(self.start_api(**settings), timeout=60)
        self.start_task_worker(**settings)
        task_id = self.orchestrate()
        self.assertEqual(self.task(task_id)["status"], "PENDING")
        self.assertEqual(self.wait_status(task_id, deadline=60)["status"], "COMPLETED")
        direct = self.client.post_json("/api/orchestrate/direct", request(full_item())).json()
        self.assertEqual(direct["status"], "success")


if __name__ == "__main__":
    unittest.main()
