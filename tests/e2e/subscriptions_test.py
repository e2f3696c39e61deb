"""Subscriptions over the API and from YAML: who gets what, from where on, and that one never waits for another."""

import json
import os
import tempfile
import time
import unittest

from harness import Answer, always, wait_until
from worker_case import WorkerCase

loopback = "127.0.0.0/8"
settled_seconds = 3.0  # a running worker looks for changes twice a second


class SubscriptionCase(WorkerCase):
    api_settings = {"DERIVED_DEDUPE_WINDOW_SECONDS": 0, "OUTBOX_ALLOWED_NETWORKS": loopback}

    def start_worker(self, sink, *arguments, **settings):
        settings.setdefault("OUTBOX_ALLOWED_NETWORKS", loopback)
        return super().start_worker(sink, *arguments, **settings)

    def subscribe(self, name, sink, status=201, **settings):
        body = {"name": name, "sink": sink if isinstance(sink, str) else sink.url, **settings}
        response = self.client.post_json("/subscriptions", body)
        self.assertEqual(response.status, status, response)
        return response.json()

    def patch(self, name, **changes):
        response = self.client.request(
            "PATCH", f"/subscriptions/{name}", json.dumps(changes).encode(), {"Content-Type": "application/json"}
        )
        self.assertEqual(response.status, 200, response)
        return response.json()

    def check_stop_beside_silence(self, broker, start):
        """A broker that says nothing holds no worker up, and what was on its way goes out later. `start` starts a worker."""
        worker = start()
        count = self.emergencies(5)
        self.wait_all_sent(count, 60)
        with broker.silent():
            self.alert("silence")
            time.sleep(1)  # it is on its way
            self.assertEqual(worker.terminate(), 0)
        start()
        self.wait_all_sent(count + 1, 60)


class SubscriptionApiTest(SubscriptionCase):
    def test_life_of_a_subscription(self):
        made = self.subscribe(
            "city.hall",
            "http://127.0.0.1:9/hook",
            topics=["event.energy*"],
            secrets=["whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"],
            headers={"Authorization": "Bearer secret"},
        )
        self.assertEqual((made["name"], made["origin"], made["enabled"]), ("city.hall", "api", True))
        self.assertEqual((made["secrets"], made["headers"]), (["***"], {"Authorization": "***"}))
        self.assertEqual(self.client.get("/subscriptions/city.hall").json(), made)
        names = [entry["name"] for entry in self.client.get("/subscriptions").json()]
        self.assertEqual(names, ["city.hall", "default"])
        self.subscribe("city.hall", "http://127.0.0.1:9/", status=409)
        changed = self.patch("city.hall", enabled=False, max_attempts=3)
        self.assertEqual((changed["enabled"], changed["max_attempts"]), (False, 3))
        self.assertEqual(changed["topics"], ["event.energy*"])
        self.assertGreater(changed["revision"], made["revision"])
        self.assertEqual(self.client.request("DELETE", "/subscriptions/city.hall").status, 204)
        self.assertEqual(self.client.request("DELETE", "/subscriptions/city.hall").status, 404)
        self.assertEqual(self.client.get("/subscriptions/city.hall").status, 404)
        self.assertEqual(self.client.request("DELETE", "/subscriptions/default").status, 409)

    def test_every_fault_is_named(self):
        response = self.client.post_json(
            "/subscriptions",
            {
                "name": "a b",
                "sink": "ftp://x",
                "topics": [],
                "filter": {"field": "a", "matches": 1},
                "secrets": ["x"],
                "max_attempts": 0,
                "surprise": 1,
            },
        )
        self.assertEqual(response.status, 422)
        self.assertEqual(response.header("Content-Type"), "application/problem+json")
        places = {error["field"] for error in response.json()["errors"]}
        self.assertEqual(
            places, {"name", "sink", "topics", "filter.matches", "secrets[0]", "max_attempts", "surprise"}
        )
        for body in ("[]", "{", '"x"', '{"name": 5}'):
            self.assertEqual(self.client.post_raw("/subscriptions", body).status, 422, body)

    def test_private_destinations_are_refused(self):
        for sink in (
            "http://10.0.0.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://[::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://0x0a000001/",
            "http://no-such-host.invalid/",
        ):
            answer = self.subscribe("x", sink, status=422)
            self.assertEqual([error["field"] for error in answer["errors"]], ["sink"], sink)


