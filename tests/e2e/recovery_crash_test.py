"""kill -9 while something recovers from kill -9, at moments that are made to last: PostgreSQL while it replays its log, a
worker with the call of a dead one in its hands, consumer and api inside of their transactions.

With the CMake option POLIS_FAILPOINTS each program also dies at the named points of its way back.
"""

import http.client
import itertools
import pathlib
import signal
import threading
import unittest

from brokers import free_ports
from consumer_case import ConsumerTest
from failpoints_test import needs_points
from harness import Api, Client, cluster, wait_until
from task_case import TaskCase, ids, request
from workflow_world import CityGuides, topics

routes = 20
deaths = 3
# Points that a program passes on its way back, with the passage at which it dies.
worker_points = ("worker.leased:1", "worker.settling:1", "writer.rows_queued:1", "writer.committed:1")
consumer_points = ("consumer.polled:1", "writer.begun:1", "writer.rows_queued:1", "writer.committed:1", "consumer.telling:1")
api_points = ("pipeline.sent:2", "writer.begun:1", "writer.rows_queued:1", "writer.committed:1", "writer.answered:1")


class RecoveryCrashTest(ConsumerTest, TaskCase):
    blocks = itertools.count()

    def setUp(self):
        super().setUp()
        for topic in topics:
            self.kafka.create_topic(topic)
        services = ("route.confirmed", "story.generate.completed", "tts.completed")
        self.inputs = {service: self.topic(f"-{i}") for i, service in enumerate(services)}
        (self.port,) = free_ports(1)
        # Routes of this test only: the topics that Polis writes to are shared.
        first = next(self.blocks) * routes
        self.guides = CityGuides(self.kafka, self.inputs, range(first, first + routes))
        self.addCleanup(self.guides.close)

    def new_api(self, **settings):
        api = Api(self.database, PORT=self.port, **settings)
        self.addCleanup(api.clean_up)
        return api

    def new_consumer(self, **settings):
        return self.launch_consumer(",".join(f"{topic}={service}" for service, topic in self.inputs.items()), **settings)

    def new_worker(self, **settings):
        settings = {"KAFKA_BOOTSTRAP_SERVERS": self.kafka.address, **self.service_urls(), **settings}
        return self.launch_worker("kafka:", **settings)

    def ask_task(self, number):
        """The id of the task; None when the api died over it."""
        try:
            with Client("127.0.0.1", self.port, timeout=30) as client:
                body = request({"revenue": ids(number)})
                answer = client.post_json("/api/orchestrate", body, {"Idempotency-Key": f"task {number}"})
        except (OSError, http.client.HTTPException):
            return None
        self.assertEqual(answer.status, 200, answer)
        return answer.json()["task_id"]

    def wait_in_transaction(self):
        """Somebody waits for a row of the workflows, inside of a transaction."""
        wait_until(
            lambda: self.database.count("pg_stat_activity", "wait_event_type = 'Lock' and datname = current_database()"),
            60,
            "a transaction is under way",
            poll=0.05,
        )

    def wait_nobody(self):
        """The server has noticed that its clients are dead: the next one that waits is a new one."""
        self.database.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid() and wait_event_type = 'Lock'"
        )
        waiting = "wait_event_type = 'Lock' and datname = current_database()"
        wait_until(lambda: not self.database.count("pg_stat_activity", waiting), 20, "nobody waits", poll=0.05)

    # --- What happened in the end

    def settle(self, tasks):
        """Nothing is killed any more: every workflow ends, each effect has one key, each event was one turn."""
        self.new_api().ready()
        self.new_consumer()
        self.new_worker().ready()
        ends = {**self.guides.ends(), **{("task", task): "COMPLETED" for task in tasks}}

        def ended():
            rows = self.database.rows("select workflow, id, status from workflow_instances where ended")
            found = {(row["workflow"], row["id"]): row["status"] for row in rows}
            return found if len(found) >= len(ends) else None

        self.assertEqual(wait_until(ended, 120, "every workflow has ended", poll=0.2), ends)
        unsent = "status <> 'sent' and topic not like '$%'"
        wait_until(lambda: not self.database.count("outbox_messages", unsent), 60, "every message is sent", poll=0.2)
        calls = self.guides.outside_calls()
        self.assertEqual(set(calls), self.guides.effects())
        self.assertEqual({effect: keys for effect, keys in calls.items() if len(set(keys)) != 1}, {})
        self.assertEqual(self.guides.faults, [])
        turns = self.database.count("workflow_history", "workflow = 'city-guide'")
        self.assertEqual(turns, self.guides.turns())
        self.assertEqual(self.database.count("outbox", "topic = 'story.generate'"), routes)

    def keys_of_calls(self):
        return {call.headers["idempotency-key"] for call in self.services.calls}

    # --- PostgreSQL, worker, consumer and api, one after another

    def test_every_recovery_is_killed_again(self):
        self.start_services(lambda path, number: "hang" if number < deaths else None)
        api, consumer, worker = self.new_api().ready(), self.new_consumer(), self.new_worker()
        tasks = [self.ask_task(1)]
        self.guides.ask(range(routes // 2))
        wait_until(lambda: len(self.services.calls) == 1, 30, "the call is under way")
        wait_until(lambda: self.database.count("workflow_instances") > 1, 60, "routes are stored", poll=0.1)
        for process in (worker, consumer, api):
            process.kill()
        self.kill_postgresql_while_it_replays()
        # Workers that make the call of the dead one again, and die before it is answered.
        for made in range(2, deaths + 1):
            self.let_leases_end()
            worker = self.new_worker()
            wait_until(lambda: len(self.services.calls) == made, 60, "the call is made again")
            worker.kill()
        self.guides.ask(range(routes // 2, routes))
        blocker = self.hold_lock("workflow_instances")
        for _ in range(deaths):
            consumer = self.new_consumer()
            self.wait_in_transaction()
            consumer.kill()
            self.wait_nobody()
        for _ in range(deaths):
            api = self.new_api().listening()
            asking = threading.Thread(target=self.ask_task, args=(2,))
            asking.start()
            self.wait_in_transaction()
            api.kill()
            asking.join()
            self.wait_nobody()
        self.release_lock(blocker)
        self.new_api().ready().kill()  # its port is taken again
        again = self.new_api().ready()
        tasks.append(self.ask_task(2))
        self.assertEqual(self.ask_task(2), tasks[1])
        again.kill()
        self.settle(tasks)
        self.assertEqual(len(self.services.calls), deaths + 2)
        self.assertEqual(len(self.keys_of_calls()), 2)

    def kill_postgresql_while_it_replays(self):
        """Its own log tells when it replays, and afterwards that it was interrupted."""
        log = pathlib.Path(cluster().directory) / "postgres.log"
        # Enough to replay that there is a moment.
        self.database.execute("create table filler as select n, repeat('x', 100) from generate_series(1, 400000) n")
        cluster().kill()
        for _ in range(deaths):
            replays = log.read_text().count("redo starts at")

            def start():
                try:
                    cluster().start()
                except RuntimeError:
                    pass  # it was killed, which is what this is about

            starting = threading.Thread(target=start)
            starting.start()
            wait_until(lambda: log.read_text().count("redo starts at") > replays, 60, "it replays its log", poll=0.005)
            cluster().kill()
            starting.join()
        cluster().start()
        self.assertIn("interrupted while in recovery", log.read_text())

    # --- At the named points

    @needs_points
    def test_every_recovery_dies_at_its_points(self):
        self.start_services(lambda path, number: "close" if number == 0 else None)
        api, consumer, worker = self.new_api().ready(), self.new_consumer(), self.new_worker()
        tasks = [self.ask_task(1)]
        self.guides.ask(range(routes // 2))
        wait_until(lambda: self.database.count("workflow_instances") > 1, 60, "routes are stored", poll=0.1)
        for process in (worker, consumer, api):
            process.kill()
        for number, point in enumerate(api_points, 2):
            api = self.new_api(POLIS_FAILPOINT=point)
            self.ask_until_it_dies(api, number)
        self.guides.ask(range(routes // 2, routes))
        for point in consumer_points:
            self.assert_dies(self.new_consumer(POLIS_FAILPOINT=point), point)
            # The next one has something to do: what is there twice changes nothing.
            self.guides.ask(range(routes))
        for point in worker_points:
            self.let_leases_end()
            self.assert_dies(self.new_worker(POLIS_FAILPOINT=point), point)
        self.let_leases_end()
        api = self.new_api().ready()
        tasks += [self.ask_task(number) for number in range(2, len(api_points) + 2)]
        api.kill()
        self.settle(tasks)
        self.assertEqual(len(self.keys_of_calls()), len(tasks))

    def ask_until_it_dies(self, api, number):
        def died():
            if api.process.poll() is None:
                self.ask_task(number)
            return api.process.poll() is not None

        wait_until(died, 60, "the api dies at its point", poll=0.05)
        self.assertEqual(api.process.poll(), -signal.SIGKILL)

    def assert_dies(self, process, point):
        self.assertEqual(process.process.wait(90), -signal.SIGKILL, point)

    def let_leases_end(self):
        self.database.execute(
            "update lane_leases set lease_until = '-infinity'; update outbox_workers set seen_at = '-infinity'"
        )


if __name__ == "__main__":
    unittest.main()
