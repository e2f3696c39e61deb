"""polis-consumer on a real broker: what becomes an event, what goes to quarantine, and what an outage changes."""

import concurrent.futures
import json
import time
import unittest

from brokers import kafkajs_produce, wait_broker_gone
from consumer_case import ConsumerTest, frame, line
from harness import cluster, parse_time, wait_until


def record_schema(name, namespace, **types):
    fields = [{"name": field, "type": kind, "doc": f"the {field}"} for field, kind in types.items()]
    return {"type": "record", "name": name, "namespace": namespace, "doc": name, "fields": fields}


project_created = record_schema(
    "ProjectCreated", "scenario.events.projects", project_id="long", base_scenario_id="long", territory_id="long"
)
region_created = record_schema(
    "RegionalScenarioCreated", "scenario.events.regional_scenarios", scenario_id="long", territory_id="long"
)


def subject(topic, schema):
    return f"{topic}.{schema['namespace']}.{schema['name']}"


class JsonMessages(ConsumerTest):
    def test_plain_json_is_ingested_as_over_http(self):
        topic = self.topic()
        self.kafka.produce_lines(
            topic, [line(energy="650", neighborhood="north", extra=[1]), line(energy=1, neighborhood="south")]
        )
        self.start_consumer(f"{topic}=energy")
        self.wait_stored(2, service="energy")
        details = self.database.rows("select * from event_details where service = 'energy' order by payload::text desc")
        north = next(row for row in details if row["payload"]["neighborhood"] == "north")
        self.assertEqual(north["normalized_payload"], {"energy": 650.0, "neighborhood": "north", "extra": [1]})
        derived = self.database.rows(f"select * from event_details where source_event_id = '{north['id']}'")
        self.assertEqual([row["deduplication_key"] for row in derived], ["critical_energy_usage_north"])
        self.assertEqual([row["topic"] for row in self.database.messages()], ["event.security"])

    def test_message_ids_and_cloud_events_are_dedupe_keys(self):
        topic = self.topic()
        for _ in range(2):
            self.kafka.produce(topic, b'{"n":1}', partition=0, headers=[("message-id", "m1")])
            binary = [("ce_specversion", "1.0"), ("ce_id", "c1"), ("ce_source", "/s"), ("ce_type", "t")]
            binary += [("ce_time", "2026-01-02T03:04:05Z")]
            self.kafka.produce(topic, b'{"n":2}', partition=1, headers=binary)
            event = {"specversion": "1.0", "id": "c2", "source": "/s", "type": "t", "data": {"n": 3}}
            structured = [("content-type", "application/cloudevents+json; charset=utf-8")]
            self.kafka.produce(topic, json.dumps(event).encode(), partition=2, headers=structured)
        consumer = self.start_consumer(f"{topic}=city")
        wait_until(lambda: self.positions(topic) == {0: 2, 1: 2, 2: 2}, 30, "all read")
        self.wait_stored(3)
        rows = self.database.rows("select * from event_details order by payload->>'n'")
        self.assertEqual([row["deduplication_key"] for row in rows], ["m1", "c1", "c2"])
        self.assertEqual([row["payload"] for row in rows], [{"n": 1}, {"n": 2}, {"n": 3}])
        self.assertEqual(parse_time(rows[1]["timestamp"].replace("+00:00", "Z")), parse_time("2026-01-02T03:04:05Z"))
        self.assertEqual(consumer.metrics()[f'consumer_messages_total{{outcome="duplicate",topic="{topic}"}}'], 3)

    def test_a_header_names_the_service(self):
        topic = self.topic()
        self.kafka.produce(topic, b'{"n":1}', headers=[("ce-kind", "bus.arrived")])
        self.kafka.produce(topic, b'{"n":2}', headers=[("CE-Kind", "energy.read")])
        self.kafka.produce(topic, b'{"n":3}')
        yaml = "  services:\n    energy.read: energy\n"
        self.start_consumer(f"{topic}=header:ce-kind", yaml=yaml)
        self.wait_stored(2)
        self.wait_quarantined(1)
        self.assertEqual(self.payloads("energy"), [{"n": 2}])
        self.assertEqual(self.payloads("bus.arrived"), [{"n": 1}])
        self.assertEqual(self.database.value("select reason from quarantine"), "no_service")


