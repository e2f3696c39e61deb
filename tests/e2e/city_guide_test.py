"""The city guide on real Kafka: polis-consumer, the worker and the api, seen from outside only (contracts 4 and 7)."""

import json
import re
import unittest

from consumer_case import ConsumerTest
from harness import Client, Worker, wait_until

outputs = ("story.generate", "tts.requested", "tts", "delivery.prefetch")
two_stories = [
    {"story_id": "s1", "status": "completed", "markdown": " First. ", "poi_id": 9},
    {"story_id": 2, "markdown": "Second.", "lang": "en", "voice": "alto", "format": "ogg"},
]


class CityGuideTest(ConsumerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for topic in outputs:
            cls.kafka.create_topic(topic)

    def start_all(self, worker=None, **settings):
        # Each test has input topics of its own, and filters what it sends by its own routes.
        self.inputs = {
            service: self.topic("-" + suffix)
            for service, suffix in (
                ("route.confirmed", "route"),
                ("story.generate.completed", "story"),
                ("tts.completed", "tts"),
            )
        }
        self.settings = settings
        self.api = self.start_api(**settings)
        self.http = self.open_client(self.api)
        self.consumer = self.run_consumer()
        self.worker = self.start_worker("kafka:", KAFKA_BOOTSTRAP_SERVERS=self.kafka.address, **settings)

    def run_consumer(self):
        topics = ",".join(f"{topic}={service}" for service, topic in self.inputs.items())
        return self.start_consumer(topics, KAFKA_GROUP_ID=self._testMethodName[:60], **self.settings)

    def route(self, suffix=""):
        return self._testMethodName.replace("test_", "") + suffix

    def say(self, service, key=None, **value):
        self.kafka.produce(self.inputs[service], json.dumps(value).encode(), key=key)

    def confirm(self, route):
        self.say("route.confirmed", route, route_id=route, mode="foot", eta_min=5, order=["a"])

    def stories(self, route, stories):
        self.say("story.generate.completed", route, route_id=route, lang="ru", stories=stories)

    def spoken(self, route, story, **more):
        self.say("tts.completed", story, route_id=route, story_id=story, **more)

    def workflow(self, route):
        response = self.http.get(f"/workflows/{route}")
        return response.json() if response.status == 200 else None

    def wait_status(self, route, status):
        def check():
            found = self.workflow(route)
            return found if found and found["status"] == status else None

        return wait_until(check, 60, f"{route} is {status}; now {self.workflow(route)}", poll=0.1)

    def wait_steps(self, route, **wanted):
        """Step names are the keywords; `tts_s1` stands for `tts:s1`."""
        wanted = {name.replace("tts_", "tts:"): status for name, status in wanted.items()}

        def check():
            steps = {step["step"]: step["status"] for step in (self.workflow(route) or {"steps": []})["steps"]}
            return steps if all(steps.get(name) == status for name, status in wanted.items()) else None

        return wait_until(check, 60, f"steps {wanted}; now {self.workflow(route)}", poll=0.1)

    def sent(self, topic, route):
        """(key, value) of the messages for this route, without what the broker may have got twice."""
        found = {}
        for message in self.kafka.messages(topic):
            value = json.loads(message["payload"])
            if value["route_id"] != route:
                continue
            headers = dict(zip(message["headers"][::2], message["headers"][1::2]))
            found.setdefault(headers["ce_id"], (message["key"], value))
        return list(found.values())

    def wait_sent(self, topic, route, count):
        def check():
            found = self.sent(topic, route)
            return found if len(found) >= count else None

        found = wait_until(check, 60, f"{count} messages of {topic}", poll=0.2)
        self.assertEqual(len(found), count, found)
        return found

    def to_speech(self, route):
        self.confirm(route)
        self.wait_status(route, "story")
        self.stories(route, two_stories)
        self.wait_status(route, "tts")

    def test_from_route_to_prefetch(self):
        self.start_all()
        route = self.route()
        self.assertEqual(self.http.get(f"/workflows/{route}").status, 404)
        self.assertEqual(self.http.get(f"/workflows/{route}").json()["detail"], "workflow not found")
        self.confirm(route)
        found = self.wait_status(route, "story")
        self.assertEqual(found["route_id"], route)
        self.assertEqual([(s["step"], s["status"], s["retries"]) for s in found["steps"]], [("story", "pending", 0)])
        self.assertEqual(self.wait_sent("story.generate", route, 1), [(route, {"route_id": route, "lang": "ru"})])

        rejected = {"story_id": "s3", "status": "rejected", "markdown": "no"}
        self.stories(route, [*two_stories, rejected])
        self.wait_steps(route, story="completed", tts_s1="pending", tts_2="pending", tts_s3="skipped")
        requested = sorted(self.wait_sent("tts.requested", route, 2))
        second = {"route_id": route, "story_id": "2", "text": "Second.", "lang": "en", "voice": "alto", "format": "ogg"}
        first = {"route_id": route, "story_id": "s1", "text": "First.", "lang": "ru"}
        self.assertEqual(requested, [("2", second), ("s1", first)])
        self.assertEqual(self.sent("tts", route), [])

        self.spoken(route, "s1", status="completed", audio_id="a1", duration_sec=3, format="mp3")
        self.wait_steps(route, tts_s1="completed", tts_2="pending")
        self.assertEqual(self.sent("delivery.prefetch", route), [])
        self.spoken(route, "2", audio_id="a2")
        self.wait_status(route, "completed")
        wanted = [(route, {"route_id": route, "next_audio": ["a1", "a2"]})]
        self.assertEqual(self.wait_sent("delivery.prefetch", route, 1), wanted)

        # Repeats, and what nobody knows, change nothing; the consumer lives.
        before = self.workflow(route)
        self.confirm(route)
        self.stories(route, two_stories)
        self.spoken(route, "2", audio_id="a9")
        self.spoken("nobody", "s1")
        self.say("tts.completed", "x", story_id="s1")
        self.kafka.produce(self.inputs["tts.completed"], b"not json", key="x")
        other = self.route("-after")
        self.confirm(other)
        self.wait_status(other, "story")
        wait_until(lambda: sum(v for k, v in self.consumer.metrics().items() if k.startswith("kafka_consumer_lag")) == 0, 30)
        self.assertEqual(self.workflow(route), before)
        self.assertEqual(self.sent("delivery.prefetch", route), wanted)
        self.assertEqual(self.http.get("/workflows/nobody").status, 404)

        metrics = self.consumer.metrics()
        self.assertEqual(metrics['route_to_first_audio_seconds_count{service="orchestrator"}'], 1)
        for job in ("startup", "handle_route_confirmed", "handle_story_generate_completed", "handle_tts_completed"):
            self.assertGreaterEqual(metrics[f'job_duration_seconds_count{{job="{job}",service="orchestrator"}}'], 1)
        self.assertTrue(any(name.startswith('kafka_consumer_lag{') and 'service="orchestrator"' in name for name in metrics))

    def test_a_start_without_kafka(self):
        """W8, W13: it lives, says that it is not ready, and why."""
        self.api = self.start_api()
        consumer = self.launch_consumer("a=route.confirmed", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1").listening()
        wait_until(lambda: "kafka" in consumer.reasons().lower(), 60, "it is not ready for want of Kafka", poll=0.2)
        with consumer.client() as client:
            self.assertEqual(client.get("/healthz").status, 200)
        self.assertIsNone(consumer.process.poll())

    def test_the_lag_is_real_and_labels_are_bounded(self):
        """W9, W10."""
        self.start_all()
        lag = lambda: sum(v for k, v in self.consumer.metrics().items() if k.startswith("kafka_consumer_lag"))
        wait_until(lambda: self.consumer.is_ready(), 60, "it is ready")
        blocker = self.hold_lock("workflow_instances")
        for n in range(5):
            self.confirm(self.route(f"-{n}"))
        wait_until(lambda: lag() == 5, 60, "what is not stored is behind", poll=0.1)
        self.release_lock(blocker)
        for n in range(5):
            self.wait_status(self.route(f"-{n}"), "story")
        wait_until(lambda: lag() == 0, 60, "nothing is behind", poll=0.1)
        text = self.http.get("/metrics").body.decode()
        paths = set(re.findall(r'http_requests_total\{[^}]*path="([^"]*)"', text))
        self.assertEqual({path for path in paths if path.startswith("/workflows")}, {"/workflows/{id}"})

    def test_every_story_has_an_end(self):
        self.start_all()
        cases = {
            "-none": [],
            "-skipped": [{"story_id": "s1", "status": "rejected", "markdown": "x"}],
            "-blank": [{"story_id": "s1", "markdown": "  "}],
            "-failed": two_stories,
        }
        for suffix in cases:
            self.confirm(self.route(suffix))
        for suffix, stories in cases.items():
            self.wait_status(self.route(suffix), "story")
            self.stories(self.route(suffix), stories)
        self.wait_status(self.route("-failed"), "tts")
        for story in ("s1", "2"):
            self.spoken(self.route("-failed"), story, status="failed")
        for suffix in cases:
            found = self.wait_status(self.route(suffix), "failed")
            self.assertEqual(found["error"], "no story can be heard")
            self.assertEqual(self.sent("delivery.prefetch", self.route(suffix)), [])

    def test_restart(self):
        self.start_all()
        route = self.route()
        restart = f"/workflows/{route}/restart"
        self.assertEqual(self.http.request("POST", f"{restart}?step=tts_batch").status, 404)
        self.confirm(route)
        self.wait_status(route, "story")
        for query, status, detail in (
            ("?step=tts_batch", 404, "steps not found"),
            ("?step=story", 400, "unsupported step"),
            ("", 422, "step is required"),
            ("?step=tts_batch&only=some", 422, "only must be failed"),
        ):
            self.assertEqual(self.assert_problem(self.http.request("POST", restart + query), status)["detail"], detail)
        self.stories(route, two_stories)
        self.wait_status(route, "tts")
        self.spoken(route, "s1", audio_id="a1")
        self.spoken(route, "2", status="failed")
        self.wait_status(route, "completed")
        self.wait_sent("delivery.prefetch", route, 1)

        response = self.http.request("POST", f"{restart}?step=tts_batch&only=failed")
        self.assertEqual((response.status, response.json()), (200, {"status": "ok"}))
        steps = {step["step"]: step for step in self.workflow(route)["steps"]}
        self.assertEqual((steps["tts:2"]["status"], steps["tts:2"]["retries"]), ("pending", 1))
        self.assertEqual((steps["tts:s1"]["status"], steps["tts:s1"]["retries"]), ("completed", 0))
        self.wait_sent("tts.requested", route, 3)
        self.spoken(route, "2", audio_id="a2")
        self.wait_steps(route, tts_2="completed")

        self.assertEqual(self.http.request("POST", f"{restart}?step=tts_batch").json(), {"status": "ok"})
        self.wait_steps(route, tts_s1="pending", tts_2="pending")
        self.wait_sent("tts.requested", route, 5)
        self.spoken(route, "s1")
        self.spoken(route, "2")
        self.wait_status(route, "completed")
        self.assertEqual(len(self.sent("delivery.prefetch", route)), 1)

    def test_times_and_state_survive_a_restart_of_the_processes(self):
        self.start_all()
        route = self.route()
        self.to_speech(route)
        began = self.database.value(f"select uuid7_time(first_event) from workflow_instances where id = '{route}'")
        self.consumer.kill()
        self.worker.kill()
        self.spoken(route, "s1", audio_id="a1")
        self.spoken(route, "2", audio_id="a2")
        self.consumer = self.run_consumer()
        self.start_worker("kafka:", KAFKA_BOOTSTRAP_SERVERS=self.kafka.address)
        self.wait_status(route, "completed")
        self.wait_sent("delivery.prefetch", route, 1)
        metrics = self.consumer.metrics()
        self.assertEqual(metrics['route_to_first_audio_seconds_count{service="orchestrator"}'], 1)
        ended = self.database.value(f"select max(at) from workflow_history where id = '{route}'")
        seconds = float(self.database.value(f"select extract(epoch from '{ended}'::timestamptz - '{began}'::timestamptz)"))
        measured = metrics['route_to_first_audio_seconds_sum{service="orchestrator"}']
        self.assertAlmostEqual(measured, seconds, delta=0.5)

    def test_a_step_that_nobody_answers_fails_at_its_deadline(self):
        self.start_all(WORKFLOW_STEP_DEADLINE_SECONDS=1)
        route = self.route()
        self.confirm(route)
        found = self.wait_status(route, "failed")
        self.assertEqual(found["error"], "no stories came in time")
        self.assertEqual(found["steps"][0]["error"], "no outcome before its deadline")

    def test_the_legacy_topic(self):
        self.start_all(CITY_GUIDE_LEGACY_TOPIC="true")
        route = self.route()
        self.confirm(route)
        self.wait_status(route, "story")
        self.stories(route, [{"story_id": "s1"}, {"story_id": "s2"}])
        found = sorted(self.wait_sent("tts", route, 2))
        self.assertEqual(found, [(s, {"route_id": route, "story_id": s}) for s in ("s1", "s2")])
        self.assertEqual(self.sent("tts.requested", route), [])


if __name__ == "__main__":
    unittest.main()
