"""A crash at every named point of writer, worker, consumer, migrator and retention, and what is left of it.

The points are in the programs only with the CMake option POLIS_FAILPOINTS (the preset `asan` has it); without it this only
checks that the shipped programs have nothing of it, and that the list below is that of the source.
"""

import collections
import os
import re
import signal
import subprocess
import unittest

import oracle
from client import Client
from consumer_case import ConsumerTest, line
from harness import Answer, EndToEndTest, cluster, program, repository, run_program, wait_until
from retention_test import fill, settings, wait_clean
from tasks_amqp_test import queue_points

compiled_in = os.environ.get("POLIS_FAILPOINTS") == "ON"
needs_points = unittest.skipUnless(compiled_in, "the programs were built without failpoints")

# Each is passed several times, and dies at each of these passages.
writer_points = {
    "writer.begun": (1, 2, 3),
    "writer.rows_queued": (1, 2, 3),
    "writer.committed": (1, 2, 3),
    "writer.stored": (1, 2, 3),
    "writer.answered": (1, 2, 3),
    # Every group of statements that was sent and not answered: of the writer and of the queries beside it.
    "pipeline.sent": (2, 3, 4, 5, 6, 7),
}
worker_points = {
    "worker.leased": (1,),
    "worker.settling": (1, 2, 3),
    "worker.settled": (1, 2, 3),
    "worker.adopted": (1, 2, 3),
    "pipeline.sent": (2, 3, 4, 5, 6, 8, 10, 14),
}
stopping_points = {"worker.left": (1,), "worker.released": (1,)}
consumer_points = {"consumer.began": (1,), "consumer.polled": (1, 2, 50), "consumer.telling": (1,)}
migrator_points = {
    "migrator.locked": (1,),
    "migrator.changed": (1, 2, 3),
    "migrator.recorded": (1, 2, 3),
    "migrator.committed": (1, 2, 3),
}
undoing_points = {"migrator.taken_back": (1,)}
retention_points = {
    "retention.locked": (1,),
    "retention.committing": (1, 2, 3, 4, 5, 6),
    "retention.committed": (1, 2, 3, 4, 5, 6),
}
tables = [
    writer_points,
    worker_points,
    stopping_points,
    consumer_points,
    queue_points,
    migrator_points,
    undoing_points,
    retention_points,
]


def passages(points):
    """All with POLIS_FAILPOINTS_ALL=1 (`make failpoints`); else one or two of each point, which takes a third of the time."""
    if os.environ.get("POLIS_FAILPOINTS_ALL") == "1":
        return [(name, count) for name, counts in points.items() for count in counts]
    return [(name, count) for name, counts in points.items() for count in counts[-1::-4]]


class ListTest(unittest.TestCase):
    def test_every_point_of_the_source_has_a_scenario(self):
        found = collections.Counter()
        for path in sorted((repository / "infra/src").rglob("*.cpp")):
            found.update(re.findall(r'\bfailpoint\("([^"]+)"\)', path.read_text()))
        self.assertEqual(set(found), {name for table in tables for name in table})
        self.assertEqual([name for name, times in found.items() if times > 1], [], "a name stands for one point")

    def test_shipped_programs_have_none(self):
        for name in ("polis-api", "polis-outbox-worker", "polis-consumer", "polis-migrate"):
            with open(program(name), "rb") as file:
                self.assertEqual(b"POLIS_FAILPOINT" in file.read(), compiled_in, name)


