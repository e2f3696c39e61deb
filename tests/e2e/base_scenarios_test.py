"""Orchestrator 000: Avro events from a real Kafka, base scenarios in a stand-in of the Urban API with faults.

Rows of contracts 7, and the weaknesses W of 3.8.
"""

import re
import unittest

from consumer_case import ConsumerTest
from harness import wait_until
from urban_api import UrbanApi

subjects = {
    "ProjectCreated": ("projects", ("project_id", "base_scenario_id", "territory_id")),
    "RegionalScenarioCreated": ("regional_scenarios", ("scenario_id", "territory_id")),
    "ScenarioZonesUpdated": ("projects", ("project_id", "scenario_id")),
}
ended = ("completed", "not_found", "failed")


def zigzag(number):
    """Avro's long."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


class BaseScenariosTest(ConsumerTest):
    def setUp(self):
        super().setUp()
        self.events = self.topic()
        self.client = self.open_client(self.start_api())

    def start_urban(self, script=None, **more):
        self.urban = UrbanApi(script=script, **more)
        self.addCleanup(self.urban.close)
        self.urban.projects = {1: (3, "anna"), 2: (3, "boris"), 3: (3, "anna")}
        self.urban.scenarios = {10: (3, "anna", False), 11: (3, "boris", False), 12: (3, "anna", True)}
        return self.urban

    def start_all(self, script=None, urban=None, **settings):
        self.start_urban(script, **(urban or {}))
        self.start_urban_worker(**settings)
        return self.start_consumer(f"{self.events}=record:")

    def start_urban_worker(self, **settings):
        return self.start_worker("null:", **{"URBAN_API_URL": self.urban.url, **settings})

    def frame(self, name, *values, doc="of the test"):
        namespace, fields = subjects[name]
        namespace = f"scenario.events.{namespace}"
        schema = {
            "type": "record", "name": name, "namespace": namespace, "doc": doc,
            "fields": [{"name": field, "type": "long", "doc": field} for field in fields],
        }  # fmt: skip
        identity = self.registry.register(f"{namespace}.{name}", schema)
        return b"\0" + identity.to_bytes(4, "big") + b"".join(zigzag(value) for value in values)

    def announce(self, name, *values):
        self.kafka.produce(self.events, self.frame(name, *values))

    def workflow(self, kind, identity):
        answer = self.client.get(f"/workflows/{identity}?workflow={kind}")
        return answer.json() if answer.status == 200 else None

    def wait_ended(self, kind, identity, deadline=60.0):
        def check():
            found = self.workflow(kind, identity)
            return found if found and found["status"] in ended else None

        return wait_until(check, deadline, f"{kind} {identity} has ended", poll=0.1)

    def steps(self, found):
        return {step["step"]: step["status"] for step in found["steps"]}

    # --- What is created

    def test_a_project_gets_a_base_scenario_for_each_of_its_users(self):
        self.assertEqual(zigzag(1) + zigzag(2) + zigzag(3), bytes([2, 4, 6]))
        self.assertEqual(zigzag(5) + zigzag(100), bytes([0x0A, 0xC8, 0x01]))
        self.start_all()
        self.announce("ProjectCreated", 1, 2, 3)
        found = self.wait_ended("project-created", 1)
        self.assertEqual(found["status"], "completed", found)
        self.assertEqual([made[:2] for made in self.urban.creations()], [(1, 10)])
        self.assertEqual(self.steps(found), {"project": "completed", "scenarios:1": "completed", "base_scenario:10": "completed"})

    def test_a_regional_scenario_gets_the_projects_of_every_page(self):
        """W4."""
        self.start_all(urban={"page_size": 1})
        self.announce("RegionalScenarioCreated", 10, 3)
        self.assertEqual(self.wait_ended("regional-scenario-created", 10)["status"], "completed")
        self.assertEqual(sorted(made[:2] for made in self.urban.creations()), [(1, 10), (3, 10)])
        self.assertEqual(self.urban.count("/api/v1/projects"), 3)

    def test_refusals_stop_no_other(self):
        refusals = {"/api/v1/projects/1/base_scenario/10": 400, "/api/v1/projects/3/base_scenario/10": 404}
        self.start_all(lambda method, path, number: refusals.get(path))
        self.urban.projects[4] = self.urban.projects[5] = (3, "anna")
        self.urban.bases[4, 10] = 7
        self.announce("RegionalScenarioCreated", 10, 3)
        found = self.wait_ended("regional-scenario-created", 10)
        self.assertEqual(found["status"], "completed")
        wanted = {"base_scenario:1": "failed", "base_scenario:3": "failed", "base_scenario:4": "skipped", "base_scenario:5": "completed"}
        self.assertEqual({name: status for name, status in self.steps(found).items() if name in wanted}, wanted)
        self.assertEqual(len(self.urban.creations()), 4)

    # --- Faults

    def test_what_is_announced_before_it_is_there(self):
        """W2."""
        self.start_all(lambda method, path, number: 404 if path == "/api/v1/projects/1" and number < 2 else None)
        self.announce("ProjectCreated", 1, 2, 3)
        self.assertEqual(self.wait_ended("project-created", 1)["status"], "completed")
        self.assertEqual(len(self.urban.creations()), 1)

    def test_an_unknown_territory_is_an_end(self):
        self.start_all(lambda method, path, number: 404 if path == "/api/v1/scenarios" else None)
        self.announce("ProjectCreated", 1, 2, 3)
        found = self.wait_ended("project-created", 1)
        self.assertEqual((found["status"], found["error"]), ("not_found", "No territory found"))
        self.assertEqual(self.urban.creations(), [])

    def test_transient_faults_are_tried_again_and_block_nobody(self):
        """W1, W8: what was created is not asked for again; the others go on."""
        faults = ["close", 503, 429, (500, {"detail": "x"})]

        def script(method, path, number):
            if path == "/api/v1/projects/1":
                return 503
            return faults[number] if number < len(faults) and path.endswith("/base_scenario/11") else None

        self.start_all(script, URBAN_API_MAX_ATTEMPTS=6)
        self.announce("ProjectCreated", 1, 2, 3)
        self.announce("ProjectCreated", 2, 2, 3)
        self.assertEqual(self.wait_ended("project-created", 2)["status"], "completed")
        made = [each for each in self.urban.creations() if each[:2] == (2, 11)]
        self.assertEqual(len(made), 5)
        self.assertEqual(len({key for _, _, key in made}), 1)
        self.assertEqual(self.wait_ended("project-created", 1)["status"], "failed")

        with self.subTest("a failed one can be begun again"):
            self.urban.script = lambda method, path, number: None
            answer = self.client.post_json("/workflows/1/restart?workflow=project-created&step=project", {})
            self.assertEqual(answer.status, 200, answer)
            wait_until(lambda: self.workflow("project-created", 1)["status"] == "completed", 30, "it is completed")

    def test_an_api_that_hangs(self):
        self.start_all(
            lambda method, path, number: "hang" if number == 0 and method == "GET" else None, URBAN_API_TIMEOUT_SECONDS=0.3
        )
        self.announce("ProjectCreated", 1, 2, 3)
        self.assertEqual(self.wait_ended("project-created", 1)["status"], "completed")

    def test_an_api_that_is_down_for_a_while(self):
        self.start_urban()
        port = self.urban.port
        self.urban.close()
        self.start_urban_worker(URBAN_API_MAX_ATTEMPTS=50)
        self.start_consumer(f"{self.events}=record:")
        self.announce("ProjectCreated", 1, 2, 3)
        wait_until(lambda: self.workflow("project-created", 1), 60, "it is stored", poll=0.1)
        self.start_urban(port=port)
        self.assertEqual(self.wait_ended("project-created", 1)["status"], "completed")

    def test_a_refused_token_ends_in_a_failure(self):
        """W9."""
        self.start_all(urban={"token": "right"}, URBAN_API_TOKEN="wrong")
        self.announce("ProjectCreated", 1, 2, 3)
        found = self.wait_ended("project-created", 1)
        self.assertEqual(found["status"], "failed")
        self.assertIn("401", found["error"])

    # --- Messages

    def test_what_cannot_be_handled_blocks_nobody(self):
        """W5: schemas are resolved, not compared as texts."""
        self.start_all()
        for junk in (b"junk", b"\0", b"\0\0\0\xff\xff\x02"):
            self.kafka.produce(self.events, junk)
        self.announce("ScenarioZonesUpdated", 1, 2)
        self.kafka.produce(self.events, self.frame("ProjectCreated", 1, 2, 3, doc="another text"))
        self.assertEqual(self.wait_ended("project-created", 1)["status"], "completed")
        self.wait_quarantined(3)

    def test_killed_programs_lose_and_repeat_nothing(self):
        """W3, W6: a redelivery changes nothing, and a create that was cut off is made again under its key."""
        self.start_urban(lambda method, path, number: "hang" if method == "POST" and number == 0 else None)
        worker = self.start_urban_worker()
        consumer = self.start_consumer(f"{self.events}=record:")
        self.announce("ProjectCreated", 1, 2, 3)
        self.announce("ProjectCreated", 1, 2, 3)
        wait_until(lambda: self.urban.creations(), 60, "the create is under way")
        worker.kill()
        consumer.kill()
        self.urban.released.set()
        self.start_urban_worker()
        self.start_consumer(f"{self.events}=record:")
        self.announce("ProjectCreated", 2, 2, 3)
        self.assertEqual(self.wait_ended("project-created", 1)["status"], "completed")
        self.assertEqual(self.wait_ended("project-created", 2)["status"], "completed")
        made = self.urban.creations()
        self.assertEqual({each[:2] for each in made}, {(1, 10), (2, 11)})
        self.assertEqual(len({key for project, _, key in made if project == 1}), 1)

    def test_a_group_without_an_admin_port_works(self):
        """The row "Prometheus port, disable"."""
        self.start_urban()
        self.start_urban_worker()
        consumer = self.launch_consumer(f"{self.events}=record:", PROMETHEUS_DISABLE="true")
        self.announce("ProjectCreated", 1, 2, 3)
        self.assertEqual(self.wait_ended("project-created", 1)["status"], "completed")
        self.assertEqual(consumer.logged("listening"), [])
        self.assertEqual(consumer.terminate(), 0)

    # --- Tokens

    def test_a_static_token(self):
        self.start_all(urban={"token": "right"}, URBAN_API_TOKEN="right")
        self.announce("ProjectCreated", 1, 2, 3)
        self.assertEqual(self.wait_ended("project-created", 1)["status"], "completed")

    def test_client_credentials_are_cached_refreshed_and_never_logged(self):
        self.start_urban(client=("polis", "very-secret"), lifetime=3)
        worker = self.start_urban_worker(
            URBAN_API_AUTH_URL=f"{self.urban.url}/auth", URBAN_API_AUTH_REALM="city", URBAN_API_CLIENT_ID="polis",
            URBAN_API_CLIENT_SECRET="very-secret", URBAN_API_SCOPE="scenarios", URBAN_API_REFRESH_SECONDS=1,
            LOG_LEVEL="trace",
        )  # fmt: skip
        self.start_consumer(f"{self.events}=record:")
        self.announce("RegionalScenarioCreated", 10, 3)
        self.assertEqual(self.wait_ended("regional-scenario-created", 10)["status"], "completed")
        self.assertLess(len(self.urban.grants), 4, "the token is not kept")
        self.assertEqual(self.urban.grants[0], "scenarios")
        before = len(self.urban.grants)
        # Only one that the server no longer knows: it is given up, and the call is tried again with another.
        self.urban.tokens.clear()
        self.announce("ProjectCreated", 1, 2, 3)
        self.assertEqual(self.wait_ended("project-created", 1)["status"], "completed")
        self.assertGreater(len(self.urban.grants), before)
        for secret in ("very-secret", *self.urban.tokens):
            self.assertNotIn(secret, worker.log_text())

    def test_a_token_server_that_is_down_is_waited_for(self):
        self.start_urban(
            lambda method, path, number: 503 if path.endswith("/token") and number < 2 else None,
            client=("polis", "s"),
        )
        self.start_urban_worker(
            URBAN_API_AUTH_URL=self.urban.url, URBAN_API_AUTH_REALM="city", URBAN_API_CLIENT_ID="polis",
            URBAN_API_CLIENT_SECRET="s", URBAN_API_MAX_ATTEMPTS=20,
        )  # fmt: skip
        self.start_consumer(f"{self.events}=record:")
        self.announce("ProjectCreated", 1, 2, 3)
        self.assertEqual(self.wait_ended("project-created", 1)["status"], "completed")

    # --- Metrics

    def test_metrics(self):
        """Events counts messages, not tries."""
        consumer = self.start_all(
            lambda method, path, number: 503 if path == "/api/v1/projects/2" else None, URBAN_API_MAX_ATTEMPTS=2
        )
        self.announce("ProjectCreated", 1, 2, 3)
        self.announce("ProjectCreated", 2, 2, 3)
        self.wait_ended("project-created", 1)
        self.wait_ended("project-created", 2)

        def counted():
            found = consumer.metrics()
            return found if found.get("project_created_error_total") == 1 else None

        found = wait_until(counted, 30, "the failure is counted", poll=0.2)
        self.assertEqual(found["project_created_events_total"], 2)
        self.assertEqual(found["project_created_success_total"], 1)
        self.assertEqual(found["project_created_duration_seconds_count"], 2)
        self.assertEqual(found["regional_scenario_created_events_total"], 0)
        with consumer.client() as client:
            helps = re.findall(r"# HELP (\w+) (.*)", client.get("/metrics").body.decode())
        for name, text in helps:  # W13
            for prefix, record in (("project_created", "ProjectCreated"), ("regional_scenario_created", "RegionalScenarioCreated")):
                if name.startswith(prefix):
                    self.assertIn(record, text.replace("RegionalScenarioCreated", "-") if prefix[0] == "p" else text)
        for bound in ("0.1", "0.2", "0.5", "1", "2", "5", "10", "30", "60", "120", "+Inf"):
            self.assertIn(f'project_created_duration_seconds_bucket{{le="{bound}"}}', found)
            self.assertIn(f'regional_scenario_created_duration_seconds_bucket{{le="{bound}"}}', found)


if __name__ == "__main__":
    unittest.main()