class AvroMessages(ConsumerTest):
    def test_scenario_events_by_name_from_an_independent_client(self):
        topic = self.topic()
        made = kafkajs_produce(
            self.kafka, self.registry, topic, subject=subject("scenario.events", project_created), schema=project_created,
            records=[{"project_id": 1, "base_scenario_id": 2, "territory_id": 3}] * 3, headers={"message-id": "p1"},
        )  # fmt: skip
        self.assertEqual(made["frames"][0], frame(made["id"], bytes.fromhex("020406")).hex())
        region = self.registry.register(subject("scenario.events", region_created), region_created)
        self.kafka.produce(topic, frame(region, bytes.fromhex("0AC801")))
        self.start_consumer(f"{topic}=record:")
        self.wait_stored(2)
        self.assertEqual(
            self.payloads("scenario.events.projects.ProjectCreated"),
            [{"project_id": 1, "base_scenario_id": 2, "territory_id": 3}],
        )
        self.assertEqual(
            self.payloads("scenario.events.regional_scenarios.RegionalScenarioCreated"),
            [{"scenario_id": 5, "territory_id": 100}],
        )
        self.assertEqual(self.registry.fetches(region), 1)

    def test_an_evolved_schema_and_a_foreign_record(self):
        topic = self.topic()
        evolved = record_schema(
            "ProjectCreated", "scenario.events.projects",
            territory_id="int", project_id="long", base_scenario_id="long", note="string",
        )  # fmt: skip
        kafkajs_produce(
            self.kafka, self.registry, topic, subject=subject(topic, evolved), schema=evolved,
            records=[{"project_id": 7, "base_scenario_id": 8, "territory_id": 9, "note": "new"}],
        )  # fmt: skip
        foreign = record_schema(
            "Reading", "city", at={"type": "long", "logicalType": "timestamp-millis"}, level="double",
            tags={"type": "map", "values": "string"}, raw="bytes", unit=["null", "string"],
            kind={"type": "enum", "name": "Kind", "symbols": ["AIR", "WATER"]}, many={"type": "array", "items": "int"},
        )  # fmt: skip
        reading = {
            "at": 1700000000000, "level": 1.5, "tags": {"a": "ü"}, "raw": {"hex": "0102ff"}, "unit": None, "kind": "WATER",
            "many": [1, -2],
        }  # fmt: skip
        kafkajs_produce(
            self.kafka, self.registry, topic, subject=subject(topic, foreign), schema=foreign, records=[reading]
        )
        lacking = record_schema("ProjectCreated", "scenario.events.projects", project_id="long")
        lacking_id = self.registry.register("x", lacking)
        self.kafka.produce(topic, frame(lacking_id, b"\x02"))
        self.start_consumer(f"{topic}=record:", yaml="  services:\n    city.Reading: readings\n")
        self.wait_stored(2)
        self.wait_quarantined(1)
        self.assertEqual(
            self.payloads("scenario.events.projects.ProjectCreated"),
            [{"project_id": 7, "base_scenario_id": 8, "territory_id": 9}],
        )
        self.assertEqual(
            self.payloads("readings"),
            [{"at": 1700000000000, "level": 1.5, "tags": {"a": "ü"}, "raw": "AQL/", "unit": None, "kind": "WATER", "many": [1, -2]}],
        )  # fmt: skip
        self.assertEqual(self.database.value("select reason from quarantine"), "schema_mismatch")


