"""Two consumers of one group, killed again and again with kill -9: every message is stored exactly once.

`make chaos-kafka` is the long form: POLIS_KAFKA_MESSAGES=100000 POLIS_KAFKA_KILLS=10 (kills of each consumer).
"""

import collections
import json
import os
import random
import signal
import threading
import time
import unittest

import oracle
from brokers import wait_broker_gone
from consumer_case import ConsumerTest, frame, line
from harness import cluster, wait_until

messages = int(os.environ.get("POLIS_KAFKA_MESSAGES", "12000"))
kills = int(os.environ.get("POLIS_KAFKA_KILLS", "3"))
seed = int(os.environ.get("POLIS_CRASH_SEED", "20261121"))
settle_seconds = 120.0
outage_messages = 500
outage_records = 60


pieces = 8 * kills
piece = max(messages // pieces, 1)


def service_of(number):
    return ("energy", "health")[number // piece % 2]


def body(number):
    """Of both services: what each knows, and the other's fields as extras."""
    alert = "emergency" if number % 3 == 0 else "none"
    reading = {"energy": float(number % 1000), "neighborhood": f"q{number}"}
    return {"n": number, **reading, "patient_id": number, "alert": alert, "location": f"ward {number % 7}"}


def reading_schema(number):
    fields = [{"name": "value", "type": "long"}]
    return {"type": "record", "name": f"Reading{number}", "namespace": "city", "fields": fields}


def canonical(service, payload, key):
    return service, json.dumps(payload, sort_keys=True), key


class CrashTest(ConsumerTest):
    def produce(self, topic, done):
        """In pieces over the whole run, so that kills meet full and empty batches."""
        for start in range(0, messages, piece):
            numbers = range(start, min(start + piece, messages))
            lines = [line(**body(number)) for number in numbers]
            self.kafka.produce_lines(topic, lines, "-H", f"service={service_of(start)}")
            time.sleep(0.25)
        done.set()

    def test_two_consumers_killed_again_and_again(self):
        topic = self.topic()
        numbers = random.Random(seed)
        done = threading.Event()
        producer = threading.Thread(target=self.produce, args=(topic, done), daemon=True)
        running = [self.start_consumer(f"{topic}=header:service") for _ in range(2)]
        producer.start()
        for _ in range(kills):
            for slot in (0, 1):
                time.sleep(numbers.uniform(0.2, 1.5))
                running[slot].kill()
                running[slot] = self.launch_consumer(f"{topic}=header:service")
        producer.join(settle_seconds)
        self.assertTrue(done.is_set(), "the producer ended")
        self.wait_stored(messages, settle_seconds)
        self.check_everything(topic)
        for consumer in running:
            self.assertEqual(consumer.terminate(), 0)
        print(f"{2 * kills} kills, {messages} messages: 0 lost, 0 repeated", flush=True)

    def check_everything(self, topic):
        sent = {json.loads(each["payload"])["n"]: (each["partition"], each["offset"]) for each in self.kafka.messages(topic)}
        self.assertEqual(len(sent), messages)
        rows = self.database.rows("select service, payload from events where id = family_base(id)")
        stored = collections.Counter(row["payload"]["n"] for row in rows)
        self.assertEqual([number for number, times in stored.items() if times > 1], [], "stored more than once")
        # By partition and offset: no gap and no repeat up to each partition's end.
        places = sorted(sent[number] for number in stored)
        self.assertEqual(places, sorted(sent.values()))
        self.assertEqual(self.positions(topic), self.ends(topic))
        self.assertTrue(all(row["service"] == service_of(row["payload"]["n"]) for row in rows))
        self.check_derived([each for number in sent for each in oracle.expect(service_of(number), body(number)).derived])

    def check_derived(self, expected):
        """Derived events with their payloads and keys, and one message each, as the oracle says."""
        wanted = sorted(canonical(each.service, each.payload, each.key) for each in expected)
        derived = self.database.rows(
            "select service, payload, deduplication_key as key from events where id <> family_base(id)"
        )
        self.assertEqual(sorted(canonical(**row) for row in derived), wanted)
        sent = self.database.rows(
            "select o.topic, o.payload, e.deduplication_key as key from outbox_messages o join events e on e.id = o.event_id"
        )
        found = [canonical(row["topic"].removeprefix("event."), row["payload"], row["key"]) for row in sent]
        self.assertEqual(sorted(found), wanted)

    def test_a_consumer_that_sleeps_past_its_session_repeats_nothing(self):
        topic = self.topic()
        sleeper = self.start_consumer(f"{topic}=city")
        self.kafka.produce_lines(topic, [line(n=n) for n in range(2000)])
        wait_until(lambda: self.database.count("events") > 0, 30, "the first are stored")
        sleeper.signal(signal.SIGSTOP)
        self.kafka.produce_lines(topic, [line(n=n) for n in range(2000, 4000)])
        other = self.start_consumer(f"{topic}=city")
        self.wait_stored(4000)
        sleeper.signal(signal.SIGCONT)
        self.kafka.produce_lines(topic, [line(n=n) for n in range(4000, 6000)])
        self.wait_stored(6000)
        self.assertEqual(sorted(payload["n"] for payload in self.payloads("city")), list(range(6000)))
        self.assertEqual((sleeper.terminate(), other.terminate()), (0, 0))

    def test_a_broker_that_falls_silent_is_told_and_holds_up_no_stop(self):
        topic = self.topic()
        consumer = self.start_consumer(f"{topic}=energy")
        self.kafka.produce_lines(topic, [line(**body(number)) for number in range(100)])
        self.wait_stored(100, settle_seconds)
        with self.kafka.silent():
            wait_until(lambda: "Kafka" in consumer.reasons(), 15, "not ready because of the broker")
            self.assertEqual(consumer.terminate(), 0)
        consumer = self.start_consumer(f"{topic}=energy")
        self.kafka.produce_lines(topic, [line(**body(number)) for number in range(100, 200)])
        self.wait_stored(200, settle_seconds)
        self.assertEqual(consumer.terminate(), 0)

    def test_broker_registry_and_database_stopped_and_started_in_the_middle(self):
        topic, records = self.topic(), self.topic("-records")
        schemas = [self.registry.register(f"{records}.{n}", reading_schema(n)) for n in range(4)]
        consumer = self.start_consumer(f"{topic}=energy,{records}=record:")
        produced = 0

        def produce():
            """Some of both kinds; the records of each call have a schema that nobody has asked for yet."""
            nonlocal produced
            turn = produced
            produced += 1
            numbers = range(turn * outage_messages, (turn + 1) * outage_messages)
            self.kafka.produce_lines(topic, [line(**body(number)) for number in numbers])
            # A zigzag-encoded long of one byte, so at most 64.
            self.kafka.produce_values(records, [frame(schemas[turn], bytes([2 * n])) for n in range(outage_records)])

        produce()
        self.wait_all_stored(produced)
        self.registry.stop()
        produce()
        wait_until(lambda: "registry" in consumer.reasons(), 30, "not ready because of the registry")
        wait_until(lambda: self.database.count("events", "service = 'energy'") >= 2 * outage_messages, 60,
                   "the others go on without the registry")  # fmt: skip
        self.registry.start()
        self.wait_all_stored(produced)
        cluster().stop()
        produce()
        wait_until(lambda: "database" in consumer.reasons(), 30, "not ready because of the database")
        cluster().start()
        self.wait_all_stored(produced)
        self.kafka.stop()
        wait_broker_gone(self.kafka.address)
        wait_until(lambda: "Kafka" in consumer.reasons(), 30, "not ready because of the broker")
        self.kafka.start()
        produce()
        self.wait_all_stored(produced)
        wait_until(lambda: consumer.reasons() == "", 30, "ready again")
        numbers = sorted(payload["n"] for payload in self.payloads("energy"))
        self.assertEqual(numbers, list(range(produced * outage_messages)))
        for turn in range(produced):
            values = sorted(payload["value"] for payload in self.payloads(f"city.Reading{turn}"))
            self.assertEqual(values, list(range(outage_records)))
        self.assertEqual(self.positions(topic), self.ends(topic))
        self.assertEqual(self.positions(records), self.ends(records))
        self.assertEqual(self.database.count("quarantine"), 0)
        self.check_derived([each for number in numbers for each in oracle.expect("energy", body(number)).derived])
        self.assertEqual(consumer.terminate(), 0)

    def wait_all_stored(self, produced):
        self.wait_stored(produced * (outage_messages + outage_records), settle_seconds)


if __name__ == "__main__":
    unittest.main()
