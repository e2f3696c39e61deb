"""Other bodies than one JSON payload a message: Avro with a schema registry over Kafka, and CloudEvents batches over HTTP."""

import io
import json
import unittest

import brokers
from harness import Answer, wait_until
from subscriptions_test import SubscriptionCase

secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
alert_schema = (
    '{"type": "record", "name": "Alert", "namespace": "city.alerts", "doc": "kept to the letter", "fields": ['
    '{"name": "energy", "type": "double"}, {"name": "neighborhood", "type": "string"}, '
    '{"name": "operator", "type": ["null", "string"], "default": null}]}'
)


class AvroTest(SubscriptionCase):
    @classmethod
    def setUpClass(cls):
        missing = brokers.missing_tools()
        if missing:
            raise unittest.SkipTest(missing)
        cls.fastavro = brokers.python_package("fastavro", "1.13.1")
        cls.kafka = brokers.Kafka()
        cls.addClassCleanup(cls.kafka.clean_up)
        print(f"broker: Apache Kafka's own server; schema registry: {brokers.SchemaRegistry.kind}", flush=True)

    def setUp(self):
        self.registry = brokers.SchemaRegistry()
        self.addCleanup(self.registry.clean_up)
        self.settings = {"KAFKA_BOOTSTRAP_SERVERS": self.kafka.address, "SCHEMA_REGISTRY_URL": self.registry.url}
        super().setUp()
        self.client = self.open_client(self.start_api(**self.api_settings, **self.settings))

    def read(self, topic, count):
        """The records as an independent reader sees them: headers, the schema's name, the value."""

        def frames():
            raw = self.kafka.kcat_bytes("-C", "-t", topic, "-o", "beginning", "-e", "-f", "%R%h|%S|%s")
            return raw if raw.count(b"ce_specversion") >= count else None

        found, raw = [], io.BytesIO(wait_until(frames, 30, f"{count} records", poll=0.2))
        while size := raw.read(4):  # %R: the length of the value, as four bytes, stands in front
            headers = self.until(raw, b"|")
            self.until(raw, b"|")
            frame = raw.read(int.from_bytes(size, "big"))
            self.assertEqual(frame[:1], b"\0")
            text = self.registry.get(f"/schemas/ids/{int.from_bytes(frame[1:5], 'big')}")["schema"]
            schema = self.fastavro.parse_schema(json.loads(text))
            body = io.BytesIO(frame[5:])
            value = self.fastavro.schemaless_reader(body, schema)
            self.assertEqual(body.read(), b"")
            found.append((headers.decode(), schema["name"], value))
        return found

    @staticmethod
    def until(stream, mark):
        text = b""
        while (byte := stream.read(1)) not in (mark, b""):
            text += byte
        return text

    def test_schemas_are_inferred_and_registered_by_record_name(self):
        topic = self.kafka.create_topic("inferred")
        self.subscribe("avro", f"kafka:{topic}", encoding="avro")
        self.start_worker("null:", **self.settings)
        count = self.emergencies(20)
        records = self.read(topic, count)
        rows = self.database.rows("select topic, payload from outbox")
        self.assertEqual({name for _, name, _ in records}, {"event.transport", "event.security"})
        self.assertCountEqual(self.registry.get("/subjects"), ["event.security", "event.transport"])
        self.assertEqual(self.registry.get("/subjects/event.transport/versions"), [1])
        told = sorted(json.dumps(row["payload"], sort_keys=True) for row in rows)
        self.assertEqual(sorted(json.dumps(value, sort_keys=True) for _, _, value in records), told)
        self.assertTrue(all("content-type=application/avro" in headers for headers, _, _ in records), records[0])

    def test_a_schema_of_the_subscription(self):
        topic = self.kafka.create_topic("given")
        made = self.subscribe("avro", f"kafka:{topic}", encoding="avro", schema=alert_schema)
        self.assertEqual(made["schema"], alert_schema)
        self.start_worker("null:", **self.settings)
        self.alert("east", energy=650)
        ((_, name, value),) = self.read(topic, 1)
        self.assertEqual(name, "city.alerts.Alert")
        self.assertEqual(value, {"energy": 650.0, "neighborhood": "east", "operator": None})
        latest = self.registry.get("/subjects/city.alerts.Alert/versions/latest")
        self.assertEqual(json.loads(latest["schema"]), json.loads(alert_schema))
        # A payload that does not fit is nobody's fault but ours.
        self.emergencies(1)
        failed = self.wait_messages(
            lambda rows: [row for row in rows if row["subscription"] == "avro" and row["status"] == "failed"],
            what="dead letters",
        )
        wrong = [row for row in failed if row["subscription"] == "avro" and row["status"] == "failed"]
        self.assertEqual({row["last_error"] for row in wrong}, {"the payload does not fit the schema at energy"})
        letters = self.client.get("/outbox/dead-letters?subscription=avro").json()
        self.assertEqual({letter["reason"] for letter in letters}, {"ours"})

    def test_a_registry_that_is_away_delays_and_loses_nothing(self):
        topic = self.kafka.create_topic("away")
        self.subscribe("avro", f"kafka:{topic}", encoding="avro", max_attempts=100)
        self.registry.stop()
        self.start_worker("null:", OUTBOX_RETRY_MAX_SECONDS="1", **self.settings)
        self.alert("east")
        wait_until(lambda: self.database.count("outbox_retries", "attempts > 0"), 30, "it waits")
        self.registry.start()
        self.assertEqual(len(self.read(topic, 1)), 1)

    def test_what_cannot_be_is_refused(self):
        for settings, field in (
            ({"schema": "{}", "encoding": "avro"}, "schema"),
            ({"schema": {"type": "long"}, "encoding": "avro"}, "schema"),
            ({"schema": 5, "encoding": "avro"}, "schema"),
            ({"schema": alert_schema}, "schema"),
        ):
            answer = self.subscribe("x", "kafka:", status=422, **settings)
            self.assertEqual([error["field"] for error in answer["errors"]], [field], settings)


