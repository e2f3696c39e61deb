"""What the tests of polis-consumer stand on: one broker and one registry for a module, and the consumer's process."""

import json
import os
import tempfile
import unittest

import brokers
from harness import Client, EndToEndTest, Process, wait_until

group = "polis-test"
# Short sessions, so that a killed consumer's partitions move soon. Written as a file: these have no variable.
short_session = "kafka:\n  properties:\n    session.timeout.ms: 3000\n    heartbeat.interval.ms: 500\n"


_servers = []


def servers():
    """The broker and the registry of this test process; brokers.py stops them at its end."""
    missing = brokers.missing_tools()
    if missing:
        raise unittest.SkipTest(missing)
    if not _servers:
        _servers.extend([brokers.Kafka(group_min_session_timeout_ms=1000), brokers.SchemaRegistry()])
        print(f"broker: Apache Kafka's own server; schema registry: {brokers.SchemaRegistry.kind}", flush=True)
    return _servers


class Consumer(Process):
    program_name = "polis-consumer"
    port_setting = "ADMIN_PORT"

    def __init__(self, database, kafka, topics, *arguments, yaml="", session=short_session, **settings):
        settings.setdefault("KAFKA_GROUP_ID", group)
        config = tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False)
        with config:
            config.write(session + yaml)
        settings.setdefault("CONFIG_PATH", config.name)
        settings.setdefault("HOST", "127.0.0.1")
        settings.setdefault("KAFKA_BOOTSTRAP_SERVERS", kafka.address)
        super().__init__(*arguments, DATABASE_URL=database.url, KAFKA_TOPICS=topics, **settings)

        self.config_path = config.name

    def clean_up(self):
        if os.path.exists(self.config_path):
            os.unlink(self.config_path)
        super().clean_up()

    def metrics(self):
        """The samples by name with labels."""
        with Client("127.0.0.1", self.port, timeout=10) as client:
            text = client.get("/metrics").body.decode()
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}

    def reasons(self):
        with Client("127.0.0.1", self.port, timeout=10) as client:
            answer = client.get("/readyz")
        return answer.body.decode() if answer.status != 200 else ""


class ConsumerTest(EndToEndTest):
    """One broker and one registry for all tests of a process; topics are named after the test."""

    kafka = None
    registry = None

    @classmethod
    def setUpClass(cls):
        cls.kafka, cls.registry = servers()

    def topic(self, suffix=""):
        return self.kafka.create_topic(self._testMethodName.replace("test_", "t-").replace("_", "-")[:80] + suffix)

    def launch_consumer(self, topics, **settings):
        settings.setdefault("SCHEMA_REGISTRY_URL", self.registry.url)
        consumer = Consumer(self.database, self.kafka, topics, **settings)
        self.addCleanup(consumer.clean_up)
        return consumer

    def start_consumer(self, topics, **settings):
        return self.launch_consumer(topics, **settings).ready()

    def wait_stored(self, count, deadline=60.0, service=None):
        """Waits for so many base events, and then for no more of them."""
        where = "id = family_base(id)" + (f" and service = '{service}'" if service else "")
        wait_until(
            lambda: self.database.count("events", where) >= count, deadline, f"{count} events stored", poll=0.1
        )
        self.assertEqual(self.database.count("events", where), count)

    def wait_quarantined(self, count, deadline=60.0):
        wait_until(lambda: self.database.count("quarantine") >= count, deadline, f"{count} in quarantine", poll=0.1)
        self.assertEqual(self.database.count("quarantine"), count)

    def positions(self, topic):
        """Stored next offset by partition, of partitions that hold something."""
        rows = self.database.rows(f"select partition, next_offset from kafka_offsets where topic = '{topic}'")
        return {row["partition"]: row["next_offset"] for row in rows if row["next_offset"] > 0}

    def ends(self, topic):
        """The end of each partition that holds something, as an independent client sees it."""
        found = {}
        for message in self.kafka.messages(topic):
            found[message["partition"]] = max(found.get(message["partition"], 0), message["offset"] + 1)
        return found

    def payloads(self, service):
        rows = self.database.rows(f"select payload from events where service = '{service}' and id = family_base(id)")
        return [row["payload"] for row in rows]


def line(**fields):
    return json.dumps(fields)


def frame(schema_id, body):
    """A record as the serializers of the Schema Registry write it."""
    return b"\0" + schema_id.to_bytes(4, "big") + body
