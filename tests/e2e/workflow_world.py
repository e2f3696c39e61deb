"""The world around workflows of three kinds, and what has to become of each: who asks, who answers, and an oracle that
shares nothing with the programs under test.

A kind has `ask(places)` (the first, the second, ... of its workflows), `ends()` (what its workflows have to end as), `outside_calls()` (what the world saw, as
{effect: [key, ...]}) and `effects()` (what had to happen at least once, under one key each).
"""

import collections
import http.client
import json
import queue
import random
import subprocess
import threading
import time

from base_scenarios_test import subjects, zigzag
from client import Client
from consumer_case import frame, line
from mock_services import MockServices
from task_case import ids, request, service_names
from urban_api import UrbanApi

acknowledge_seconds = 120.0
topics = {"story.generate": "route_id", "tts.requested": "story_id", "delivery.prefetch": "route_id"}


class Peers:
    """The services of the city guide: they answer what they read, sometimes twice."""

    def __init__(self, kafka, inputs):
        self.kafka, self.inputs = kafka, inputs
        self.read = queue.Queue()
        self.stopping = threading.Event()
        self.fault = None
        # A reader each that goes on for ever: asking for the whole topic again and again would be quadratic.
        self.readers = [self._reader(topic) for topic in ("story.generate", "tts.requested")]
        self.thread = threading.Thread(target=self._answer_all, daemon=True)
        self.thread.start()

    def _reader(self, topic):
        process = subprocess.Popen(
            ["kcat", "-q", "-b", self.kafka.address, "-C", "-t", topic, "-o", "beginning", "-J", "-u"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

        def read():
            for text in process.stdout:
                self.read.put((topic, json.loads(json.loads(text)["payload"])))

        threading.Thread(target=read, daemon=True).start()
        return process

    def _answer_all(self):
        try:
            while not self.stopping.wait(0.3):
                lines = collections.defaultdict(list)
                while not self.read.empty():
                    topic, value = self.read.get()
                    if topic == "story.generate":
                        lines["story.generate.completed"].append(line(**self.stories(value)))
                    else:
                        lines["tts.completed"].append(line(**self.speech(value)))
                for service, some in lines.items():
                    self.kafka.produce_lines(self.inputs[service], some + some[::7])
        except Exception as fault:  # told by the test
            self.fault = fault

    @staticmethod
    def stories(value):
        return {"route_id": value["route_id"], "stories": CityGuides.stories(int(value["route_id"]))}

    @staticmethod
    def speech(value):
        outcome = CityGuides.spoken(value["story_id"])
        return {"route_id": value["route_id"], "story_id": value["story_id"], **outcome}

    def stop(self):
        self.stopping.set()
        self.thread.join(60)
        for reader in self.readers:
            reader.kill()
            reader.wait(10)
            reader.stdout.close()


class CityGuides:
    """003: routes are confirmed on Kafka, everything happens on Kafka."""

    name = "003 city guides"

    def __init__(self, kafka, inputs, numbers):
        self.kafka, self.inputs, self.numbers = kafka, inputs, numbers
        self.peers = Peers(kafka, inputs)
        self.faults = []

    def ask(self, places):
        self.kafka.produce_lines(self.inputs["route.confirmed"], [line(route_id=str(self.numbers[n])) for n in places])

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
    def speeches(cls, n):
        return [story["story_id"] for story in cls.stories(n) if "markdown" in story]

    @classmethod
    def audio(cls, n):
        outcomes = [cls.spoken(story) for story in cls.speeches(n)]
        return [outcome["audio_id"] for outcome in outcomes if outcome["status"] == "completed"]

    def ends(self):
        return {("city-guide", str(n)): "completed" if self.audio(n) else "failed" for n in self.numbers}

    def effects(self):
        found = {("story.generate", str(n)) for n in self.numbers}
        found |= {("tts.requested", story) for n in self.numbers for story in self.speeches(n)}
        return found | {("delivery.prefetch", str(n)) for n in self.numbers if self.audio(n)}

    def turns(self):
        """The route, its stories, and each speech: one turn each, whatever comes twice."""
        return sum(2 + len(self.speeches(n)) for n in self.numbers)

    def outside_calls(self):
        found = collections.defaultdict(list)
        for topic, member in topics.items():
            for message in self.kafka.messages(topic):
                value = json.loads(message["payload"])
                if int(value["route_id"]) not in self.numbers:
                    continue  # of another test
                headers = dict(zip(message["headers"][::2], message["headers"][1::2]))
                found[topic, value[member]].append(headers["ce_id"])
                if topic == "delivery.prefetch" and value["next_audio"] != self.audio(int(value["route_id"])):
                    self.faults.append(f"another audio than spoken: {value}")
        return found

    def close(self):
        self.peers.stop()
        if self.peers.fault:
            self.faults.append(f"the peers: {self.peers.fault!r}")


class Services(MockServices):
    """They refuse what is called bad, and fail some other calls for once."""

    def __init__(self, seed):
        self.unlucky = random.Random(seed)
        super().__init__()

    def result(self, path, body):
        if any(item["scenario_id"].startswith("bad") for item in json.loads(body)):
            return 400, {"detail": "no"}
        return (503, {}) if self.unlucky.random() < 0.03 else super().result(path, body)


class Tasks:
    """001: tasks are asked for over HTTP until they are acknowledged, and call three services."""

    name = "001 tasks"

    def __init__(self, port, seed, count):
        self.port, self.numbers = port, range(count)
        self.services = Services(seed)
        made = random.Random(seed + 1)
        self.wanted = [(made.random() < 0.2, made.sample(service_names, made.randint(1, 3))) for _ in self.numbers]
        self.task_ids = {}
        self.faults = []

    def scenario(self, n):
        return f"{'bad' if self.wanted[n][0] else 's'}{n}"

    def ask(self, places):
        for n in places:
            item = {service: {**ids(n), "scenario_id": self.scenario(n)} for service in self.wanted[n][1]}
            self.task_ids[n] = self.post("/api/orchestrate", request(item), f"task {n}")

    def post(self, path, body, key):
        deadline = time.monotonic() + acknowledge_seconds
        while time.monotonic() < deadline:
            try:
                with Client("127.0.0.1", self.port, timeout=20) as client:
                    answer = client.post_json(path, body, {"Idempotency-Key": key})
                if answer.status == 200:
                    return answer.json()["task_id"]
                if answer.status != 503:
                    self.faults.append(f"{key}: {answer}")
                    return None
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.05)  # a polite client: this is pacing, nothing waits for it
        self.faults.append(f"no acknowledgement of {key}")
        return None

    def ends(self):
        return {("task", self.task_ids.get(n)): "FAILED" if self.wanted[n][0] else "COMPLETED" for n in self.numbers}

    def effects(self):
        return {(f"/{service}", self.scenario(n)) for n in self.numbers for service in self.wanted[n][1]}

    def outside_calls(self):
        found = collections.defaultdict(list)
        for call in self.services.calls:
            found[call.path, json.loads(call.body)[0]["scenario_id"]].append(call.headers["idempotency-key"])
        return found

    def close(self):
        self.services.close()


class BaseScenarios:
    """000: projects are announced on Kafka, as Avro, some twice; base scenarios are created in the Urban API."""

    name = "000 base scenarios"
    territories, users = 3, 4

    def __init__(self, kafka, registry, topic, seed, count):
        self.kafka, self.topic, self.numbers = kafka, topic, range(1, count + 1)
        namespace, fields = subjects["ProjectCreated"]
        namespace = f"scenario.events.{namespace}"
        schema = {
            "type": "record", "name": "ProjectCreated", "namespace": namespace, "doc": "of the test",
            "fields": [{"name": field, "type": "long", "doc": field} for field in fields],
        }  # fmt: skip
        self.schema = registry.register(f"{namespace}.ProjectCreated", schema)
        unlucky = random.Random(seed)
        self.urban = UrbanApi(script=lambda method, path, number: 503 if unlucky.random() < 0.03 else None)
        made = random.Random(seed + 1)
        for number in self.numbers:
            self.urban.projects[number] = self.place(number)
        for number in range(10**6, 10**6 + 30):
            self.urban.scenarios[number] = (*self.place(number), made.random() < 0.2)
        self.faults = []

    def place(self, number):
        return number % self.territories, f"user {number % self.users}"

    def ask(self, places):
        fields = [(n, 1, n % self.territories) for n in (self.numbers[place] for place in places)]
        values = [frame(self.schema, b"".join(map(zigzag, values))) for values in fields]
        self.kafka.produce_values(self.topic, values + values[::7])

    def ends(self):
        return {("project-created", str(n)): "completed" for n in self.numbers}

    def effects(self):
        return {
            (project, scenario)
            for project, home in self.urban.projects.items()
            for scenario, (*place, based) in self.urban.scenarios.items()
            if home == tuple(place) and not based
        }

    def outside_calls(self):
        found = collections.defaultdict(list)
        for project, scenario, key in self.urban.creations():
            found[project, scenario].append(key)
        if set(self.urban.bases) != self.effects():
            self.faults.append("other base scenarios than those that match")
        return found

    def close(self):
        self.urban.close()
