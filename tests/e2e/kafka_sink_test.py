"""The sink kafka: against the broker of librdkafka's test kit (tests/support/mock_broker.cpp), over real sockets."""

import json
import os
import pathlib
import subprocess
import threading
import unittest

from harness import wait_until
from programs import program
from subscriptions_test import SubscriptionCase

broker_program = pathlib.Path(os.environ.get("POLIS_MOCK_BROKER", program("mock-broker")))


@unittest.skipUnless(broker_program.exists(), f"{broker_program} is not built")
class KafkaSinkTest(SubscriptionCase):
    def start_broker(self, topic):
        broker = subprocess.Popen(
            [str(broker_program), topic],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        bootstrap = broker.stdout.readline().strip()
        records = []

        def read():
            for line in broker.stdout:
                head, _, value = line.rstrip("\n").partition("\t")
                records.append((*head.split(" "), json.loads(value)))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()

        def stop():
            if broker.poll() is None:
                broker.kill()
            broker.wait(10)
            broker.stdin.close()
            reader.join(10)
            broker.stdout.close()

        self.addCleanup(stop)
        return bootstrap, records, stop

    def test_records_once_each_in_order_per_key(self):
        bootstrap, records, _ = self.start_broker("city")
        count = self.emergencies(50, times=4)
        worker = self.start_worker("kafka:city", KAFKA_BOOTSTRAP_SERVERS=bootstrap, OUTBOX_IN_FLIGHT_MAX="1000")
        wait_until(lambda: len(records) >= count, 60, "all records")
        self.wait_all_sent(count)
        self.assertEqual(worker.terminate(), 0)
        self.assertEqual(len({identity for _, identity, _, _ in records}), count)
        self.assertEqual(len(records), count)
        self.assertEqual({topic for _, _, topic, _ in records}, {"event.transport", "event.security"})
        rows = self.database.rows("select event_id, key_hash, seq, payload from outbox")
        stored = {row["event_id"]: row for row in rows}
        last = {}
        for key, identity, _, payload in records:
            row = stored[identity]
            self.assertEqual((key, payload), (str(row["key_hash"]), row["payload"]))
            self.assertGreater(row["seq"], last.get(key, 0))
            last[key] = row["seq"]

    def test_the_topic_of_the_message(self):
        topic = self.topic_of_alert()
        bootstrap, records, _ = self.start_broker(topic)
        self.start_worker("kafka:", KAFKA_BOOTSTRAP_SERVERS=bootstrap)
        wait_until(lambda: len(records) == 1, 30, "the record")
        self.assertEqual(records[0][2], topic)

    def topic_of_alert(self):
        self.alert("east")
        return self.database.value("select topic from outbox limit 1")

    def test_a_broker_that_is_gone_is_retried(self):
        bootstrap, _, stop = self.start_broker("city")
        stop()
        self.start_worker(
            "kafka:city", KAFKA_BOOTSTRAP_SERVERS=bootstrap, OUTBOX_TIMEOUT_SECONDS="1", OUTBOX_MAX_ATTEMPTS="2"
        )
        identity = self.alert("east")
        row = self.wait_message(identity, 30, status="failed")
        self.assertEqual(row["attempts"], 2)

    def test_an_api_without_brokers_refuses_the_sink(self):
        answer = self.subscribe("k", "kafka:", status=422)
        self.assertEqual(answer["errors"], [{"field": "sink", "message": "no Kafka brokers are configured"}])


if __name__ == "__main__":
    unittest.main()
