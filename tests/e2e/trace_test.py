"""W3C Trace Context: in with a request or a message, stored with the event, out with every delivery."""

import json
import unittest

from consumer_case import ConsumerTest
from harness import wait_until

parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
other = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
state = "vendor=1,city=2"
alarm = {"energy": 600, "neighborhood": "north"}


class Trace(ConsumerTest):
    def stored(self, service="energy"):
        return self.database.rows(
            f"select traceparent, tracestate, payload from events where service = '{service}' and id = family_base(id)"
        )

    def deliver(self, count):
        sink = self.start_sink()
        self.start_worker(sink.url)
        wait_until(lambda: len(sink.deliveries) >= count, 30, f"{count} deliveries")
        return sink.deliveries

    def test_from_a_request_to_a_webhook(self):
        client = self.open_client(self.start_api())
        self.ingest(client, "energy", alarm, traceparent=parent, tracestate=state)
        self.ingest(client, "energy", {**alarm, "neighborhood": "south"}, traceparent="not one", tracestate=state)
        found = {row["payload"]["neighborhood"]: (row["traceparent"], row["tracestate"]) for row in self.stored()}
        self.assertEqual(found, {"north": (parent, state), "south": (None, None)})
        sent = {each.json()["neighborhood"]: each.headers for each in self.deliver(2)}
        self.assertEqual((sent["north"]["traceparent"], sent["north"]["tracestate"]), (parent, state))
        self.assertNotIn("traceparent", sent["south"])
        self.assertNotIn("tracestate", sent["south"])

    def test_of_a_batch_and_of_cloud_events(self):
        client = self.open_client(self.start_api())
        self.ingest(client, "a", [{"n": 1}, {"n": 2}], traceparent=parent)
        self.assertEqual({row["traceparent"] for row in self.stored("a")}, {parent})
        event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"n": 1}, "traceparent": other}
        self.send_cloud_event(client, "b", event)
        self.send_cloud_event(client, "c", event, traceparent=parent)
        self.assertEqual([row["traceparent"] for row in self.stored("b")], [other])
        self.assertEqual([row["traceparent"] for row in self.stored("c")], [parent])

    def send_cloud_event(self, client, service, event, **headers):
        headers["Content-Type"] = "application/cloudevents+json"
        answer = client.post_raw(f"/ingest/{service}", json.dumps(event).encode(), headers)
        self.assertEqual(answer.status, 200, answer)

    def test_from_kafka_to_kafka(self):
        topic, target = self.topic(), self.topic("-out")
        self.kafka.produce(topic, json.dumps(alarm).encode(), headers=[("traceparent", parent), ("tracestate", state)])
        self.start_consumer(f"{topic}=energy")
        self.wait_stored(1, service="energy")
        (row,) = self.stored()
        self.assertEqual((row["traceparent"], row["tracestate"]), (parent, state))
        self.start_worker(f"kafka:{target}", KAFKA_BOOTSTRAP_SERVERS=self.kafka.address)
        wait_until(lambda: self.kafka.messages(target), 30, "the message", poll=0.2)
        (message,) = self.kafka.messages(target)
        headers = dict(zip(message["headers"][::2], message["headers"][1::2]))
        self.assertEqual((headers["traceparent"], headers["tracestate"]), (parent, state))

    def test_what_is_sent_again_has_it_still(self):
        client = self.open_client(self.start_api(INGEST_VALIDATION="strict"))
        refused = client.post_json("/ingest/energy", {"energy": "much"}, {"traceparent": parent})
        self.assertEqual(refused.status, 422)
        lenient = self.open_client(self.start_api())
        path = f"/quarantine/{refused.json()['quarantine_id']}/retry"
        self.assertEqual(lenient.request("POST", path).status, 200)
        self.assertEqual([row["traceparent"] for row in self.stored()], [parent])


if __name__ == "__main__":
    unittest.main()