class Poison(ConsumerTest):
    def test_poison_at_every_position_of_a_batch_stops_no_neighbour(self):
        topic = self.topic()
        known = self.registry.register(subject("scenario.events", project_created), project_created)
        typed = record_schema(
            "ProjectCreated", "scenario.events.projects", project_id="string", base_scenario_id="long", territory_id="long"
        )  # fmt: skip
        typed_id = self.registry.register(f"{topic}.typed", typed)
        endless = {"type": "record", "name": "Endless", "fields": [{"name": "n", "type": {"type": "array", "items": "null"}}]}
        endless_id = self.registry.register("endless", endless)
        poison = [
            (None, "no_value"),
            (b"", "no_value"),
            (b"\0\0\0", "short_frame"),
            (b"\1\0\0\0\7\2\4\6", "bad_magic"),
            (frame(999_999, b"\2\4\6"), "unknown_schema"),
            (frame(known, b"\2\4"), "bad_record"),
            (frame(known, b"\2\4\6\6"), "bad_record"),
            (frame(known, b"\xff" * 12), "bad_record"),
            (frame(typed_id, b"\2a\4\6"), "schema_mismatch"),
            (frame(endless_id, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\0"), "bad_schema"),
            (b'{"n":"\xff\xfe"}', "not_json"),
            (b'{"n":"\\u0000"}', "not_json"),
            (b"[" * 40 + b"]" * 40, "not_json"),
            (b'{"n":1', "not_json"),
            (b"[1]", "invalid"),
            (b'{"energy":"x"}', "invalid"),
            (b'{"n":"' + b"x" * 2_000_000 + b'"}', "too_large"),
        ]
        headers = [("traceparent", "00-1-2-01"), ("h", "ü")]
        self.kafka.produce(topic, b'{"n":0}', partition=0)
        for number, (value, _) in enumerate(poison, 1):
            self.kafka.produce(topic, value, key=f"k{number}", partition=0, headers=headers)
            self.kafka.produce(topic, json.dumps({"n": number}).encode(), partition=0)
        consumer = self.start_consumer(f"{topic}=energy", INGEST_VALIDATION="strict")
        self.wait_quarantined(len(poison))
        self.wait_stored(len(poison) + 1)
        self.assertEqual(sorted(row["n"] for row in self.payloads("energy")), list(range(len(poison) + 1)))
        self.assertEqual(self.positions(topic), {0: 2 * len(poison) + 1})
        kept = self.database.rows(
            "select topic, partition, message_offset, encode(message_key, 'escape') as key, headers, reason, detail,"
            " encode(body, 'hex') as body from quarantine order by message_offset"
        )
        for number, ((value, reason), row) in enumerate(zip(poison, kept), 1):
            self.assertEqual((row["reason"], row["message_offset"]), (reason, 2 * number - 1), row["detail"])
            self.assertEqual((row["topic"], row["partition"], row["key"]), (topic, 0, f"k{number}"))
            self.assertEqual(bytes.fromhex(row["body"]), value or b"")
            self.assertEqual(row["headers"], [list(pair) for pair in headers])
        metrics = consumer.metrics()
        self.assertEqual(metrics[f'consumer_messages_total{{outcome="quarantined",topic="{topic}"}}'], len(poison))
        self.assertEqual(metrics[f'consumer_rejected_total{{reason="not_json",topic="{topic}"}}'], 4)

    def test_poison_first_last_and_anywhere_between_in_batches_of_four(self):
        topic = self.topic()
        size = 13  # three batches and a rest, so that a poison of every position meets every place of a batch
        for position in range(self.kafka.partitions):
            places = {position, position + self.kafka.partitions}
            lines = ["{broken" if n in places else line(n=n, position=position) for n in range(size)]
            self.kafka.produce_lines(topic, lines, "-p", str(position))
        self.start_consumer(f"{topic}=city", INGEST_BATCH_ROWS_MAX="4")
        self.wait_quarantined(2 * self.kafka.partitions)
        self.wait_stored((size - 2) * self.kafka.partitions)
        self.assertEqual(self.positions(topic), {number: size for number in range(self.kafka.partitions)})
        kept = self.database.rows("select partition, message_offset from quarantine")
        self.assertEqual(
            sorted((row["partition"], row["message_offset"]) for row in kept),
            sorted((n, n + m) for n in range(self.kafka.partitions) for m in (0, self.kafka.partitions)),
        )

    def test_what_the_database_refuses_goes_to_quarantine_too(self):
        topic = self.topic()
        self.database.execute(
            "alter table events add constraint no_thirteen check (payload->>'n' is null or payload->>'n' <> '13')"
        )
        self.kafka.produce_lines(topic, [line(n=n) for n in range(20)], "-p", "0")
        self.start_consumer(f"{topic}=city")
        self.wait_quarantined(1)
        self.wait_stored(19)
        self.assertEqual(self.database.value("select reason from quarantine"), "refused_by_database")
        self.assertEqual(self.positions(topic), {0: 20})


class Quarantine(ConsumerTest):
    def list_all(self, client, query=""):
        found, path = [], f"/quarantine?limit=2{query}"
        while path:
            page = client.get(path)
            self.assertEqual(page.status, 200, page)
            found += page.json()
            link = page.header("link")
            path = link[1 : link.index(">")] if link else None
        return found

    def test_list_show_and_retry_after_a_fix(self):
        topic = self.topic()
        first, second = (self.registry.register(f"{topic}.{n}", record_schema(f"N{n}", "x", a="long")) for n in (1, 2))
        unknown = second + (second - first)  # the id that the next new subject gets
        value = frame(unknown, bytes.fromhex("020406"))
        self.kafka.produce(topic, value, key="the-key", partition=0, headers=[("a", "1"), ("a", "2")])
        for number in range(4):
            self.kafka.produce(topic, b"{broken" + bytes([number]), partition=0)
        self.start_consumer(f"{topic}=record:")
        self.wait_quarantined(5)
        api = self.start_api(KAFKA_TOPICS=f"{topic}=record:", SCHEMA_REGISTRY_URL=self.registry.url)
        client = self.open_client(api)
        everything = self.list_all(client)
        self.assertEqual(len({item["id"] for item in everything}), 5)
        (item,) = self.list_all(client, f"&reason=unknown_schema&topic={topic}")
        self.assertEqual(item["message"]["key"], "the-key")
        self.assertEqual(item["message"]["headers"], [["a", "1"], ["a", "2"]])
        self.assertEqual((item["message"]["partition"], item["message"]["offset"]), (0, 0))
        path = f"/quarantine/{item['id']}"
        self.assertEqual(client.get(path).json(), item)
        self.assertEqual(client.get(path + "/body").body, value)
        refused = self.assert_problem(client.request("POST", path + "/retry"), 422)
        self.assertEqual(refused["reason"], "unknown_schema")
        fresh = {**project_created, "doc": topic}
        self.assertEqual(self.registry.register(subject(topic, fresh), fresh), unknown)
        answers = self.retry_at_once(api, path + "/retry")
        self.assertEqual({answer.status for answer in answers} - {404}, {200}, answers)
        self.wait_stored(1, service="scenario.events.projects.ProjectCreated")
        self.assert_problem(client.get(path), 404)
        rest = client.request("POST", "/quarantine/retry?reason=not_json&limit=3").json()
        self.assertEqual((rest["tried"], rest["stored"], rest["failed"]), (3, 0, 3))
        rest = client.request("POST", f"/quarantine/retry?reason=not_json&limit=3&after={rest['next']}").json()
        self.assertEqual((rest["tried"], rest["stored"], rest["next"]), (1, 0, None))

    def retry_at_once(self, api, path):
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda _: self.open_client(api).request("POST", path), range(4)))

    def test_bulk_retry_of_what_strict_validation_refused(self):
        topic = self.topic()
        self.kafka.produce_lines(topic, [line(energy="much", n=n) for n in range(7)])
        self.start_consumer(f"{topic}=energy", INGEST_VALIDATION="strict")
        self.wait_quarantined(7)
        client = self.open_client(self.start_api())
        self.assertEqual({item["errors"][0]["field"] for item in self.list_all(client)}, {"energy"})
        done = client.request("POST", f"/quarantine/retry?service=energy&reason=invalid&topic={topic}").json()
        self.assertEqual(done, {"tried": 7, "stored": 7, "failed": 0, "next": None})
        self.wait_stored(7, service="energy")
        self.assertEqual(self.list_all(client), [])

    def test_bad_parameters(self):
        client = self.open_client(self.start_api())
        for path in ("/quarantine?limit=0", "/quarantine?after=x", "/quarantine?colour=red", "/quarantine/x"):
            self.assert_problem(client.get(path), 422)
        self.assert_problem(client.request("POST", f"/quarantine/{'0' * 8}-0000-0000-0000-{'0' * 12}/retry"), 404)


