"""The target kafka:TOPIC: against Kafka's own server, and the broker of librdkafka's test kit
(tests/support/mock_broker.cpp), which starts at once."""

import json
import os
import pathlib
import subprocess
import threading
import unittest

import brokers
from programs import program, wait_until
from propagator_case import Propagator, PropagatorCase

broker_program = pathlib.Path(os.environ.get("POLIS_MOCK_BROKER", program("mock-broker")))


@unittest.skipIf(brokers.missing_tools(), brokers.missing_tools())
class RealKafkaTest(PropagatorCase):
    def test_ticks_go_on_while_the_broker_is_away_and_each_record_is_there_once(self):
        kafka = brokers.Kafka(partitions=1)
        self.addCleanup(kafka.clean_up)
        kafka.create_topic("city")
        process = self.start(
            "kafka:city", payloads=self.payloads({"n": "{{counter}}"}), PAYLOAD_TEMPLATES="true",
            KAFKA_BOOTSTRAP_SERVERS=kafka.address, SEND_TIMEOUT_SECONDS=60, DRAIN_SECONDS=60,
        )  # fmt: skip
        wait_until(lambda: len(kafka.messages("city")) >= 5, 30, "five records")
        kafka.stop()
        before = process.lines()[-1]["total"]
        wait_until(lambda: process.metric('propagator_in_flight{stream="city"}') >= 5, 30, "ticks without a broker")
        kafka.start()
        wait_until(lambda: process.lines()[-1]["total"] >= before + 10, 60, "ticks with the broker back")
        self.assertEqual(process.terminate(), 0)
        total = process.lines()[-1]["total"]
        records = kafka.messages("city")
        self.assertEqual(sorted(json.loads(record["payload"])["n"] for record in records), list(range(1, total + 1)))
        self.assertEqual({record["headers"][0] for record in records}, {"Idempotency-Key"})
        self.assertEqual(len({record["headers"][1] for record in records}), total)
        self.assertEqual(process.lines()[-1]["failed_percent"], 0)


@unittest.skipUnless(broker_program.exists(), f"{broker_program} is not built")
class KafkaTest(PropagatorCase):
    def setUp(self):
        super().setUp()
        self.broker = subprocess.Popen(
            [str(broker_program), "city"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.addCleanup(self.stop_broker)
        self.bootstrap = self.broker.stdout.readline().strip()
        self.records = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.broker.stdout:
            key, _, value = line.rstrip("\n").partition("\t")
            self.records.append((key, json.loads(value)))

    def stop_broker(self):
        if self.broker.poll() is None:
            self.broker.kill()
        self.broker.wait(10)
        self.broker.stdin.close()
        self.reader.join(10)
        self.broker.stdout.close()

    def test_every_tick_is_a_record(self):
        path = self.payloads({"n": "{{counter}}"})
        process = self.start(
            "kafka:city", payloads=path, PAYLOAD_TEMPLATES="true", KAFKA_BOOTSTRAP_SERVERS=self.bootstrap
        )
        wait_until(lambda: len(self.records) >= 10, 30, "ten records")
        self.assertEqual(process.terminate(), 0)
        total = process.lines()[-1]["total"]
        wait_until(lambda: len(self.records) >= total, 10, "the last record")
        self.assertEqual([record["n"] for _, record in self.records], list(range(1, total + 1)))
        self.assertEqual(len({key for key, _ in self.records}), total)
        self.assertEqual((process.lines()[-1]["status"], process.lines()[-1]["failed_percent"]), (200, 0))

    def test_a_load_run(self):
        report = self.directory / "report.json"
        result = self.run_to_its_end(
            "--target", "kafka:city", "--payloads", self.payloads(), "--rate", "500", "--duration", "2",
            "--connections", "1000", "--report", str(report), KAFKA_BOOTSTRAP_SERVERS=self.bootstrap,
        )  # fmt: skip
        self.assertEqual(result.returncode, 0, result.stderr)
        told = json.loads(report.read_text())
        self.assertEqual((told["sent"], told["succeeded"], told["target"]), (1000, 1000, "kafka:city"))

    def test_a_broker_that_is_gone_counts_as_a_failure_and_the_stop_is_clean(self):
        self.stop_broker()
        process = self.start(
            "kafka:city", period=0.5, KAFKA_BOOTSTRAP_SERVERS=self.bootstrap, SEND_TIMEOUT_SECONDS=2, DRAIN_SECONDS=1
        )
        line = self.wait_lines(process, 1)[0]
        self.assertEqual((line["status"], line["failed_percent"]), (0, 100))
        self.assertEqual(process.terminate(), 0)

    def test_kafka_needs_an_address(self):
        result = self.run_to_its_end(
            PERIOD_IN_SECONDS=1, HTTP_POST_ENDPOINT="kafka:city", PAYLOAD_FILE_PATH=self.payloads()
        )
        self.assertEqual(result.returncode, 2)
        self.assertIn("KAFKA_BOOTSTRAP_SERVERS", result.stderr)


if __name__ == "__main__":
    unittest.main()
