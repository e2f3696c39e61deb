"""The sink amqp: against Debian's RabbitMQ, read by an independent client (pika)."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest
import urllib.parse

from brokers import RabbitMq, missing_rabbitmq
from harness import wait_until
from subscriptions_test import SubscriptionCase

exchange = "amq.topic"


@unittest.skipIf(missing_rabbitmq(), missing_rabbitmq())
class AmqpSinkTest(SubscriptionCase):
    @classmethod
    def setUpClass(cls):
        cls.broker = RabbitMq()
        cls.addClassCleanup(cls.broker.clean_up)

    def bind(self, name, key, **arguments):
        with self.broker.client() as connection:
            channel = connection.channel()
            channel.queue_declare(name, durable=True, arguments=arguments or None)
            channel.queue_bind(name, exchange, key)

    def read(self, name, count, deadline=60):
        """Takes `count` messages out of a queue: (method, properties, body) each."""
        found = []
        with self.broker.client() as connection:
            channel = connection.channel()

            def more():
                while True:
                    method, properties, body = channel.basic_get(name, auto_ack=True)
                    if method is None:
                        return len(found) >= count
                    found.append((method, properties, json.loads(body)))

            wait_until(more, deadline, f"{count} messages in {name}", poll=0.1)
        return found

    def test_messages_carry_what_receivers_need(self):
        self.bind("energy", "event.security")
        identity = self.alert("east")
        self.start_worker(self.broker.url)
        ((method, properties, payload),) = self.read("energy", 1)
        self.wait_message(identity, status="sent")
        stored = self.database.rows(f"select topic, payload from outbox where event_id = '{identity}'")[0]
        self.assertEqual((method.exchange, method.routing_key), (exchange, stored["topic"]))
        self.assertEqual(payload, stored["payload"])
        self.assertEqual(properties.delivery_mode, 2)
        self.assertEqual(properties.message_id, identity)
        self.assertEqual(properties.content_type, "application/json")
        self.assertEqual((properties.type, properties.app_id), (stored["topic"], "polis"))
        headers = properties.headers
        self.assertEqual(headers["cloudEvents_specversion"], "1.0")
        self.assertEqual(headers["cloudEvents_id"], identity)
        self.assertEqual(headers["cloudEvents_type"], stored["topic"])
        self.assertTrue(headers["cloudEvents_source"].startswith("/polis/events/"))
        self.assertTrue(headers["cloudEvents_time"].endswith("Z"))

    def test_each_once_and_in_order_per_key(self):
        self.bind("all", "event.#")
        count = self.emergencies(100, times=3)
        worker = self.start_worker(self.broker.url, OUTBOX_IN_FLIGHT_MAX="200")
        found = self.read("all", count)
        self.wait_all_sent(count)
        self.assertEqual(worker.terminate(), 0)
        self.assertEqual(len(found), count)
        self.assertEqual(len({properties.message_id for _, properties, _ in found}), count)
        rows = {row["event_id"]: row for row in self.database.rows("select event_id, key_hash, seq from outbox")}
        last = {}
        for _, properties, _ in found:
            row = rows[properties.message_id]
            self.assertGreater(row["seq"], last.get(row["key_hash"], 0))
            last[row["key_hash"]] = row["seq"]

    def test_nothing_is_lost_while_the_broker_is_away(self):
        self.bind("kept", "event.#")
        self.start_worker(self.broker.url, OUTBOX_MAX_ATTEMPTS="100", OUTBOX_RETRY_MAX_SECONDS="1")
        count = self.emergencies(20)
        self.wait_all_sent(count)
        self.broker.stop()
        try:
            count += self.emergencies(20, first_patient=1000)
            wait_until(lambda: self.database.count("outbox_retries", "attempts > 0"), 30, "deliveries fail")
        finally:
            self.broker.start()
        self.wait_all_sent(count, 60)
        found = {properties.message_id for _, properties, _ in self.read("kept", count)}
        self.assertEqual(len(found), count)

    def test_a_broker_that_falls_silent_holds_up_no_stop(self):
        self.bind("silence", "event.#")
        self.check_stop_beside_silence(self.broker, lambda: self.start_worker(self.broker.url))

    def test_a_message_that_no_queue_takes_is_a_dead_letter(self):
        self.bind("taken", "taken.elsewhere")
        stray = f"{self.broker.url}?routing_key=nobody.listens"
        identity = self.alert("east")
        self.start_worker(stray)
        row = self.wait_message(identity, status="failed")
        self.assertEqual((row["attempts"], row["last_error"]), (1, "no queue took it: 312 NO_ROUTE"))

    def test_a_queue_that_is_full_is_tried_again(self):
        self.bind("full", "full.up", **{"x-max-length": 1, "x-overflow": "reject-publish"})
        with self.broker.client() as connection:
            connection.channel().basic_publish("", "full", b"{}")
        identity = self.alert("east")
        self.start_worker(f"{self.broker.url}?routing_key=full.up", OUTBOX_MAX_ATTEMPTS="100")
        row = wait_until(lambda: self.message(identity)["last_error"], 30, "the broker refuses")
        self.assertIn("nack", row)
        with self.broker.client() as connection:
            connection.channel().queue_purge("full")
        self.wait_message(identity, 30, status="sent")

    def test_what_the_broker_does_not_have_or_allow_is_told(self):
        for url, words in (
            (f"{self.broker.url}?exchange=no.such", "NOT_FOUND"),
            (self.broker.url.replace("polis:", "stranger:"), "ACCESS_REFUSED"),
        ):
            identity = self.alert("east")
            worker = self.start_worker(url, OUTBOX_MAX_ATTEMPTS="1")
            row = self.wait_message(identity, 30, status="failed")
            self.assertIn(words, row["last_error"])
            worker.terminate()
            self.assertNotIn(self.broker.password, worker.log_text())

    def test_subscriptions_over_the_api(self):
        self.bind("api", "event.#")
        made = self.subscribe("rabbit", self.broker.url, headers={"X-City": "north"})
        self.assertEqual(made["sink"], self.broker.url.replace(urllib.parse.quote(self.broker.password, safe=""), "***"))
        self.start_worker("null:")
        identity = self.alert("east")
        ((_, properties, _),) = self.read("api", 1)
        self.assertEqual(properties.message_id, identity)
        self.assertEqual(properties.headers["cloudEvents_subscription"], "rabbit")
        self.assertEqual(properties.headers["X-City"], "north")
        for sink in ("amqp://10.0.0.1/", "amqps://127.0.0.1/", "amqp://127.0.0.1/a/b", "amqp://h?x=1"):
            self.assertEqual(
                [error["field"] for error in self.subscribe("x", sink, status=422)["errors"]], ["sink"], sink
            )


def openssl(*arguments, directory):
    subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True, timeout=60)


def make_authority(directory, name):
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subject = ["-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE"]
    files = ["-keyout", f"{name}.key", "-out", f"{name}.pem"]
    openssl("req", "-x509", *key, *subject, *files, "-days", "2", directory=directory)
    return os.path.join(directory, f"{name}.pem")


def make_certificate(directory, authority, host):
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "server.key"]
    openssl("req", "-new", *key, "-subj", f"/CN={host}", "-out", "server.csr", directory=directory)
    with open(os.path.join(directory, "server.ext"), "w") as file:
        file.write(f"subjectAltName = DNS:{host}\n")
    signer = ["-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-CAcreateserial", "-extfile", file.name]
    openssl("x509", "-req", "-in", "server.csr", *signer, "-out", "server.pem", "-days", "2", directory=directory)
    return os.path.join(directory, "server.pem"), os.path.join(directory, "server.key")


@unittest.skipIf(missing_rabbitmq(), missing_rabbitmq())
class AmqpsSinkTest(SubscriptionCase):
    """Over TLS: the broker's certificate is of an authority that the test made, and names localhost only."""

    @classmethod
    def setUpClass(cls):
        directory = tempfile.mkdtemp(prefix="polis-e2e-tls-")
        cls.addClassCleanup(shutil.rmtree, directory, ignore_errors=True)
        cls.trusted, cls.stranger = (make_authority(directory, name) for name in ("city", "stranger"))
        cls.broker = RabbitMq(tls=(cls.trusted, *make_certificate(directory, "city", "localhost")))
        cls.addClassCleanup(cls.broker.clean_up)

    def url(self, host):
        return self.broker.url.replace("amqp:", "amqps:").replace(
            self.broker.address, f"{host}:{self.broker.tls_port}"
        ) + "?queue=over.tls"

    def test_a_certificate_of_a_trusted_authority(self):
        identity = self.alert("east")
        self.start_worker(self.url("localhost"), SSL_CERT_FILE=self.trusted, SSL_CERT_DIR="/nowhere")
        self.wait_message(identity, 30, status="sent")
        with self.broker.client() as connection:
            _, properties, _ = connection.channel().basic_get("over.tls", auto_ack=True)
        self.assertEqual(properties.message_id, identity)

    def test_other_certificates_are_refused(self):
        # Issued by another authority, and for another host.
        for host, authority in (("localhost", self.stranger), ("127.0.0.1", self.trusted)):
            with self.subTest(host=host):
                identity = self.alert("east")
                worker = self.start_worker(
                    self.url(host), OUTBOX_MAX_ATTEMPTS="1", SSL_CERT_FILE=authority, SSL_CERT_DIR="/nowhere"
                )
                row = self.wait_message(identity, 30, status="failed")
                self.assertRegex(row["last_error"], "(?i)ssl|certificate|hostname")
                worker.terminate()
                self.assertNotIn(self.broker.password, worker.log_text())


if __name__ == "__main__":
    unittest.main()
