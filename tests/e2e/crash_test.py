"""kill -9 of api, worker and PostgreSQL under load: what was acknowledged is there, whole, and delivered.

POLIS_CRASH_SEED and POLIS_CRASH_KILLS repeat or prolong a run.
"""

import collections
import http.client
import json
import os
import random
import threading
import time
import unittest

import oracle
from harness import Answer, Api, Client, EndToEndTest, Worker, cluster, wait_until

seed = int(os.environ.get("POLIS_CRASH_SEED", "20161121"))
kills = int(os.environ.get("POLIS_CRASH_KILLS", "9"))
load_threads = 6
settle_seconds = 60.0
# A delivery the sink has accepted may be repeated when the crash came before the cursor was written: not later than this.
unrecorded_seconds = 3.0
# Of a message: its shelf entry, and when its lane's cursor passed it.
what_is_stored = """
select o.lane, o.seq, r.attempts, r.next_at, r.delivered_at, r.history, passed.acked_seq, passed.acked_at
from outbox o left join outbox_retries r using (lane, seq)
left join lateral (select p.acked_seq, p.acked_at from lane_progress p
                   where p.lane = o.lane and p.acked_seq >= o.seq order by p.acked_seq limit 1) passed on true
where o.event_id = '{}'"""


class Acknowledged:
    def __init__(self, key, service, body, answer, order):
        self.key, self.service, self.body, self.answer, self.order = key, service, body, answer, order


class Load:
    """Threads that post keyed events and repeat each request until it is answered with 200."""

    def __init__(self, address, patients):
        self.address, self.patients = address, patients
        self.stop, self.lock = threading.Event(), threading.Lock()
        self.acknowledged, self.repeats, self.faults = [], 0, []
        self.threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(load_threads)
        ]

    def start(self):
        for thread in self.threads:
            thread.start()

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(settle_seconds)
        if any(thread.is_alive() for thread in self.threads):
            self.faults.append("a request was never acknowledged")

    def _run(self, number):
        numbers = random.Random(seed * 1000 + number)
        client, turn = None, 0
        while not self.stop.is_set():
            turn += 1
            service = numbers.choice(["health", "health", "energy", "transport"])
            bodies = [self._body(numbers, number, service) for _ in range(numbers.choice([1, 1, 1, 5, 20]))]
            client = self._post(client, f"{number}-{turn}", service, bodies)
            self.stop.wait(0.004)
        if client is not None:
            client.close()

    def _body(self, numbers, thread, service):
        if service == "health":
            alert = "emergency" if numbers.random() < 0.7 else "routine"
            return {
                "patient_id": self.patients(numbers, thread),
                "alert": alert,
                "location": f"{numbers.random():.6f}",
            }
        if service == "energy":
            return {"energy": numbers.randint(300, 700), "neighborhood": f"n{self.patients(numbers, thread)}"}
        return {"bus_id": numbers.randint(1, 50), "lat": numbers.random(), "note": "x" * numbers.randint(0, 300)}

    def _post(self, client, key, service, bodies):
        single = len(bodies) == 1
        text = json.dumps(bodies[0] if single else bodies)
        deadline = time.monotonic() + settle_seconds
        while time.monotonic() < deadline:
            try:
                if client is None:
                    client = Client("127.0.0.1", self.address(), timeout=20)
                response = client.post_raw(f"/ingest/{service}", text, {"Idempotency-Key": key})
                if response.status == 200:
                    self._acknowledge(
                        key, service, bodies, [response.json()] if single else response.json()["results"]
                    )
                    return client
                if response.status != 503:
                    self.faults.append(response)
                    return client
            except (OSError, http.client.HTTPException):
                client = None  # the old connection has closed itself
            self.repeats += 1
            time.sleep(0.05)  # a polite client: this is pacing, nothing waits for it
        self.faults.append(f"no acknowledgement of {key}")
        return client

    def _acknowledge(self, key, service, bodies, answers):
        with self.lock:
            for index, (body, answer) in enumerate(zip(bodies, answers)):
                if "error" in answer:
                    self.faults.append(answer)
                    continue
                item_key = key if len(bodies) == 1 else f"{key}#{index}"
                self.acknowledged.append(Acknowledged(item_key, service, body, answer, len(self.acknowledged)))


