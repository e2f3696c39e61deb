"""City guides, tasks and base scenarios at once while PostgreSQL stops and consumer, workers and api are killed with
kill -9, also while they recover: an oracle outside of the service knows how every workflow has to end.

`make chaos-workflows` is the long form. POLIS_WORKFLOWS (of all kinds), POLIS_WORKFLOW_SECONDS (over which they are asked
for) and POLIS_CRASH_SEED repeat or prolong a run.
"""

import collections
import os
import random
import threading
import time
import unittest

from brokers import free_ports
from consumer_case import ConsumerTest
from harness import Api, Client, Worker, cluster, wait_until
from workflow_world import BaseScenarios, CityGuides, Tasks, topics

workflows = int(os.environ.get("POLIS_WORKFLOWS", "300"))
asking_seconds = float(os.environ.get("POLIS_WORKFLOW_SECONDS", "15"))
seed = int(os.environ.get("POLIS_CRASH_SEED", "20261121"))
is_long = asking_seconds >= 120
# Seconds between the stops of PostgreSQL, and between the kills of programs.
stop_gap = (5, 40) if is_long else (2, 6)
kill_gap = (1, 8) if is_long else (0.5, 2)
away_seconds = 2.0
settle_seconds = 300.0
say_seconds = 15.0
programs = ("api", "consumer", "worker 1", "worker 2")


class Faults:
    """What is done to the programs, and how often."""

    def __init__(self, start_one, numbers):
        self.start_one, self.numbers = start_one, numbers
        self.running = {name: start_one(name) for name in programs}
        self.count = collections.Counter()
        self.surprises = []
        self.next_stop = self.next_kill = 0.0
        self.put_off(time.monotonic())

    def put_off(self, now):
        self.next_stop = max(self.next_stop, now + self.numbers.uniform(*stop_gap))
        self.next_kill = max(self.next_kill, now + self.numbers.uniform(*kill_gap))

    def strike(self):
        now = time.monotonic()
        if now >= self.next_stop:
            self.stop_postgresql()
            self.next_stop = time.monotonic() + self.numbers.uniform(*stop_gap)
        elif now >= self.next_kill:
            self.kill_program(self.numbers.choice(programs))
            self.next_kill = time.monotonic() + self.numbers.uniform(*kill_gap)
        self.restart_what_ended()

    def kill_program(self, name):
        self.replace(name)
        self.count[name.split()[0]] += 1
        if self.numbers.random() < 0.3:
            time.sleep(self.numbers.uniform(0.02, 0.4))
            self.replace(name)
            self.count[f"{name.split()[0]} while it recovers"] += 1

    def replace(self, name):
        self.running[name].kill()
        self.running[name] = self.start_one(name)

    def stop_postgresql(self):
        cluster().kill()
        self.count["postgresql"] += 1
        time.sleep(self.numbers.uniform(0, away_seconds))
        if self.numbers.random() < 0.3:
            self.kill_program(self.numbers.choice(programs))
        if self.numbers.random() < 0.3:
            self.kill_postgresql_in_recovery()
        cluster().start()

    def kill_postgresql_in_recovery(self):
        """It is killed as soon as it has a process, or a moment later: it replays its log then."""

        def start():
            try:
                cluster().start()
            except RuntimeError:
                pass  # it was killed, which is what this is about

        def has_process():
            try:
                return cluster()._tool("pid")
            except RuntimeError:
                return None

        starting = threading.Thread(target=start)
        starting.start()
        wait_until(has_process, 30, "PostgreSQL starts")
        time.sleep(self.numbers.uniform(0, 0.1))
        cluster().kill()
        starting.join()
        self.count["postgresql while it recovers"] += 1

    def restart_what_ended(self):
        """A program that starts while the database is away ends and says so; a supervisor starts it again. One that
        has served ends for nothing."""
        for name, process in self.running.items():
            code = process.process.poll()
            if code is None:
                continue
            if code != 1 or process.logged("listening"):
                self.surprises.append(f"{name} ended by itself with {code}: {process.log_text()[-1500:]}")
            self.running[name] = self.start_one(name)
            self.count["ended at its start"] += 1