@needs_points
class WriterTest(EndToEndTest):
    """The client repeats what was not answered: every key is there once, whole, with the answer it was given."""

    def post(self, api, number):
        body = {"patient_id": number, "alert": "emergency", "location": f"l{number}"}
        with Client("127.0.0.1", api.port, timeout=20) as client:
            return body, client.post_json("/ingest/health", body, {"Idempotency-Key": f"k{number}"})

    def until_it_dies(self, api):
        answers, bodies = {}, {}
        for number in range(200):
            try:
                bodies[number], response = self.post(api, number)
            except OSError:
                break
            self.assertEqual(response.status, 200, response)
            answers[number] = response.json()
            if api.process.poll() is not None:
                break
        self.assertEqual(api.process.wait(20), -signal.SIGKILL, "it died at the point")
        return answers, number + 1

    def test_writer(self):
        for name, count in passages(writer_points):
            with self.subTest(point=name, passage=count):
                self.database = cluster().database()
                api = self.start_until_listening(POLIS_FAILPOINT=f"{name}:{count}")
                if api is None:
                    continue
                answers, sent = self.until_it_dies(api)
                self.check(answers, sent)

    def start_until_listening(self, **settings):
        """The api; None when it died before it was ready, which is a passage, too."""
        try:
            return self.start_api(DERIVED_DEDUPE_WINDOW_SECONDS=0, **settings)
        except (AssertionError, OSError):
            return None

    def check(self, answers, sent):
        api = self.start_api(DERIVED_DEDUPE_WINDOW_SECONDS=0)
        client = self.open_client(api)
        for number in range(sent):
            body, response = self.post(api, number)
            self.assertEqual(response.status, 200, response)
            answer = response.json()
            self.assertEqual(answers.get(number, answer), answer, "another answer than before the crash")
            event = self.event(client, answer["stored_event_id"])
            self.assertEqual(event["payload"], body)
            self.assertEqual(
                [one["deduplication_key"] for one in event["derived_events"]],
                [one.key for one in oracle.expect("health", body).derived],
            )
        self.assertEqual(self.database.count("events", "id = family_base(id)"), sent)
        self.assertEqual(self.database.count("events"), 3 * sent)
        self.assertEqual(self.database.count("outbox"), 2 * sent)
        self.assertEqual(self.database.count("request_keys"), sent)
        api.terminate()