class Kill:
    def __init__(self, target, at, recovered):
        self.target, self.at, self.recovered = target, at, recovered


class CrashTest(EndToEndTest):
    window_seconds = 0

    def setUp(self):
        super().setUp()
        self.numbers = random.Random(seed)
        unlucky = random.Random(seed + 1)
        self.sink = self.start_sink(lambda headers, body: Answer(503 if unlucky.random() < 0.02 else 200))
        self.api = self.new_api()
        self.workers = [self.new_worker(), self.new_worker()]
        self.history = []

    def new_api(self):
        api = Api(self.database, DERIVED_DEDUPE_WINDOW_SECONDS=self.window_seconds)
        self.addCleanup(api.clean_up)
        return api.ready()

    def new_worker(self):
        worker = Worker(self.database, self.sink)
        self.addCleanup(worker.clean_up)
        return worker.ready()

    def kill_api(self):
        self.api.kill()
        self.api = self.new_api()

    def kill_worker(self):
        victim = self.numbers.randrange(len(self.workers))
        self.workers[victim].kill()
        self.workers[victim] = self.new_worker()

    def kill_postgresql(self):
        cluster().kill()
        cluster().start()
        for process in [self.api, *self.workers]:
            wait_until(process.is_ready, 30, f"{process.program_name} is ready after the crash of PostgreSQL")

    def run_load(self, patients, number_of_kills):
        load = Load(lambda: self.api.port, patients)
        load.start()
        targets = [("api", self.kill_api), ("worker", self.kill_worker), ("postgresql", self.kill_postgresql)]
        order = [targets[number % 3] for number in range(number_of_kills)]
        self.numbers.shuffle(order)
        try:
            for name, kill in order:
                time.sleep(self.numbers.uniform(0.2, 1.6))  # the random moment of the crash
                at = time.monotonic()
                kill()
                self.history.append(Kill(name, at, time.monotonic()))
        finally:
            load.finish()
        self.assertEqual(load.faults[:5], [])
        for process in [self.api, *self.workers]:
            self.assertIsNone(process.process.poll(), process.log_text()[-2000:])
        return load

    def settle(self):
        def settled():
            found = self.database.rows("select status, count(*) as n from outbox_messages group by status")
            counts = {row["status"]: row["n"] for row in found}
            return counts if not counts.get("pending") else None

        return wait_until(settled, settle_seconds, "every message is sent or failed", poll=0.3)

    def read_back(self):
        rows = self.database.rows(
            "select id, service, payload, normalized_payload, deduplication_key, source_event_id from event_details"
        )
        self.events_by_id = {row["id"]: row for row in rows}
        self.families = collections.defaultdict(list)
        for row in sorted(rows, key=lambda one: one["id"]):
            if row["source_event_id"] is not None:
                self.families[row["source_event_id"]].append(row)

    def check_events(self, load):
        """Acknowledged events are stored as sent; and of every stored one the whole family is there."""
        for one in load.acknowledged:
            stored = self.events_by_id.get(one.answer["stored_event_id"])
            self.assertIsNotNone(stored, f"acknowledged and lost: {one.key}")
            self.assertEqual(
                (stored["service"], stored["payload"], stored["deduplication_key"]),
                (one.service, one.body, one.key),
            )
            self.check_answer(one)
        bases = [row for row in self.events_by_id.values() if row["source_event_id"] is None]
        self.assertEqual(len({row["deduplication_key"] for row in bases}), len(bases), "one key, two events")
        self.assertEqual({row["deduplication_key"] for row in bases}, {one.key for one in load.acknowledged})
        for base in bases:
            expected = oracle.expect(base["service"], base["payload"])
            self.assertEqual(base["normalized_payload"], expected.normalized)
            self.check_family(base, expected.derived)
        self.assertLessEqual(set(self.families), {row["id"] for row in bases}, "a derived event without its base")

    def check_answer(self, one):
        self.assertEqual(
            one.answer["derived_events"], [row["id"] for row in self.families[one.answer["stored_event_id"]]]
        )

    def check_family(self, base, derived):
        self.assertEqual(
            [(row["service"], row["payload"], row["deduplication_key"]) for row in self.families[base["id"]]],
            [(one.service, one.payload, one.key) for one in derived],
            base,
        )

    def check_messages(self):
        derived = {row["id"]: row for row in self.events_by_id.values() if row["source_event_id"] is not None}
        messages = self.database.messages()
        self.assertEqual(len(messages), len(derived))
        self.assertEqual({row["event_id"] for row in messages}, set(derived))
        for row in messages:
            event = derived[row["event_id"]]
            self.assertEqual((row["topic"], row["payload"]), ("event." + event["service"], event["payload"]))
            self.assertIn(row["status"], ("sent", "failed"))
            if row["status"] == "failed":
                self.assertEqual(row["attempts"], 5, row)
        return messages

    def check_deliveries(self, messages):
        accepted = collections.defaultdict(list)
        for delivery in self.sink.snapshot():
            self.assertIn(delivery.event_id, self.events_by_id, "delivered, but never stored")
            self.assertEqual(delivery.json(), self.events_by_id[delivery.event_id]["payload"])
            if delivery.accepted:
                accepted[delivery.event_id].append(delivery)
        for row in messages:
            if row["status"] == "sent":
                self.assertTrue(accepted[row["event_id"]], f"sent, but never received: {row}")
        repeated = {identity: found for identity, found in accepted.items() if len(found) > 1}
        for identity, found in repeated.items():
            for first, second in zip(found, found[1:]):
                if not any(self.explains(kill, first, second) for kill in self.history):
                    self.fail(self.describe(identity, found))
        return accepted, repeated

    def explains(self, kill, first, second):
        """A crash of worker or database lost the record of `first`: it came shortly before, or while the database was away."""
        if kill.target == "api":
            return False
        return kill.at - unrecorded_seconds < first.time < kill.recovered and second.time > kill.at

    def describe(self, identity, found):
        start = self.history[0].at
        return (
            f"{identity} was repeated without a crash that explains it: at {[round(one.time - start, 2) for one in found]}, "
            f"kills {[(kill.target, round(kill.at - start, 2), round(kill.recovered - start, 2)) for kill in self.history]}, "
            f"stored {self.database.rows(what_is_stored.format(identity))}"
        )

    def check_order(self, load, accepted):
        """First receipts of one key come in the order of the acknowledged requests (one thread owns a patient)."""
        wanted = collections.defaultdict(list)
        for one in sorted(load.acknowledged, key=lambda found: found.order):
            for row in self.families[one.answer["stored_event_id"]]:
                wanted[row["deduplication_key"]].append(row["id"])
        failed = {row["event_id"] for row in self.database.messages("status = 'failed'")}
        for key, identities in wanted.items():
            received = sorted(
                (accepted[identity][0].time, position)
                for position, identity in enumerate(identities)
                if identity not in failed
            )
            positions = [position for _, position in received]
            self.assertEqual(positions, sorted(positions), f"out of order: {key}")
        return len(wanted)

    def report(self, load, counts, repeated, keys):
        print(
            f"\ncrash test, seed {seed}: kills {dict(collections.Counter(kill.target for kill in self.history))}, "
            f"acknowledged {len(load.acknowledged)}, repeated requests {load.repeats}, stored {len(self.events_by_id)}, "
            f"messages {counts}, received {self.sink.count()}, received twice {len(repeated)}, ordered keys {keys}",
            flush=True,
        )