class Asking(threading.Thread):
    """Asks for the workflows of one kind, evenly over the time."""

    def __init__(self, kind, count):
        super().__init__(daemon=True)
        self.kind, self.count, self.asked, self.fault = kind, count, 0, None

    def run(self):
        began = time.monotonic()
        try:
            while self.asked < self.count:
                due = min(int((time.monotonic() - began) / asking_seconds * self.count) + 1, self.count)
                if due == self.asked:
                    time.sleep(0.2)  # pacing
                    continue
                self.kind.ask(range(self.asked, due))
                self.asked = due
        except Exception as fault:  # told by the test
            self.fault = fault


class WorkflowCrashTest(ConsumerTest):
    def setUp(self):
        super().setUp()
        for topic in topics:
            self.kafka.create_topic(topic)
        services = ("route.confirmed", "story.generate.completed", "tts.completed", "record:")
        self.inputs = {service: self.topic(f"-{i}") for i, service in enumerate(services)}
        (self.port,) = free_ports(1)
        share, rest = divmod(workflows, 3)
        counts = [share + (place < rest) for place in range(3)]
        self.guides = CityGuides(self.kafka, self.inputs, range(counts[0]))
        self.tasks = Tasks(self.port, seed + 1, counts[1])
        self.bases = BaseScenarios(self.kafka, self.registry, self.inputs["record:"], seed + 2, counts[2])
        self.kinds = dict(zip((self.guides, self.tasks, self.bases), counts))
        for kind in self.kinds:
            self.addCleanup(kind.close)
        self.began = time.monotonic()
        self.broken = []

    def start_one(self, name):
        if name == "consumer":
            return self.launch_consumer(",".join(f"{topic}={service}" for service, topic in self.inputs.items()))
        process = Api(self.database, PORT=self.port) if name == "api" else self.new_worker()
        self.addCleanup(process.clean_up)
        return process

    def new_worker(self):
        urls = {f"{name.upper()}_SERVICE_URL": self.tasks.services.url(f"/{name}") for name in ("revenue", "rebates", "specialty")}
        attempts = {"OUTBOX_MAX_ATTEMPTS": 100, "URBAN_API_MAX_ATTEMPTS": 100}
        brokers = {"KAFKA_BOOTSTRAP_SERVERS": self.kafka.address}
        return Worker(self.database, "kafka:", URBAN_API_URL=self.bases.urban.url, **urls, **attempts, **brokers)

    def say(self, text):
        print(f"{time.monotonic() - self.began:7.1f} s  {text}", flush=True)

    def state(self):
        rows = self.database.rows("select ended, count(*) as n from workflow_instances group by ended")
        return {row["ended"]: row["n"] for row in rows}

    def test_every_workflow_ends_as_the_oracle_says(self):
        self.faults = Faults(self.start_one, random.Random(seed))
        asking = [Asking(kind, count) for kind, count in self.kinds.items()]
        for one in asking:
            one.start()
        next_word = 0.0
        while any(one.is_alive() for one in asking):
            self.faults.strike()
            if time.monotonic() >= next_word:
                next_word = time.monotonic() + say_seconds
                asked = sum(one.asked for one in asking)
                self.say(f"{asked} of {workflows} asked for, {self.state().get(True, 0)} ended; {dict(self.faults.count)}")
            time.sleep(0.05)
        self.broken += [f"{one.kind.name}: {one.fault!r}" for one in asking if one.fault]
        self.say("all are asked for; from here on nothing is killed")
        self.wait_ended()
        self.judge()
        self.broken += self.faults.surprises
        self.assertEqual(self.broken[:20], [])

    def wait_ended(self):
        def ended():
            self.faults.restart_what_ended()
            return self.state().get(True, 0) >= workflows

        def sent():
            return self.database.count("outbox_messages", "status <> 'sent' and topic not like '$%'") == 0

        for condition, what in ((ended, "every workflow has ended"), (sent, "every message is sent")):
            try:
                wait_until(condition, settle_seconds, what, poll=0.5)
            except AssertionError as fault:
                self.broken.append(str(fault))

    # --- The judge

    def judge(self):
        rows = self.database.rows("select workflow, id, status from workflow_instances")
        found = {(row["workflow"], row["id"]): row["status"] for row in rows}
        lines, again = [], 0
        for kind, count in self.kinds.items():
            kind.close()
            ends, effects, calls = kind.ends(), kind.effects(), kind.outside_calls()
            wrong = {name: found.pop(name, None) for name, end in ends.items() if found.get(name) != end}
            for name in ends:
                found.pop(name, None)
            keys = {effect: set(given) for effect, given in calls.items()}
            self.broken += [f"{kind.name}: {name} ended as {end}, not as {ends[name]}" for name, end in wrong.items()]
            self.broken += [f"{kind.name}: never happened: {effect}" for effect in effects - set(calls)]
            self.broken += [f"{kind.name}: nobody wanted it: {effect}" for effect in set(calls) - effects]
            self.broken += [f"{kind.name}: keys {given} of {effect}" for effect, given in keys.items() if len(given) != 1]
            self.broken += [f"{kind.name}: {fault}" for fault in kind.faults]
            happened = sum(map(len, calls.values()))
            all_keys = [key for given in keys.values() for key in given]
            if len(all_keys) != len(set(all_keys)):
                self.broken.append(f"{kind.name}: two effects have one key")
            again += sum(len(given) - 1 for (topic, _), given in calls.items() if topic == "delivery.prefetch")
            lines.append(
                f"{kind.name:<20}{count} workflows, {len(wrong)} wrong ends, {len(effects)} effects, {happened} calls, "
                f"{happened - len(calls)} repeats, {len(set(all_keys))} keys"
            )
        self.broken += [f"nobody asked for {name}" for name in found]
        prefetched = self.check_rows()
        print(f"\nchaos of workflows, seed {seed}, {time.monotonic() - self.began:.0f} s")
        for text in lines:
            print(f"  {text}")
        print(f"  {'delivery.prefetch':<20}{prefetched} messages, one a route that has audio; {again} came twice, with the same id")
        print(f"  {'faults':<20}{dict(self.faults.count)}")
        for fault in self.broken[:20]:
            print(f"  BROKEN  {fault[:300]}")
        verdict = "every promise was kept" if not self.broken else f"{len(self.broken)} violations"
        print(f"  {'verdict':<20}{verdict}", flush=True)

    def check_rows(self):
        """One turn for each event and one message in the outbox for each effect, whatever was repeated."""
        count, effects = self.database.count, self.guides.effects()
        for topic in topics:
            wanted = sum(name == topic for name, _ in effects)
            self.expect(count("outbox", f"topic = '{topic}'"), wanted, f"messages of {topic}")
        of_guides = "workflow = 'city-guide'"
        turns = self.database.value(f"select sum(transitions)::bigint from workflow_instances where {of_guides}")
        self.expect(turns, self.guides.turns(), "turns of city guides")
        self.expect(count("workflow_history", of_guides), self.guides.turns(), "rows of their history")
        twice = self.database.value("select count(*) - count(distinct event_id) from outbox")
        self.expect(twice, 0, "ids of messages that are there twice")
        requests = self.database.rows("select status, count(*) as n from service_requests group by status")
        wanted = collections.Counter("FAILED" if name.startswith("bad") else "COMPLETED" for _, name in self.tasks.effects())
        self.expect({row["status"]: row["n"] for row in requests}, dict(wanted), "service requests")
        with Client("127.0.0.1", self.faults.running["api"].ready().port, timeout=10) as client:
            self.expect(client.get("/workflows/0?workflow=city-guide").status, 200, "GET /workflows/0")
        return count("outbox", "topic = 'delivery.prefetch'")

    def expect(self, found, wanted, what):
        if found != wanted:
            self.broken.append(f"{what}: {found}, not {wanted}")


if __name__ == "__main__":
    unittest.main()
