#!/usr/bin/env python3
"""What 1,000 followers of /events/stream cost the ingest: throughput without, with, without them, and so on.

The followers are one process of low priority that reads and drops what comes: in a city they are other machines. Their share of
this one is part of the figure, so it is an upper bound. Environment: BENCH_FOLLOWERS (1000), BENCH_SECONDS (8), BENCH_ROUNDS (3),
BENCH_RATE (events a second; 0 = as many as the API takes).
"""

import json
import multiprocessing
import os
import pathlib
import re
import selectors
import socket
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import harness  # noqa: E402

followers = int(os.environ.get("BENCH_FOLLOWERS", "1000"))
seconds = float(os.environ.get("BENCH_SECONDS", "8"))
rounds = int(os.environ.get("BENCH_ROUNDS", "3"))
rate = float(os.environ.get("BENCH_RATE", "0"))
senders = 2
connections_each = 16
batch = 10
niceness = 19


def follow(port, count, received, connected, stop):
    os.nice(niceness)
    selector = selectors.DefaultSelector()
    events = 0

    def open_one(last_id=None):
        connection = socket.create_connection(("127.0.0.1", port))
        header = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
        connection.sendall(f"GET /events/stream HTTP/1.1\r\nHost: p\r\n{header}\r\n".encode())
        connection.setblocking(False)
        selector.register(connection, selectors.EVENT_READ)

    for _ in range(count):
        open_one()
    connected.set()
    while not stop.is_set():
        for key, _ in selector.select(0.2):
            try:
                data = key.fileobj.recv(1 << 18)
            except OSError:
                data = b""
            if data:
                events += data.count(b"\nid: ") + data.startswith(b"id: ")
            else:
                selector.unregister(key.fileobj)
                key.fileobj.close()
        received.value = events


def send(port, until, sent, pace):
    """Closed loop over pipelined connections; `pace` seconds between requests where a rate is wanted."""
    body = json.dumps([{"bus_id": 7, "lat": 60.2, "lon": 24.9, "speed": 3.5, "route": "1"}] * batch).encode()
    head = f"POST /ingest/transport HTTP/1.1\r\nHost: p\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    request = head.encode() + body
    selector = selectors.DefaultSelector()
    for _ in range(connections_each):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(request)
        selector.register(connection, selectors.EVENT_READ)
    done, next_at = 0, time.monotonic()
    while time.monotonic() < until:
        for key, _ in selector.select(0.1):
            if not key.fileobj.recv(1 << 16).startswith(b"HTTP/1.1 200"):
                raise SystemExit("an answer other than 200")
            done += batch
            if pace:
                next_at += pace
                time.sleep(max(0.0, next_at - time.monotonic()))
            key.fileobj.sendall(request)
    sent.value = done


def ingest(port):
    until = time.monotonic() + seconds
    pace = senders * batch / rate if rate else 0
    counts = [multiprocessing.Value("q", 0) for _ in range(senders)]
    workers = [multiprocessing.Process(target=send, args=(port, until, count, pace)) for count in counts]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(count.value for count in counts) / seconds


def with_followers(port):
    received, connected, stop = multiprocessing.Value("q", 0), multiprocessing.Event(), multiprocessing.Event()
    process = multiprocessing.Process(target=follow, args=(port, followers, received, connected, stop))
    process.start()
    connected.wait(60)
    throughput = ingest(port)
    stop.set()
    process.join(30)
    return throughput, received.value


def ended(api):
    with api.client() as client:
        found = re.findall(r'event_stream_ended_total\{reason="slow"\} (\d+)', client.get("/metrics").body.decode())
    return int(found[0]) if found else 0


def main():
    database = harness.cluster().database()
    api = harness.Api(database, EVENT_STREAM_FOLLOWERS_MAX=followers).ready()
    try:
        ingest(api.port)  # warm
        off, on, delivered = [], [], 0
        for _ in range(rounds):
            off.append(ingest(api.port))
            throughput, received = with_followers(api.port)
            on.append(throughput)
            delivered += received
            print(f"without {off[-1]:,.0f} events/s, with {followers} followers {on[-1]:,.0f}, "
                  f"handed out {received / seconds:,.0f} a second", flush=True)  # fmt: skip
        off.append(ingest(api.port))
        cost = 1 - statistics.median(on) / statistics.median(off)
        print(f"cost {cost:.1%} (median of {rounds}; without: {min(off):,.0f} .. {max(off):,.0f}), "
              f"{ended(api)} followers cut as too slow")  # fmt: skip
    finally:
        api.clean_up()


if __name__ == "__main__":
    main()