@needs_points
class WorkerTest(EndToEndTest):
    """Everything arrives or is dead as it should, and only what was in flight comes twice."""

    messages = 60
    in_flight = 8

    def fill(self):
        """Messages whose numbers tell how the sink answers: some fail at first, some for good."""
        self.database.execute(
            "insert into outbox (key_hash, event_id, lane, topic, payload) select n, "
            "(left(uuid7_floor(now())::text, 24) || lpad(n::text, 10, '0') || '01')::uuid, n % 16, 'event.bus', "
            f"jsonb_build_object('n', n) from generate_series(1, {self.messages}) n"
        )

    def answer(self, headers, body):
        number = int(re.search(rb'"n": ?(\d+)', body)[1])
        if number % 10 == 3:
            return Answer(404)
        if number % 10 == 7 and number not in self.failed_once:
            self.failed_once.add(number)
            return Answer(503)
        return Answer(200)

    def let_leases_end(self):
        self.database.execute(
            "update lane_leases set lease_until = '-infinity'; update outbox_workers set seen_at = '-infinity'"
        )

    def scene(self):
        self.database = cluster().database()
        self.failed_once = set()
        self.sink = self.start_sink(self.answer)
        self.fill()

    def check(self):
        self.let_leases_end()
        drained = run_program(
            "polis-outbox-worker", "--drain", DATABASE_URL=self.database.url, OUTBOX_SINK=self.sink.url,
            OUTBOX_RETRY_BASE_SECONDS=0.05,
        )
        self.assertEqual(drained.returncode, 0, drained.stderr)
        wait_until(self.nothing_pending, 20, "everything is at an end")
        status = {row["payload"]["n"]: row["status"] for row in self.database.messages()}
        for number in range(1, self.messages + 1):
            self.assertEqual(status[number], "failed" if number % 10 == 3 else "sent")
        accepted = collections.Counter(one.event_id for one in self.sink.accepted())
        self.assertEqual(len(accepted), self.messages * 9 // 10, "received")
        repeated = sum(times - 1 for times in accepted.values())
        self.assertLessEqual(repeated, self.messages, "in flight at the crash")
        self.assertEqual(self.database.count("dead_letters"), self.messages // 10)
        self.assertEqual(self.database.count("lane_cursors", "owner is not null"), 0)
        return repeated

    def nothing_pending(self):
        if self.database.count("outbox_messages", "status = 'pending'") == 0:
            return True
        run_program("polis-outbox-worker", "--drain", DATABASE_URL=self.database.url, OUTBOX_SINK=self.sink.url)
        return False

    def test_worker(self):
        for name, count in passages(worker_points):
            with self.subTest(point=name, passage=count):
                self.scene()
                if name == "worker.adopted":
                    self.ask_for_replays()
                worker = self.launch_worker(
                    self.sink, OUTBOX_IN_FLIGHT_MAX=self.in_flight, POLIS_FAILPOINT=f"{name}:{count}"
                )
                self.assertEqual(worker.process.wait(30), -signal.SIGKILL, "it died at the point")
                self.check()

    def ask_for_replays(self):
        """Dead letters that an operator has put back: the worker takes them over, and that must not lose them."""
        drained = run_program(
            "polis-outbox-worker", "--drain", DATABASE_URL=self.database.url, OUTBOX_SINK=self.sink.url
        )
        self.assertEqual(drained.returncode, 0, drained.stderr)
        api = self.start_api()
        with api.client() as client:
            response = client.post_json("/outbox/replays", {"subscription": "default"})
            self.assertIn(response.status, (200, 202), response)
        api.terminate()

    def test_worker_that_stops(self):
        for name, _ in passages(stopping_points):
            with self.subTest(point=name):
                self.scene()
                worker = self.start_worker(self.sink, POLIS_FAILPOINT=name)
                other = None
                if name == "worker.released":
                    other = self.start_worker(self.sink)  # it is due half of the lanes
                else:
                    wait_until(lambda: self.database.count("outbox_messages", "status = 'pending'") == 0, 20, "sent")
                    worker.process.terminate()
                self.assertEqual(worker.process.wait(30), -signal.SIGKILL, "it died at the point")
                if other:
                    self.assertEqual(other.terminate(), 0)
                self.assertEqual(self.check(), 0, "a worker that stops repeats nothing")


@needs_points
class ConsumerPointsTest(ConsumerTest):
    def test_consumer(self):
        for name, count in passages(consumer_points):
            with self.subTest(point=name, passage=count):
                self.database = cluster().database()
                topic = self.topic(f"-{name.replace('.', '-')}-{count}")
                self.kafka.produce_lines(
                    topic, [line(n=n, energy=600.0, neighborhood=f"q{n}") for n in range(100)]
                )
                group = {"KAFKA_GROUP_ID": f"{name}-{count}"}
                consumer = self.launch_consumer(f"{topic}=energy", POLIS_FAILPOINT=f"{name}:{count}", **group)
                self.assertEqual(consumer.process.wait(60), -signal.SIGKILL, "it died at the point")
                again = self.launch_consumer(f"{topic}=energy", **group)
                self.wait_stored(100)
                self.assertEqual(sorted(payload["n"] for payload in self.payloads("energy")), list(range(100)))
                self.assertEqual(self.positions(topic), self.ends(topic))
                self.assertEqual(again.terminate(), 0)


@needs_points
class MigratorTest(EndToEndTest):
    def schema(self):
        dump = subprocess.run(
            ["pg_dump", "--schema-only", "--no-owner", "--dbname", self.database.url],
            text=True,
            capture_output=True,
            timeout=60,
            check=True,
        )
        return "\n".join(one for one in dump.stdout.splitlines() if "restrict" not in one)

    def migrate(self, command, **settings):
        return run_program("polis-migrate", command, DATABASE_URL=self.database.url, **settings)

    def test_migrator(self):
        wanted = self.schema()
        for name, count in passages(migrator_points):
            with self.subTest(point=name, passage=count):
                self.database = cluster().empty_database()
                died = self.migrate("up", POLIS_FAILPOINT=f"{name}:{count}")
                self.assertEqual(died.returncode, -signal.SIGKILL)
                self.assertEqual(self.migrate("up").returncode, 0)
                self.assertEqual(self.schema(), wanted)
        for name, count in passages(undoing_points):
            with self.subTest(point=name):
                self.assertEqual(
                    self.migrate("down", POLIS_FAILPOINT=f"{name}:{count}").returncode, -signal.SIGKILL
                )
                self.assertEqual(self.schema(), wanted, "nothing was taken back")


@needs_points
class RetentionTest(EndToEndTest):
    """The old goes and the needed stays, wherever the first look died."""

    def test_retention(self):
        for name, count in passages(retention_points):
            with self.subTest(point=name, passage=count):
                self.database = cluster().database()
                fill(self.database)
                api = None
                try:
                    api = self.start_api(POLIS_FAILPOINT=f"{name}:{count}", **settings)
                except (AssertionError, OSError):
                    pass  # it died before it listened
                if api:
                    self.assertEqual(api.process.wait(30), -signal.SIGKILL, "it died at the point")
                self.start_api(**settings)
                wait_clean(self.database)
                self.assertEqual(self.database.count("outbox"), 10)


if __name__ == "__main__":
    unittest.main()
