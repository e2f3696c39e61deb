"""The sink kafka: against Apache Kafka's own server, read by kcat; and, so that something is tested where that cannot run,
against the broker of librdkafka's test kit (tests/support/mock_broker.cpp), over real sockets."""

import json
import os
import pathlib
import subprocess
import threading
import unittest

import brokers
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
        rows = self.database.rows("select event_id, ordering_key, seq, payload from outbox")
        stored = {row["event_id"]: row for row in rows}
        last = {}
        for key, identity, _, payload in records:
            row = stored[identity]
            self.assertEqual((key, payload), (row["ordering_key"], row["payload"]))
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


class RealKafkaTest(SubscriptionCase):
    """Keys, headers, topics, outages: a real broker and a reader that is none of ours."""

    @classmethod
    def setUpClass(cls):
        missing = brokers.missing_tools()
        if missing:
            raise unittest.SkipTest(missing)
        cls.kafka = brokers.Kafka()
        cls.addClassCleanup(cls.kafka.clean_up)
        print("broker: Apache Kafka's own server", flush=True)

    def start_kafka_worker(self, sink="kafka:", **settings):
        return self.start_worker(sink, KAFKA_BOOTSTRAP_SERVERS=self.kafka.address, **settings)

    def headers_of(self, record):
        flat = record["headers"]
        return dict(zip(flat[::2], flat[1::2]))

    def test_keys_headers_topics_and_partitions(self):
        self.client = self.open_client(self.start_api(PUBLISH_BASE_EVENTS=True, **self.api_settings))
        count = self.emergencies(30, times=3)
        count += count // 2  # and the base events
        worker = self.start_kafka_worker()
        self.wait_all_sent(count, 60)
        self.assertEqual(worker.terminate(), 0)
        rows = self.database.rows("select event_id, ordering_key, seq, topic, payload from outbox")
        records = [record for topic in {row["topic"] for row in rows} for record in self.kafka.messages(topic)]
        found = {self.headers_of(record)["ce_id"]: record for record in records}
        self.assertEqual((len(records), len(found)), (count, count))
        partitions, last = {}, {}
        for row in sorted(rows, key=lambda row: row["seq"]):
            record = found[row["event_id"]]
            headers = self.headers_of(record)
            key = row["ordering_key"] or row["event_id"]
            self.assertEqual((record["key"], record["topic"]), (key, row["topic"]))
            self.assertEqual(json.loads(record["payload"]), row["payload"])
            self.assertEqual(headers["ce_type"], row["topic"])
            self.assertEqual((headers["ce_specversion"], headers["content-type"]), ("1.0", "application/json"))
            self.assertTrue(headers["ce_source"].startswith("/polis/events/"), headers)
            self.assertTrue(headers["ce_time"].endswith("Z"), headers)
            place = (record["topic"], key)
            self.assertEqual(partitions.setdefault(place, record["partition"]), record["partition"])
            self.assertGreater(record["offset"], last.get(place, -1))
            last[place] = record["offset"]
        self.assertTrue(all(row["ordering_key"] for row in rows if not row["topic"].endswith("health")))
        self.assertGreater(len(set(partitions.values())), 1)

    def test_nothing_is_lost_while_the_broker_is_away(self):
        topic = self.kafka.create_topic("outage")
        self.start_kafka_worker(
            f"kafka:{topic}", OUTBOX_TIMEOUT_SECONDS="3", OUTBOX_MAX_ATTEMPTS="100", OUTBOX_RETRY_MAX_SECONDS="1"
        )
        count = self.emergencies(20)
        self.wait_all_sent(count, 60)
        self.kafka.stop()
        try:
            count += self.emergencies(20, first_patient=1000)
            wait_until(lambda: self.database.count("outbox_retries", "attempts > 0"), 30, "deliveries fail")
        finally:
            self.kafka.start()
        self.wait_all_sent(count, 90)
        found = {self.headers_of(record)["ce_id"] for record in self.kafka.messages(topic)}
        self.assertEqual(len(found), count)

    def test_a_broker_that_falls_silent_holds_up_no_stop(self):
        topic = self.kafka.create_topic("silence")
        self.check_stop_beside_silence(self.kafka, lambda: self.start_kafka_worker(f"kafka:{topic}"))

    def test_headers_of_the_subscription(self):
        topic = self.kafka.create_topic("headers")
        self.client = self.open_client(
            self.start_api(KAFKA_BOOTSTRAP_SERVERS=self.kafka.address, **self.api_settings)
        )
        self.subscribe("records", f"kafka:{topic}", headers={"X-City": "north"})
        self.start_kafka_worker("null:")
        identity = self.alert("east")
        (record,) = wait_until(lambda: self.kafka.messages(topic), 30, "the record", poll=0.2)
        headers = self.headers_of(record)
        self.assertEqual((headers["ce_id"], headers["ce_subscription"]), (identity, "records"))
        self.assertEqual(headers["X-City"], "north")


if __name__ == "__main__":
    unittest.main()
