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
from consumer_case import ConsumerTest, line
from harness import wait_until

messages = int(os.environ.get("POLIS_KAFKA_MESSAGES", "12000"))
kills = int(os.environ.get("POLIS_KAFKA_KILLS", "3"))
seed = int(os.environ.get("POLIS_CRASH_SEED", "20261121"))
settle_seconds = 120.0


def body(number):
    return {"n": number, "energy": float(number % 1000), "neighborhood": f"q{number}"}


class CrashTest(ConsumerTest):
    def produce(self, topic, done):
        """In pieces over the whole run, so that kills meet full and empty batches."""
        piece = max(messages // (8 * kills), 1)
        for start in range(0, messages, piece):
            numbers = range(start, min(start + piece, messages))
            self.kafka.produce_lines(topic, [line(**body(number)) for number in numbers])
            time.sleep(0.25)
        done.set()

    def test_two_consumers_killed_again_and_again(self):
        topic = self.topic()
        numbers = random.Random(seed)
        done = threading.Event()
        producer = threading.Thread(target=self.produce, args=(topic, done), daemon=True)
        running = [self.start_consumer(f"{topic}=energy") for _ in range(2)]
        producer.start()
        for _ in range(kills):
            for slot in (0, 1):
                time.sleep(numbers.uniform(0.2, 1.5))
                running[slot].kill()
                running[slot] = self.launch_consumer(f"{topic}=energy")
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
        stored = collections.Counter(payload["n"] for payload in self.payloads("energy"))
        self.assertEqual([number for number, times in stored.items() if times > 1], [], "stored more than once")
        # By partition and offset: no gap and no repeat up to each partition's end.
        places = sorted(sent[number] for number in stored)
        self.assertEqual(places, sorted(sent.values()))
        self.assertEqual(self.positions(topic), self.ends(topic))
        expected = {number for number in sent if oracle.expect("energy", body(number)).derived}
        derived = [payload["neighborhood"] for payload in self.derived_payloads()]
        self.assertEqual(sorted(derived), sorted(f"q{number}" for number in expected))
        self.assertEqual(self.database.count("outbox_messages"), len(expected))

    def derived_payloads(self):
        return [row["payload"] for row in self.database.rows("select payload from events where id <> family_base(id)")]

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


if __name__ == "__main__":
    unittest.main()