class FanOutTest(SubscriptionCase):
    def test_topics_filters_and_start(self):
        early = self.alert("north", energy=700)
        everything, east, from_now = self.start_sink(), self.start_sink(), self.start_sink()
        self.start_worker("null:")
        self.subscribe("all", everything, start="beginning")
        self.subscribe(
            "east",
            east,
            start="beginning",
            filter={"or": [{"field": "neighborhood", "equals": "east"}, {"field": "neighborhood", "prefix": "ea"}]},
        )
        self.subscribe("now", from_now, topics=["event.*"])
        self.subscribe("nothing", from_now, topics=["other.*"], start="beginning")
        late = self.alert("east", energy=800)
        everything.wait_count(2)
        from_now.wait_count(1)
        east.wait_count(1)
        # Two keys: neither waits for the other.
        self.assertCountEqual([d.event_id for d in everything.snapshot()], [early, late])
        self.assertEqual([d.event_id for d in from_now.snapshot()], [late])
        payload = east.snapshot()[0].json()
        self.assertEqual([d.event_id for d in east.snapshot()], [late], payload)
        self.assertEqual(east.snapshot()[0].headers["ce-subscription"], "east")
        wait_until(
            lambda: all(row["status"] == "sent" for row in self.database.messages()), 10, "all sent", poll=0.1
        )
        rows = self.database.messages()
        self.assertEqual(
            sorted(row["subscription"] for row in rows), ["all", "all", "default", "default", "east", "now"]
        )
        self.assertEqual(self.database.count("outbox"), 2)

    def test_the_view_and_the_worker_read_filters_alike(self):
        filters = [
            {"field": "neighborhood", "in": ["east", "west"]},
            {"field": "neighborhood", "range": {"gt": "f"}},
            {"not": {"field": "neighborhood", "equals": "east"}},
            {"field": "no.such", "exists": False},
            {"and": [{"field": "neighborhood", "exists": True}, {"not": {"field": "x", "equals": 1}}]},
        ]
        sink = self.start_sink()
        for number, chosen in enumerate(filters):
            self.subscribe(f"f{number}", sink, filter=chosen)
        for neighborhood in ("east", "west", "south"):
            self.alert(neighborhood)
        self.start_worker("null:")
        wait_until(
            lambda: all(row["status"] == "sent" for row in self.database.messages()), 20, "all sent", poll=0.1
        )
        told = sorted(
            (row["subscription"], row["event_id"])
            for row in self.database.messages()
            if row["subscription"] != "default"
        )
        seen = sorted((d.headers["ce-subscription"], d.event_id) for d in sink.snapshot())
        self.assertEqual(seen, told)

    def test_changes_are_followed_by_a_running_worker(self):
        first, second = self.start_sink(), self.start_sink()
        self.start_worker("null:")
        self.subscribe("moving", first, headers={"X-Token": "one"})
        self.alert("a")
        self.assertEqual(first.wait_count(1)[0].headers["x-token"], "one")
        self.patch("moving", sink=second.url)
        time.sleep(settled_seconds)
        self.alert("b")
        second.wait_count(1)
        self.patch("moving", enabled=False)
        time.sleep(settled_seconds)
        self.alert("c")
        time.sleep(1)
        self.patch("moving", enabled=True)
        second.wait_count(2)
        self.assertEqual((first.count(), second.count()), (1, 2))
        self.assertEqual(self.client.request("DELETE", "/subscriptions/moving").status, 204)
        time.sleep(settled_seconds)
        self.alert("d")
        time.sleep(1)
        self.assertEqual((first.count(), second.count()), (1, 2))

    def test_a_dead_destination_delays_only_itself(self):
        healthy, hanging = self.start_sink(), self.start_sink(lambda headers, body: Answer(action="hang"))
        self.subscribe("hanging", hanging, timeout_seconds=30, in_flight_max=2)
        self.subscribe("healthy", healthy)
        self.start_worker("null:")
        count = self.emergencies(200)
        healthy.wait_count(count, 30)
        self.assertLessEqual(hanging.count(), 2)
        hanging.release()

    def test_410_disables_and_enabling_goes_on(self):
        state = {"status": 410}
        sink = self.start_sink(lambda headers, body: Answer(state["status"]))
        self.subscribe("gone", sink)
        self.start_worker("null:")
        self.alert("a")
        wait_until(lambda: not self.client.get("/subscriptions/gone").json()["enabled"], 10, "disabled")
        self.assertIn("410", self.client.get("/subscriptions/gone").json()["disabled_reason"])
        state["status"] = 200
        later = self.alert("b")
        self.patch("gone", enabled=True)
        wait_until(lambda: later in [d.event_id for d in sink.accepted()], 10, "delivery goes on")

    def test_the_rate_is_limited(self):
        sink = self.start_sink()
        self.subscribe("slow", sink, rate_per_second=10)
        self.start_worker("null:")
        count = self.emergencies(20)
        started = time.monotonic()
        deliveries = sink.wait_count(count, 20)
        self.assertGreater(time.monotonic() - started, 2.0)
        first, last = deliveries[0].time, deliveries[-1].time
        self.assertLessEqual(count / (last - first + 1), 12)

    def test_the_guard_stands_at_connect_too(self):
        """Allowed when it was made, not any more when it connects: nothing reaches the address."""
        sink = self.start_sink(always(200))
        self.subscribe("inside", sink, max_attempts=1)
        self.start_worker("null:", OUTBOX_ALLOWED_NETWORKS=None)
        identity = self.alert("a")
        row = wait_until(
            lambda: [
                row
                for row in self.database.messages(f"event_id = '{identity}' and subscription = 'inside'")
                if row["status"] == "failed"
            ],
            20,
            "refused",
        )
        self.assertIn("not allowed", row[0]["last_error"])
        self.assertEqual(sink.count(), 0)


class YamlTest(SubscriptionCase):
    def test_subscriptions_of_the_file(self):
        sink = self.start_sink()
        with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False) as file:
            self.addCleanup(os.unlink, file.name)
            file.write(
                f"subscriptions:\n  hall:\n    sink: {sink.url}\n    topics: [event.*]\n    max_attempts: 2\n"
                f"    filter: {{field: neighborhood, equals: east}}\n"
            )
        self.start_worker("null:", CONFIG_PATH=file.name, OUTBOX_ALLOWED_NETWORKS=None)
        wait_until(lambda: self.client.get("/subscriptions/hall").status == 200, 10, "it is made")
        self.alert("west")
        identity = self.alert("east")
        self.assertEqual([d.event_id for d in sink.wait_count(1)], [identity])
        shown = self.client.get("/subscriptions/hall").json()
        self.assertEqual((shown["origin"], shown["max_attempts"]), ("configuration", 2))
        response = self.client.request("PATCH", "/subscriptions/hall", b'{"max_attempts": 9}')
        self.assertEqual(response.status, 409)
        self.assertEqual(self.patch("hall", enabled=False)["enabled"], False)


if __name__ == "__main__":
    unittest.main()