class FlowControl(ConsumerTest):
    def test_partitions_that_paused_go_on_after_a_rebalance(self):
        topic = self.topic()
        small = {"INGEST_QUEUE_ROWS_MAX": "60", "INGEST_BATCH_ROWS_MAX": "10"}
        first = self.start_consumer(f"{topic}=city", **small)
        wait_until(lambda: first.logged("partitions assigned"), 30, "assigned")
        blocker = self.hold_lock("events")
        self.kafka.produce_lines(topic, [line(n=n) for n in range(3000)])
        self.wait_blocked()
        # The reader has far more than its limit by now, so every partition is paused while it changes hands.
        wait_until(lambda: "database" in first.reasons(), 30, "not ready because of the database")
        second = self.start_consumer(f"{topic}=city", **small)
        wait_until(lambda: second.logged("partitions assigned"), 60, "shared")
        self.release_lock(blocker)
        self.wait_stored(3000)
        self.assertEqual(sorted(row["n"] for row in self.payloads("city")), list(range(3000)))
        self.assertEqual((first.terminate(), second.terminate()), (0, 0))


class Security(ConsumerTest):
    def test_a_broker_that_asks_for_a_password(self):
        topic = self.topic()
        self.kafka.produce_lines(topic, [line(n=n) for n in range(100)])
        settings = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.sasl_address,
            "KAFKA_SECURITY_PROTOCOL": "sasl_plaintext",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_USERNAME": self.kafka.sasl_user,
        }
        stranger = self.launch_consumer(f"{topic}=city", KAFKA_SASL_PASSWORD="wr0ng-secret", **settings).listening()
        wait_until(lambda: "Kafka" in stranger.reasons(), 30, "not ready because of the broker")
        self.assertEqual(stranger.terminate(), 0)
        self.assertEqual(self.database.count("events"), 0)
        self.assertNotIn("wr0ng-secret", stranger.log_text())
        friend = self.start_consumer(f"{topic}=city", KAFKA_SASL_PASSWORD=self.kafka.sasl_password, **settings)
        self.wait_stored(100)
        self.assertEqual(friend.reasons(), "")
        self.assertNotIn(self.kafka.sasl_password, friend.log_text())


