"""City guides while PostgreSQL stops and consumer, worker and api are killed with kill -9: an oracle outside of the service
knows how every route has to end.

The long form: POLIS_WORKFLOWS=10000 POLIS_WORKFLOW_KILLS=40.
"""

import collections
import json
import os
import random
import threading
import time
import unittest

from consumer_case import ConsumerTest, line
from harness import Api, Client, Worker, cluster, wait_until

routes = int(os.environ.get("POLIS_WORKFLOWS", "300"))
kills = int(os.environ.get("POLIS_WORKFLOW_KILLS", "4"))
seed = int(os.environ.get("POLIS_CRASH_SEED", "20261121"))
settle_seconds = 240.0


class Oracle:
    """What the peers of the city guide do with route n, and how it has to end."""

    @staticmethod
    def stories(n):
        texts = [] if n % 10 == 9 else ["x"] * (n % 3 + 1)
        stories = [{"story_id": f"{n}-{i}", "markdown": text} for i, text in enumerate(texts)]
        return stories + ([{"story_id": f"{n}-r", "status": "rejected"}] if n % 4 == 0 else [])

    @staticmethod
    def spoken(story_id):
        failed = sum(map(ord, story_id)) % 5 == 0
        return {"status": "failed"} if failed else {"status": "completed", "audio_id": f"a{story_id}"}

    @classmethod
    def audio(cls, n):
        ended = [(s["story_id"], cls.spoken(s["story_id"])) for s in cls.stories(n) if "markdown" in s]
        return [outcome["audio_id"] for _, outcome in ended if outcome["status"] == "completed"]


class Peers(threading.Thread):
    """The services on the other side: they answer what they read, sometimes twice."""

    def __init__(self, kafka, inputs, prefix):
        super().__init__(daemon=True)
        self.kafka, self.inputs, self.prefix = kafka, inputs, prefix
        self.stopping = threading.Event()
        self.answered = set()
        self.fault = None

    def run(self):
        try:
            while not self.stopping.wait(0.3):
                self.answer("story.generate", "story.generate.completed", self.story)
                self.answer("tts.requested", "tts.completed", self.speech)
        except Exception as fault:  # told by the test
            self.fault = fault

    def answer(self, topic, service, make):
        lines = []
        for message in self.kafka.messages(topic):
            value = json.loads(message["payload"])
            identity = (topic, message["partition"], message["offset"])
            if identity in self.answered or not value["route_id"].startswith(self.prefix):
                continue
            self.answered.add(identity)
            lines.append(line(**make(value)))
        if lines:
            self.kafka.produce_lines(self.inputs[service], lines + lines[::7])

    def story(self, value):
        number = int(value["route_id"].rpartition("-")[2])
        return {"route_id": value["route_id"], "stories": Oracle.stories(number)}

    def speech(self, value):
        return {"route_id": value["route_id"], "story_id": value["story_id"], **Oracle.spoken(value["story_id"])}

    def stop(self):
        self.stopping.set()
        self.join(60)


class WorkflowCrashTest(ConsumerTest):
    def start_one(self, kind):
        if kind == "api":
            process = Api(self.database)
        elif kind == "worker":
            process = Worker(self.database, "kafka:", KAFKA_BOOTSTRAP_SERVERS=self.kafka.address)
        else:
            topics = ",".join(f"{topic}={service}" for service, topic in self.inputs.items())
            return self.launch_consumer(topics, KAFKA_GROUP_ID=self.prefix)
        self.addCleanup(process.clean_up)
        return process

    def kill_one(self, numbers):
        victim = numbers.choice(["consumer", "worker", "api", "postgresql"])
        if victim == "postgresql":
            cluster().kill()
            time.sleep(numbers.uniform(0, 2))
            cluster().start()
            return
        self.running[victim].kill()
        self.running[victim] = self.start_one(victim)
        if numbers.random() < 0.5:
            # Once more, while it recovers.
            time.sleep(numbers.uniform(0.05, 0.4))
            self.running[victim].kill()
            self.running[victim] = self.start_one(victim)

    def restart_what_ended(self):
        """A program may end when it starts while the database is away; a supervisor starts it again."""
        for kind, process in self.running.items():
            if process.process.poll() is not None:
                self.running[kind] = self.start_one(kind)

    def test_every_route_ends_as_the_oracle_says(self):
        for topic in ("story.generate", "tts.requested", "delivery.prefetch"):
            self.kafka.create_topic(topic)
        services = ("route.confirmed", "story.generate.completed", "tts.completed")
        self.inputs = {service: self.topic(f"-{i}") for i, service in enumerate(services)}
        self.prefix = "crash-"
        numbers = random.Random(seed)
        self.running = {kind: self.start_one(kind) for kind in ("api", "consumer", "worker")}
        peers = Peers(self.kafka, self.inputs, self.prefix)
        peers.start()
        self.addCleanup(peers.stop)
        piece = max(routes // kills, 1)
        for start in range(0, routes, piece):
            some = range(start, min(start + piece, routes))
            self.kafka.produce_lines(self.inputs["route.confirmed"], [line(route_id=f"{self.prefix}{n}") for n in some])
            time.sleep(numbers.uniform(0.5, 2.5))
            self.kill_one(numbers)
            self.restart_what_ended()
        self.wait_ended()
        peers.stop()
        self.assertIsNone(peers.fault)
        self.check()

    def wait_ended(self):
        def ended():
            self.restart_what_ended()
            return self.database.count("workflow_instances", "ended") == routes

        wait_until(ended, settle_seconds, "every route has ended", poll=0.5)

        def sent():
            return self.database.count("outbox_messages", "status <> 'sent' and topic not like '$%'") == 0

        wait_until(sent, 60, "every message is sent", poll=0.5)

    def check(self):
        rows = self.database.rows("select id, status from workflow_instances")
        expected = {f"{self.prefix}{n}": "completed" if Oracle.audio(n) else "failed" for n in range(routes)}
        self.assertEqual({row["id"]: row["status"] for row in rows}, expected)
        prefetched = collections.defaultdict(set)
        for message in self.kafka.messages("delivery.prefetch"):
            value = json.loads(message["payload"])
            if value["route_id"].startswith(self.prefix):
                headers = dict(zip(message["headers"][::2], message["headers"][1::2]))
                prefetched[value["route_id"]].add((headers["ce_id"], tuple(value["next_audio"])))
        for n in range(routes):
            found = prefetched.pop(f"{self.prefix}{n}", set())
            audio = Oracle.audio(n)
            self.assertEqual([each[1] for each in found], [tuple(audio)] if audio else [], n)
        self.assertEqual(dict(prefetched), {})
        # One message in the outbox for every effect, whatever was repeated.
        speeches = sum(sum("markdown" in story for story in Oracle.stories(n)) for n in range(routes))
        for topic, count in (("story.generate", routes), ("tts.requested", speeches)):
            self.assertEqual(self.database.count("outbox", f"topic = '{topic}'"), count)
        turns = self.database.value("select sum(transitions) from workflow_instances")
        self.assertEqual(int(turns), 2 * routes + speeches)
        self.assertEqual(self.database.count("workflow_history"), 2 * routes + speeches)
        ids = self.database.value("select count(distinct event_id) - count(*) from outbox where topic not like '$%'")
        self.assertEqual(int(ids), 0)
        client = Client("127.0.0.1", self.running["api"].ready().port, timeout=10)
        with client:
            self.assertEqual(client.get(f"/workflows/{self.prefix}0").status, 200)


if __name__ == "__main__":
    unittest.main()