class FamiliesTest(CrashTest):
    def test_everything_acknowledged_is_there_and_delivered(self):
        load = self.run_load(lambda numbers, thread: thread * 1000 + numbers.randint(1, 15), kills)
        counts = self.settle()
        self.read_back()
        self.check_events(load)
        accepted, repeated = self.check_deliveries(self.check_messages())
        keys = self.check_order(load, accepted)
        self.report(load, counts, repeated, keys)
        self.assertGreater(len(load.acknowledged), 300)


class SuppressionTest(CrashTest):
    """All threads share patients, and the window outlasts the test: one derived event a service and key, crash or not."""

    window_seconds = 300

    def check_answer(self, one):
        expected = oracle.expect(one.service, one.body).derived
        named = [self.events_by_id[identity] for identity in one.answer["derived_events"]]
        self.assertEqual(
            [(row["service"], row["deduplication_key"]) for row in named],
            [(derived.service, derived.key) for derived in expected],
        )
        own = {row["id"] for row in self.families[one.answer["stored_event_id"]]}
        self.assertEqual(set(one.answer.get("suppressed", [])), set(one.answer["derived_events"]) - own)

    def check_family(self, base, derived):
        wanted = {(one.service, one.key): one.payload for one in derived}
        for row in self.families[base["id"]]:
            self.assertEqual(row["payload"], wanted[(row["service"], row["deduplication_key"])])

    def test_suppression_survives_crashes(self):
        load = self.run_load(lambda numbers, thread: numbers.randint(1, 40000), min(kills, 3))
        counts = self.settle()
        self.read_back()
        self.check_events(load)
        derived = [
            (row["service"], row["deduplication_key"])
            for row in self.events_by_id.values()
            if row["source_event_id"] is not None
        ]
        self.assertEqual(len(set(derived)), len(derived), "a window let a second derived event pass")
        wanted = {
            (one.service, one.key)
            for sent in load.acknowledged
            for one in oracle.expect(sent.service, sent.body).derived
        }
        self.assertEqual(set(derived), wanted)
        _, repeated = self.check_deliveries(self.check_messages())
        self.report(load, counts, repeated, 0)


