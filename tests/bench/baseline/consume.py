"""The usual way to take events from Kafka: confluent-kafka, and the baseline's own transaction for each message.

    python consume.py BROKER TOPIC GROUP SECONDS        (DATABASE_URL in the environment)

Prints {"messages", "seconds", "cpu_seconds"}, counted from the first message on.
"""

import json
import sys
import time

from app import Base, engine, ingest, new_session
from confluent_kafka import Consumer


def main(broker, topic, group, seconds):
    Base.metadata.create_all(engine)
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": True}
    )
    consumer.subscribe([topic])
    begin = cpu = None
    messages = 0
    while begin is None or time.monotonic() - begin < seconds:
        message = consumer.poll(1.0)
        if message is None or message.error():
            continue
        if begin is None:
            begin, cpu = time.monotonic(), time.process_time()
        headers = dict(message.headers() or [])
        with new_session() as session:
            ingest(headers["service"].decode(), json.loads(message.value()), headers.get("message-id", b"").decode(), session)
        messages += 1
    spent = {"seconds": time.monotonic() - begin, "cpu_seconds": time.process_time() - cpu}
    consumer.close()
    print(json.dumps({"messages": messages, **spent}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