class Outages(ConsumerTest):
    def test_a_registry_that_is_down_pauses_and_skips_nothing(self):
        topic = self.topic()
        known = self.registry.register(subject("scenario.events", project_created), project_created)
        self.registry.stop()
        try:
            consumer = self.start_consumer(f"{topic}=record:")
            for number in range(3):
                self.kafka.produce(topic, frame(known, bytes([2 * number, 4, 6])), partition=0)
            wait_until(lambda: "registry" in consumer.reasons(), 30, "not ready because of the registry")
            self.assertEqual(self.positions(topic), {})
            self.assertEqual(self.database.count("quarantine"), 0)
        finally:
            self.registry.start()
        self.wait_stored(3)
        self.assertEqual(consumer.reasons(), "")

    def test_postgresql_killed_in_the_middle(self):
        topic = self.topic()
        consumer = self.start_consumer(f"{topic}=city")
        self.kafka.produce_lines(topic, [line(n=n) for n in range(3000)])
        wait_until(lambda: self.database.count("events") > 0, 30, "the first are stored")
        cluster().kill()
        try:
            self.kafka.produce_lines(topic, [line(n=n) for n in range(3000, 6000)])
            wait_until(lambda: "database" in consumer.reasons(), 30, "not ready because of the database")
        finally:
            cluster().start()
        self.wait_stored(6000)
        self.assertEqual(sorted(row["n"] for row in self.payloads("city")), list(range(6000)))
        self.assertEqual(self.positions(topic), self.ends(topic))
        wait_until(lambda: consumer.reasons() == "", 30, "ready again")

    def test_a_database_that_is_away_while_partitions_are_given_out(self):
        topic = self.topic()
        self.kafka.produce_lines(topic, [line(n=n) for n in range(500)])
        blocker = self.hold_lock("kafka_offsets")
        consumer = self.launch_consumer(f"{topic}=city").listening()
        wait_until(lambda: "database" in consumer.reasons(), 60, "not ready because of the database")
        self.assertEqual(self.database.count("events"), 0)
        self.release_lock(blocker)
        self.wait_stored(500)
        self.assertEqual(self.positions(topic), self.ends(topic))
        wait_until(lambda: consumer.reasons() == "", 30, "ready again")
        self.assertEqual(consumer.terminate(), 0)

    def test_the_broker_killed_in_the_middle(self):
        topic = self.topic()
        consumer = self.start_consumer(f"{topic}=city")
        self.kafka.produce_lines(topic, [line(n=n) for n in range(2000)])
        self.wait_stored(2000)
        self.kafka.kill()
        wait_broker_gone(self.kafka.address)
        wait_until(lambda: "Kafka" in consumer.reasons(), 30, "not ready because of the broker")
        self.kafka.start()
        self.kafka.produce_lines(topic, [line(n=n) for n in range(2000, 4000)])
        self.wait_stored(4000)
        self.assertEqual(self.positions(topic), self.ends(topic))

    def test_sigterm_leaves_the_group_and_a_late_start_goes_on_from_the_stored_position(self):
        topic = self.topic()
        first = self.start_consumer(f"{topic}=city", session="kafka:\n  properties:\n    session.timeout.ms: 60000\n")
        self.kafka.produce_lines(topic, [line(n=n) for n in range(500)])
        self.wait_stored(500)
        self.assertEqual(first.terminate(), 0)
        self.kafka.produce_lines(topic, [line(n=n) for n in range(500, 1000)])
        started = time.monotonic()
        second = self.start_consumer(f"{topic}=city")
        wait_until(lambda: second.logged("partitions assigned"), 30, "assigned")
        # A member that did not leave would block the group until its session ends.
        self.assertLess(time.monotonic() - started, 30)
        self.wait_stored(1000)
        wait_until(lambda: self.lag(second, topic) == 0, 10, "no lag")

    def lag(self, consumer, topic):
        found = {name: value for name, value in consumer.metrics().items() if name.startswith("kafka_consumer_lag")}
        return sum(found.values()) if len(found) == self.kafka.partitions else None


if __name__ == "__main__":
    unittest.main()
