#!/usr/bin/env python3
"""Replays real city records (tests/data/city-events.jsonl) through HTTP and shows what became of them.

Every record carries a key, so a second run changes nothing: all answers are replays of the first.
"""

import argparse
import collections
import http.client
import itertools
import json
import pathlib
import queue
import shutil
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

default_data = pathlib.Path(__file__).resolve().parents[1] / "data/city-events.jsonl"
default_url = "http://127.0.0.1:8000"
services = ["transport", "energy", "health", "security"]

batch_items = 100
single_every = 10  # every tenth record travels alone, the others in batches
request_timeout_seconds = 30.0
tries = 8  # of one request: a restart of the system takes a few seconds
pause_seconds = 0.5  # between two tries
delivery_wait_seconds = 20.0
plain_steps = 10  # progress lines when the output is not a terminal


class Fault(Exception):
    """Something the user can mend; shown without a traceback."""


class Connection:
    """One keep-alive connection that repeats what was not answered: the keys make that safe."""

    def __init__(self, url):
        self.url, self.parts, self.connection = url, urlsplit(url), None

    def request(self, method, path, body=None, headers=None):
        last = None
        for number in range(tries):
            if number:
                time.sleep(pause_seconds)
            try:
                status, text, replayed = self._once(method, path, body, headers or {})
            except (OSError, http.client.HTTPException) as fault:
                last = str(fault) or type(fault).__name__
                self.close()
                continue
            if status != 503:
                answer = json.loads(text)
                if replayed:
                    answer["replayed"] = True  # a header for one event, a field for an item of a batch
                return status, answer
            last = "503, the system is busy or not ready"
        raise Fault(f"{self.url} does not answer any more: {last}")

    def _once(self, method, path, body, headers):
        if self.connection is None:
            kind = http.client.HTTPSConnection if self.parts.scheme == "https" else http.client.HTTPConnection
            self.connection = kind(self.parts.hostname, self.parts.port, timeout=request_timeout_seconds)
        self.connection.request(method, self.parts.path.rstrip("/") + path, body=body, headers=headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read(), answer.getheader("Idempotent-Replayed") == "true"

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Record:
    def __init__(self, number, line):
        fields = json.loads(line)
        self.key = f"city-{number}"
        self.service, self.time, self.payload = fields["service"], fields["occurred_at"], fields["payload"]

    def headers(self):
        return {
            "Content-Type": "application/json",
            "ce-specversion": "1.0",
            "ce-id": self.key,
            "ce-source": "/city-events",
            "ce-type": f"city.{self.service}",
            "ce-time": self.time,
        }

    def envelope(self):
        return {
            "specversion": "1.0",
            "id": self.key,
            "source": "/city-events",
            "type": f"city.{self.service}",
            "time": self.time,
            "datacontenttype": "application/json",
            "data": self.payload,
        }


class Totals:
    """What came back, by service. Shared by the senders."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = collections.defaultdict(collections.Counter)
        self.with_derived = []
        self.requests = collections.Counter()
        self.first_refusal = None

    def add(self, record, answer, replayed):
        with self.lock:
            row = self.counts[record.service]
            row["sent"] += 1
            if "error" in answer:
                row["refused"] += 1
                self.first_refusal = self.first_refusal or f"{record.key}: {answer['error']}"
                return
            suppressed = answer.get("suppressed", [])
            if replayed:
                row["replayed"] += 1
            else:
                row["stored"] += 1
                row["derived"] += len(answer["derived_events"]) - len(suppressed)
                row["suppressed"] += len(suppressed)
            if len(answer["derived_events"]) > len(suppressed):
                self.with_derived.append(answer["stored_event_id"])

    def sent(self):
        with self.lock:
            return sum(row["sent"] for row in self.counts.values())


def read_records(path, limit):
    try:
        with open(path, encoding="utf-8") as lines:
            return [Record(number, line) for number, line in enumerate(itertools.islice(lines, limit), 1)]
    except OSError as fault:
        raise Fault(f"cannot read {path}: {fault.strerror}") from None


def plan(records):
    """Requests in the order of the file: single events, and batches of one service each."""
    waiting = collections.defaultdict(list)
    for index, record in enumerate(records):
        if index % single_every == 0:
            yield [record]
            continue
        batch = waiting[record.service]
        batch.append(record)
        if len(batch) == batch_items:
            yield waiting.pop(record.service)
    yield from waiting.values()


def send(connection, records, totals):
    if len(records) == 1:
        body, headers = json.dumps(records[0].payload), records[0].headers()
    else:
        body, headers = json.dumps([record.envelope() for record in records]), {
            "Content-Type": "application/cloudevents-batch+json"
        }
    status, answer = connection.request("POST", f"/ingest/{records[0].service}", body, headers)
    if status == 404:
        raise Fault(f"{connection.url} does not know /ingest/{records[0].service}: is that Polis?")
    results = answer.get("results", [answer if status == 200 else {"error": answer}] * len(records))
    with totals.lock:
        totals.requests["batch" if len(records) > 1 else "single"] += 1
    for record, result in zip(records, results):
        totals.add(record, result, result.get("replayed", False))


class Senders:
    """A few connections that empty one queue."""

    def __init__(self, url, requests, totals, count):
        self.url, self.totals, self.fault = url, totals, None
        self.requests = queue.SimpleQueue()
        for one in requests:
            self.requests.put(one)
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(count)]

    def _run(self):
        connection = Connection(self.url)
        try:
            while self.fault is None:
                send(connection, self.requests.get_nowait(), self.totals)
        except queue.Empty:
            pass
        except Fault as fault:
            self.fault = fault
        except Exception as fault:
            self.fault = Fault(f"unexpected answer of {self.url}: {fault!r}")
        finally:
            connection.close()

    def run(self, progress):
        for thread in self.threads:
            thread.start()
        while any(thread.is_alive() for thread in self.threads):
            self.threads[0].join(0.1) if self.threads[0].is_alive() else time.sleep(0.05)
            progress.show(self.totals.sent())
        if self.fault:
            raise self.fault


class Progress:
    """A bar on a terminal; a line for every tenth part elsewhere."""

    def __init__(self, label, total):
        self.label, self.total, self.start = label, max(total, 1), time.monotonic()
        self.terminal = sys.stdout.isatty()
        self.step = 0

    def show(self, done):
        rate = done / max(time.monotonic() - self.start, 0.001)
        if self.terminal:
            width = max(10, min(50, shutil.get_terminal_size().columns - 50))
            filled = width * done // self.total
            print(
                f"\r{self.label} [{'#' * filled}{'.' * (width - filled)}] {done:6d}/{self.total}  {rate:7.0f}/s",
                end="",
                flush=True,
            )
        elif done * plain_steps // self.total > self.step:
            self.step = done * plain_steps // self.total
            print(f"{self.label} {done}/{self.total} ({rate:.0f}/s)", flush=True)

    def end(self):
        if self.terminal:
            print()


def delivery_states(connection, identities):
    """Status counts of all deliveries of these events, and the events that still wait."""
    counts, waiting = collections.Counter(), []
    for identity in identities:
        status, event = connection.request("GET", f"/events/{identity}")
        if status != 200:
            raise Fault(f"GET /events/{identity} answered {status}")
        states = [delivery["status"] for delivery in event["deliveries"]]
        counts.update(states)
        if "pending" in states:
            waiting.append(identity)
    return counts, waiting


def wait_for_deliveries(url, identities):
    """Asks for every event that derived something until nothing is pending or the patience ends."""
    connection = Connection(url)
    progress = Progress("deliver", len(identities))
    final, waiting = collections.Counter(), identities
    deadline = time.monotonic() + delivery_wait_seconds
    try:
        while waiting:
            counts, still = delivery_states(connection, waiting)
            progress.show(len(identities) - len(still))
            if not still or time.monotonic() > deadline or still_the_same(still, waiting, deadline):
                final.update(counts)
                break
            done = set(waiting) - set(still)
            if done:
                final.update(delivery_states(connection, [one for one in waiting if one in done])[0])
            waiting = still
            time.sleep(0.2)
        return final
    finally:
        progress.end()
        connection.close()


def still_the_same(still, waiting, deadline):
    """Without a worker nothing moves: half the patience is enough then."""
    return len(still) == len(waiting) and time.monotonic() > deadline - delivery_wait_seconds / 2


def messages_in_database(database_url):
    result = subprocess.run(
        [
            "psql",
            "-X",
            "-A",
            "-t",
            "-F",
            " ",
            "-d",
            database_url,
            "-c",
            "select status, count(*) from outbox_messages group by status",
        ],
        capture_output=True,
        text=True,
    )
    if result.returncode != 0:
        raise Fault(f"psql: {result.stderr.strip()}")
    return {line.split()[0]: int(line.split()[1]) for line in result.stdout.splitlines() if line.strip()}


def check_listening(url):
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Fault(f"not an http URL: {url}")
    connection = Connection(url)
    try:
        status, _, _ = connection._once("GET", "/health", None, {})
    except (OSError, http.client.HTTPException) as fault:
        raise Fault(
            f"nothing listens at {url} ({fault}).\nStart the system in another terminal with `make run`, or name its address: "
            "python3 tests/demo/replay.py http://host:port"
        ) from None
    finally:
        connection.close()
    if status != 200:
        raise Fault(f"{url}/health answered {status}: is that Polis?")


def print_table(totals, seconds):
    columns = ["sent", "stored", "replayed", "derived", "suppressed", "refused"]
    line = "+-----------+" + "------------+" * len(columns)
    names = [name for name in services if name in totals.counts] + sorted(set(totals.counts) - set(services))
    total = collections.Counter()
    print(f"\n{line}\n| service   |" + "".join(f" {name:>10} |" for name in columns) + f"\n{line}")
    for name in names:
        row = totals.counts[name]
        total.update(row)
        print(f"| {name:<9} |" + "".join(f" {row[column]:>10,} |" for column in columns))
    print(f"{line}\n| total     |" + "".join(f" {total[column]:>10,} |" for column in columns) + f"\n{line}")
    requests = totals.requests
    print(
        f"{total['sent']:,} events in {seconds:.1f} s = {total['sent'] / max(seconds, 0.001):,.0f} events/s "
        f"({requests['single']:,} single requests, {requests['batch']:,} batches)"
    )
    if totals.first_refusal:
        print(f"first refusal: {totals.first_refusal}")
    if total["sent"] and total["replayed"] == total["sent"]:
        print(
            "All of them were stored by an earlier run: every answer is a replay of the first, nothing was written."
        )


def print_deliveries(counts):
    if not counts:
        print("deliveries: none")
        return
    print(
        f"deliveries: {counts.get('sent', 0):,} delivered, {counts.get('pending', 0):,} pending, {counts.get('failed', 0):,} failed"
    )
    if counts.get("pending"):
        print(
            "Pending messages wait for a worker: `make run` starts one; alone it is build/release/bin/polis-outbox-worker."
        )


def print_next(url, example):
    print(f"""
Three things to try next:
  curl '{url}/events?service=security&limit=3'
  curl '{url}/ingest/health' -H 'Content-Type: application/json' -d '{{"patient_id":123,"alert":"emergency","location":"downtown"}}'
  curl '{url}/events/{example}'     # one event, what was derived from it, and where that was delivered""")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", nargs="?", default=default_url, help=f"where Polis listens (default {default_url})")
    parser.add_argument(
        "--data", default=default_data, help="a JSON Lines file of {service, occurred_at, payload}"
    )
    parser.add_argument("--limit", type=int, help="only the first records of the file")
    parser.add_argument("--connections", type=int, default=4, help="connections to send on (default 4)")
    parser.add_argument("--database-url", help="count the messages of the whole database with psql as well")
    return parser.parse_args()


def main():
    options = arguments()
    url = options.url.rstrip("/")
    check_listening(url)
    records = read_records(options.data, options.limit)
    totals, progress = Totals(), Progress("replay ", len(records))
    started = time.monotonic()
    try:
        Senders(url, plan(records), totals, max(1, options.connections)).run(progress)
    finally:
        progress.end()
    seconds = time.monotonic() - started
    deliveries = wait_for_deliveries(url, totals.with_derived)
    print_table(totals, seconds)
    print_deliveries(deliveries)
    if options.database_url:
        print(f"messages in the database: {messages_in_database(options.database_url)}")
    print_next(url, totals.with_derived[-1] if totals.with_derived else "ID")
    return 1 if any(row["refused"] for row in totals.counts.values()) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Fault as fault:
        print(f"replay: {fault}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("\nreplay: stopped; run it again to go on, what was stored stays", file=sys.stderr)
        sys.exit(130)
