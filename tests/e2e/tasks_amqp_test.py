"""Orchestrator 001 over a real RabbitMQ: EVENT_HUB_MODE=amqp."""

import json
import os
import unittest

from brokers import RabbitMq, missing_rabbitmq, python_package
from consumer_case import Consumer, ConsumerTest
from harness import Process, wait_until
from task_case import TaskCase, full_item, ids, request


queue_points = {"queue.acknowledging": (1,)}  # of failpoints_test's list; it needs a RabbitMQ


class QueueConsumer(Consumer):
    """polis-consumer without Kafka."""

    def __init__(self, database, **settings):
        settings.setdefault("HOST", "127.0.0.1")
        Process.__init__(self, DATABASE_URL=database.url, **settings)

    def clean_up(self):
        Process.clean_up(self)


@unittest.skipIf(missing_rabbitmq(), missing_rabbitmq())
class TasksOverAmqpTest(TaskCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = RabbitMq()
        cls.addClassCleanup(cls.broker.clean_up)

    def setUp(self):
        super().setUp()
        self.queue = self._testMethodName
        self.settings = {
            "EVENT_HUB_MODE": "amqp",
            "EVENT_HUB_URL": self.broker.url,
            "EVENT_HUB_NAME": self.queue,
            # A hub that fails is not to be hidden.
            "EVENT_HUB_PATIENCE_SECONDS": 600,
        }
        self.client = self.open_client(self.start_api(**self.settings), timeout=60)
        self.start_services()

    def launch_hub_consumer(self, **settings):
        consumer = QueueConsumer(self.database, **{**self.settings, **settings})
        self.addCleanup(consumer.clean_up)
        return consumer

    def start_hub_consumer(self, **settings):
        return self.launch_hub_consumer(**settings).ready()

    def depth(self):
        """Messages that wait, and consumers of the queue."""
        with self.broker.client() as connection:
            found = connection.channel().queue_declare(self.queue, passive=True).method
            return found.message_count, found.consumer_count

    def publish(self, body, **properties):
        pika = python_package("pika", "1.3.2")
        with self.broker.client() as connection:
            channel = connection.channel()
            channel.queue_declare(self.queue, durable=True)
            channel.confirm_delivery()
            channel.basic_publish(
                "", self.queue, body, pika.BasicProperties(delivery_mode=2, **properties), mandatory=True
            )

    def wait_told(self):
        """The broker keeps nothing back: all was acknowledged. A message without that returns when its consumer ends."""
        wait_until(lambda: self.depth()[1] == 0, 30, "the consumer is gone", poll=0.2)
        self.assertEqual(self.depth(), (0, 0))

    def queued_events(self):
        return self.database.count("events", "service = 'task.queued'")

    def wait_tasks(self, count):
        def tasks():
            return self.client.get("/api/tasks?limit=100").json()

        wait_until(lambda: len(tasks()) >= count, 60, f"{count} tasks", poll=0.1)
        self.assertEqual(len(tasks()), count)

    def wait_quarantined(self, count):
        wait_until(lambda: self.database.count("quarantine") >= count, 60, f"{count} in quarantine", poll=0.1)
        self.assertEqual(self.database.count("quarantine"), count)

    def test_a_task_travels_through_the_queue(self):
        self.start_task_worker(**self.settings)
        task_id = self.orchestrate()
        wait_until(lambda: self.database.messages() and self.depth_of_made() == 1, 30, "the message", poll=0.2)
        with self.broker.client() as connection:
            channel = connection.channel()
            method, properties, body = channel.basic_get(self.queue, auto_ack=False)
            value = json.loads(body)
            channel.basic_nack(method.delivery_tag)
        self.assertEqual(value["task_id"], task_id)
        self.assertEqual((value["task_name"], value["task_description"]), ("a task", "for a test"))
        self.assertEqual(value["payload"], [full_item()])
        self.assertEqual(properties.delivery_mode, 2)
        self.assertEqual(self.task(task_id)["status"], "PENDING")
        consumer = self.start_hub_consumer()
        self.assertEqual(self.wait_status(task_id, deadline=60)["status"], "COMPLETED")
        self.assertEqual(self.client.get("/api/health").json()["event_hub_mode"], "amqp")
        self.assertEqual(self.queued_events(), 1)
        metrics = consumer.metrics()
        stored = [value for name, value in metrics.items() if self.queue in name and 'outcome="stored"' in name]
        self.assertEqual(stored, [1.0], metrics)

        with self.subTest("messages that come again change nothing"):
            # Once as the broker would repeat it, and once as another sender might.
            self.publish(body, message_id=properties.message_id, headers=properties.headers)
            self.publish(body)
            other = self.orchestrate(request({"revenue": ids(2)}))
            self.assertEqual(self.wait_status(other, deadline=60)["status"], "COMPLETED")
            self.assertEqual(len(self.services.calls), 4)
            self.assertEqual(len(self.task(task_id)["service_requests"]), 3)
        self.assertEqual(consumer.terminate(), 0)
        self.wait_told()
        self.assertNotIn(self.broker.password, consumer.log_text())

    def depth_of_made(self):
        """As depth(), before anybody may have made the queue."""
        pika = python_package("pika", "1.3.2")
        try:
            return self.depth()[0]
        except pika.exceptions.ChannelClosedByBroker:
            return 0

    def test_bad_messages_go_to_quarantine_and_block_nobody(self):
        self.start_task_worker(**self.settings)
        consumer = self.start_hub_consumer()
        self.publish(b"junk")
        self.publish(b"\x01\x02", message_id="binary")
        self.publish(b"", message_id="empty")
        self.publish(json.dumps(request({"rebates": ids(7)})).encode())
        self.publish(json.dumps({**request(full_item()), "task_id": "theirs"}).encode())
        self.publish(json.dumps({"task_id": "bad", "payload": []}).encode())
        self.wait_tasks(3)
        self.assertEqual(self.wait_status("theirs")["status"], "COMPLETED")
        bad = self.task("bad")
        self.assertEqual((bad["status"], bad["task_name"]), ("FAILED", "Unknown Task"))
        self.wait_quarantined(3)
        rows = self.database.rows("select reason, topic, service from quarantine order by id")
        self.assertEqual([row["reason"] for row in rows], ["not_json", "bad_magic", "no_value"])
        self.assertEqual({(row["topic"], row["service"]) for row in rows}, {(self.queue, "task.queued")})
        self.assertEqual(consumer.reasons(), "")

        with self.subTest("what comes again is in quarantine already"):
            self.publish(b"junk")
            self.publish(b"other junk")
            self.wait_quarantined(4)
        self.assertEqual(consumer.terminate(), 0)
        self.wait_told()

    def test_kill_between_receiving_and_acknowledging(self):
        self.start_task_worker(**self.settings)
        consumer = self.start_hub_consumer()
        # Everything is received; nothing can be committed.
        blocker = self.hold_lock("events")
        for number in range(20):
            self.publish(json.dumps({**request({"revenue": ids(number)}), "task_id": f"t{number}"}).encode())
        self.publish(b"junk")
        self.wait_blocked()
        wait_until(lambda: self.depth()[0] == 0, 30, "all are delivered", poll=0.1)
        consumer.kill()
        wait_until(lambda: self.depth()[0] == 21, 30, "the broker has them again", poll=0.1)
        self.release_lock(blocker)
        consumer = self.start_hub_consumer()
        self.wait_tasks(20)
        for number in range(20):
            self.assertEqual(self.wait_status(f"t{number}", deadline=60)["status"], "COMPLETED")
        self.wait_quarantined(1)
        self.wait_tasks(20)
        self.assertEqual(len(self.services.calls), 20)
        self.assertEqual(self.queued_events(), 20)
        self.assertEqual(consumer.terminate(), 0)
        self.wait_told()

    @unittest.skipUnless(os.environ.get("POLIS_FAILPOINTS") == "ON", "needs the points of POLIS_FAILPOINTS")
    def test_kill_between_committing_and_acknowledging(self):
        self.start_task_worker(**self.settings)
        self.publish(json.dumps({**request({"revenue": ids(1)}), "task_id": "t"}).encode())
        self.publish(b"junk")
        consumer = self.launch_hub_consumer(POLIS_FAILPOINT="queue.acknowledging:1")
        self.assertNotEqual(consumer.wait(60), 0)
        self.assertEqual(self.queued_events(), 1)
        wait_until(lambda: self.depth()[0] == 2, 30, "the broker has them again", poll=0.1)
        consumer = self.start_hub_consumer()
        self.assertEqual(self.wait_status("t", deadline=60)["status"], "COMPLETED")
        wait_until(lambda: self.depth()[0] == 0, 30, "all are delivered", poll=0.1)
        self.assertEqual(consumer.terminate(), 0)
        self.wait_told()
        self.assertEqual(self.queued_events(), 1)
        self.wait_quarantined(1)
        self.assertEqual(len(self.services.calls), 1)

    def test_a_broker_that_restarts_delays_tasks(self):
        settings = {"OUTBOX_MAX_ATTEMPTS": "100", "OUTBOX_RETRY_MAX_SECONDS": "1"}
        self.start_task_worker(**self.settings, **settings)
        consumer = self.start_hub_consumer()
        first = self.orchestrate()
        self.assertEqual(self.wait_status(first, deadline=60)["status"], "COMPLETED")
        self.broker.stop()
        try:
            wait_until(lambda: "AMQP broker not reachable" in consumer.reasons(), 30, "the outage is seen", poll=0.1)
            second = self.orchestrate()
            self.assertEqual(self.task(second)["status"], "PENDING")
        finally:
            self.broker.start()
        self.assertEqual(self.wait_status(second, deadline=90)["status"], "COMPLETED")
        self.assertEqual(consumer.reasons(), "")
        self.assertTrue(consumer.logged("amqp connection lost"))
        self.assertNotIn(self.broker.password, consumer.log_text())
        self.assertEqual(len(self.services.calls), 6)

    def test_a_broker_that_falls_silent_is_told_and_holds_up_no_stop(self):
        consumer = self.start_hub_consumer()
        with self.broker.silent():
            wait_until(lambda: "AMQP" in consumer.reasons(), 60, "not ready because of the broker", poll=0.2)
            self.assertEqual(consumer.terminate(), 0)

    def test_sigterm_finishes_what_is_under_way(self):
        self.start_task_worker(**self.settings)
        consumer = self.start_hub_consumer()
        blocker = self.hold_lock("events")
        self.publish(json.dumps({**request({"revenue": ids(1)}), "task_id": "t"}).encode())
        self.wait_blocked()
        consumer.process.terminate()
        # It finishes what is under way once it can, and acknowledges it.
        self.release_lock(blocker)
        self.assertEqual(consumer.wait(), 0)
        self.wait_told()
        self.assertEqual(self.queued_events(), 1)
        self.assertEqual(self.wait_status("t", deadline=60)["status"], "COMPLETED")

    def test_a_stranger_is_told_so_without_secrets(self):
        url = self.broker.url.replace("polis:", "stranger:")
        consumer = self.launch_hub_consumer(EVENT_HUB_URL=url).listening()
        wait_until(lambda: consumer.logged("amqp connection not made"), 30, "the refusal is logged", poll=0.1)
        self.assertIn("ACCESS_REFUSED", consumer.log_text())
        self.assertNotIn(self.broker.password, consumer.log_text())
        self.assertIn("AMQP broker not reachable", consumer.reasons())
        self.assertEqual(consumer.terminate(), 0)


@unittest.skipIf(missing_rabbitmq(), missing_rabbitmq())
class BesideKafkaTest(ConsumerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.broker = RabbitMq()
        cls.addClassCleanup(cls.broker.clean_up)

    def test_one_consumer_reads_topics_and_the_queue(self):
        topic = self.topic()
        consumer = self.start_consumer(
            f"{topic}=energy", EVENT_HUB_MODE="amqp", EVENT_HUB_URL=self.broker.url, EVENT_HUB_NAME="beside"
        )
        self.kafka.produce(topic, b'{"energy": 1}')
        with self.broker.client() as connection:
            task = {**request({"revenue": ids(1)}), "task_id": "t"}
            connection.channel().basic_publish("", "beside", json.dumps(task).encode())
        self.wait_stored(1, service="energy")
        self.wait_stored(1, service="task.queued")
        self.broker.stop()
        try:
            wait_until(lambda: "AMQP broker" in consumer.reasons(), 30, "the outage is seen", poll=0.1)
            self.kafka.produce(topic, b'{"energy": 2}')
            self.wait_stored(2, service="energy")
        finally:
            self.broker.start()
        wait_until(lambda: consumer.reasons() == "", 30, "it is ready again", poll=0.1)
        self.assertEqual(consumer.terminate(), 0)


if __name__ == "__main__":
    unittest.main()