class DatabaseDownTest(EndToEndTest):
    def test_no_database_is_503_and_nobody_is_told_ok(self):
        api = self.start_api()
        client = self.open_client(api)
        first = self.ingest(client, "parks", {"a": 1}, Idempotency_Key="before")
        cluster().kill()
        try:
            self.assertEqual(client.get("/health").json(), {"status": "ok"})
            self.assertEqual(client.get("/healthz").status, 200)
            wait_until(lambda: client.get("/readyz").status == 503, 10, "not ready")
            response = client.post_json("/ingest/parks", {"a": 2}, {"Idempotency-Key": "down"})
            self.assert_problem(response, 503)
            self.assertTrue(response.header("retry-after"))
            self.assert_problem(client.get("/events"), 503)
        finally:
            cluster().start()
        wait_until(lambda: client.get("/readyz").status == 200, 30, "ready again")
        self.assertEqual(self.ingest(client, "parks", {"a": 2}, Idempotency_Key="before"), first)
        self.ingest(client, "parks", {"a": 2}, Idempotency_Key="down")
        self.assertEqual(self.database.count("events"), 2)

    def test_a_crash_during_the_commit_is_not_acknowledged(self):
        """The insert waits for a lock when the database dies: the sender must hear 503, and its repeat must work."""
        api = self.start_api()
        client = self.open_client(api)
        self.ingest(client, "parks", {"a": 0})
        self.hold_lock("events")
        answers = []
        sender = threading.Thread(
            target=lambda: answers.append(
                client.post_json(
                    "/ingest/health", {"patient_id": 1, "alert": "emergency"}, {"Idempotency-Key": "unknown"}
                )
            )
        )
        sender.start()
        self.wait_blocked()
        cluster().kill()
        try:
            sender.join(30)
            self.assertEqual(len(answers), 1)
            self.assert_problem(answers[0], 503)
        finally:
            cluster().start()
        wait_until(lambda: client.get("/readyz").status == 200, 30, "ready again")
        answer = self.ingest(client, "health", {"patient_id": 1, "alert": "emergency"}, Idempotency_Key="unknown")
        self.assertEqual(len(answer["derived_events"]), 2)
        self.assertEqual(self.database.count("events"), 4)


if __name__ == "__main__":
    unittest.main()