class BatchTest(SubscriptionCase):
    def test_messages_go_in_batches(self):
        sink = self.start_sink(lambda headers, body: Answer(200, delay=0.05))
        self.subscribe("batched", sink, body="batch", secrets=[secret], start="beginning")
        count = self.emergencies(100, times=2)
        self.start_worker("null:", OUTBOX_IN_FLIGHT_MAX="500")

        def events():
            return [event for delivery in sink.snapshot() for event in delivery.json()]

        wait_until(lambda: len(events()) >= count, 30, "all events")
        self.wait_messages(lambda rows: all(row["status"] == "sent" for row in rows), what="all sent")
        found = events()
        self.assertEqual((len(found), len({event["id"] for event in found})), (count, count))
        deliveries = sink.snapshot()
        self.assertLess(len(deliveries), count / 4)
        self.assertLessEqual(max(len(delivery.json()) for delivery in deliveries), 100)
        rows = {row["event_id"]: row for row in self.database.rows("select * from outbox")}
        for event in found:
            row = rows[event["id"]]
            self.assertEqual((event["type"], event["data"]), (row["topic"], row["payload"]))
            self.assertEqual((event["specversion"], event["subscription"]), ("1.0", "batched"))
        headers = deliveries[0].headers
        self.assertEqual(headers["content-type"], "application/cloudevents-batch+json")
        self.assertNotIn("ce-id", headers)
        webhook = brokers.python_package("standardwebhooks", "1.0.0").Webhook(secret)
        for delivery in deliveries:
            webhook.verify(delivery.body, delivery.headers)
        self.assertEqual(len({delivery.headers["webhook-id"] for delivery in deliveries}), len(deliveries))

    def test_one_bad_message_stops_no_neighbour(self):
        def script(headers, body):
            return Answer(422 if any(event["data"].get("neighborhood") == "bad" for event in json.loads(body)) else 200)

        sink = self.start_sink(script)
        self.subscribe("batched", sink, body="batch", start="beginning")
        identities = {self.alert(name): name for name in ("a", "b", "bad", "c", "d")}
        self.start_worker("null:")

        def settled(rows):
            return all(row["status"] != "pending" for row in rows)

        rows = self.wait_messages(settled, what="all settled")
        states = {identities[row["event_id"]]: row["status"] for row in rows if row["subscription"] == "batched"}
        self.assertEqual(states, {"a": "sent", "b": "sent", "bad": "failed", "c": "sent", "d": "sent"})

    def test_a_batch_that_fails_is_tried_again(self):
        answers = [503, 503]
        sink = self.start_sink(lambda headers, body: Answer(answers.pop() if answers else 200))
        self.subscribe("batched", sink, body="batch", start="beginning")
        count = self.emergencies(10)
        self.start_worker("null:")
        wait_until(
            lambda: len({event["id"] for d in sink.accepted() for event in d.json()}) == count, 30, "all arrive"
        )


if __name__ == "__main__":
    unittest.main()
