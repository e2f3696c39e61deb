#!/usr/bin/env python3
"""How fast polis-consumer takes a topic in, beside what it could be and what one would write instead.

    make bench-consumer                                     # or: python3 tests/bench/consumer_bench.py --events 200000

In rounds, on one machine, one broker (Apache Kafka's own server) and one kind of private PostgreSQL:
  writer     the event log's writer alone (load/writer.cpp): what the same events cost without Kafka, JSON and offsets
  consumer   one polis-consumer on a topic that is full, from its first stored batch to its last message
  python     confluent-kafka and the baseline's transaction for each message (baseline/consume.py), on the same topic

The events are those of the other benches (README.md): a quarter each of four services, half of them with a dedupe key,
three quarters of an event derived from each on average. Floors: 60 % of the writer, 20 times Python. What counts is the
median of the ratios of the rounds. Writes build/bench/consumer.json; exits 1 where a floor is missed.
"""

import argparse
import json
import pathlib
import statistics
import sys
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

import brokers
from figures import clusters
from lab import Program, bench_bin_dir, bin_dir, free_port, here, last_json, out_dir, output, timed
from subjects import python_environment

writer_floor = 0.6
python_floor = 20.0
python_seconds = 8
start_seconds = 60
topic = "bench"

produce_code = """
import sys
from confluent_kafka import Producer
from producer_mix import messages
producer = Producer({"bootstrap.servers": sys.argv[1], "queue.buffering.max.messages": 1000000, "linger.ms": 50})
for key, value, headers in messages(int(sys.argv[3])):
    producer.produce(sys.argv[2], value, key, headers=headers)
    producer.poll(0)
producer.flush()
"""


def stored_messages(port):
    """What the consumer has committed so far, and when it was asked."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    found = [line for line in lines if line.startswith("consumer_messages_total{")]
    other = [line for line in found if 'outcome="stored"' not in line and not line.endswith(" 0")]
    if other:
        raise RuntimeError(f"not everything was stored: {other}")
    return sum(float(line.rpartition(" ")[2]) for line in found), time.monotonic()


class Bench:
    def __init__(self, kafka, cluster, baseline, events):
        self.kafka, self.cluster, self.baseline, self.events = kafka, cluster, baseline, events
        self.runs = 0

    def say(self, what, rate, cpu):
        print(f"  {what:9} {rate:10,.0f} events/s   {cpu * 1e6:6.1f} us CPU an event, of itself alone", flush=True)
        return {"rate": rate, "cpu_us": cpu * 1e6}

    def empty(self):
        """A database as new: the cost of a row must not depend on who came first."""
        self.runs += 1
        name = f"run{self.runs}"
        self.cluster.sql(f"CREATE DATABASE {name}")
        head, _, rest = self.cluster.url.partition("?")
        url = head.rpartition("/")[0] + "/" + name + (f"?{rest}" if rest else "")
        timed(bin_dir / "polis-migrate", "up", DATABASE_URL=url)
        self.cluster.sql("CHECKPOINT")
        return url

    def writer(self):
        found = last_json(timed(bench_bin_dir / "bench-writer", self.empty(), self.runs, self.events)[0])
        return self.say("writer", found["events"] / found["seconds"], found["cpu_seconds"] / found["events"])

    def consumer(self):
        port = free_port()
        program = Program(
            bin_dir / "polis-consumer", DATABASE_URL=self.empty(), KAFKA_BOOTSTRAP_SERVERS=self.kafka.address,
            KAFKA_TOPICS=f"{topic}=header:service", KAFKA_GROUP_ID=f"bench-{self.runs}", ADMIN_PORT=port, LOG_LEVEL="warning",
        )  # fmt: skip
        try:
            program.wait_for(f"http://127.0.0.1:{port}/healthz")
            first = self.wait_for(program, port, 1)
            cpu = program.cpu_seconds()
            last = self.wait_for(program, port, self.events)
            events = last[0] - first[0]
            return self.say("consumer", events / (last[1] - first[1]), (program.cpu_seconds() - cpu) / events)
        finally:
            program.stop()

    def wait_for(self, program, port, count):
        deadline = time.monotonic() + start_seconds + self.events / 1000
        while True:
            sample = stored_messages(port)
            if sample[0] >= count:
                return sample
            if program.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the consumer stands at {sample[0]:.0f}, see {program.log}")
            time.sleep(0.05)

    def python(self):
        python = python_environment() / "bin/python"
        self.runs += 1
        url = self.baseline.url.replace("postgresql://", "postgresql+psycopg2://")
        command = [python, here / "baseline/consume.py", self.kafka.address, topic, f"python-{self.runs}", python_seconds]
        found = last_json(timed(*command, cwd=here / "baseline", DATABASE_URL=url, PYTHONDONTWRITEBYTECODE=1)[0])
        return self.say("python", found["messages"] / found["seconds"], found["cpu_seconds"] / found["messages"])


def measure(events, rounds):
    kafka = brokers.Kafka()
    kafka.create_topic(topic)
    python = python_environment() / "bin/python"
    output(python, "-c", produce_code, kafka.address, topic, events, cwd=here / "load")
    samples = []
    with clusters("consumer", "consumer-baseline") as (cluster, baseline):
        bench = Bench(kafka, cluster, baseline, events)
        for number in range(1, rounds + 1):
            print(f"round {number}", flush=True)
            samples.append({"writer": bench.writer(), "consumer": bench.consumer(), "python": bench.python()})
    return samples


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000, help="messages in the topic (default 100000)")
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    out_dir.mkdir(parents=True, exist_ok=True)
    samples = measure(wanted.events - wanted.events % 100, wanted.rounds)
    figures = {}
    reached = True
    for other, floor in (("writer", writer_floor), ("python", python_floor)):
        ratios = sorted(sample["consumer"]["rate"] / sample[other]["rate"] for sample in samples)
        figures[other] = {"floor": floor, "ratios": ratios, "median": statistics.median(ratios)}
        good = figures[other]["median"] >= floor
        reached = reached and good
        print(f"consumer / {other}: {figures[other]['median']:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), "
              f"floor {floor:g}: {'reached' if good else 'MISSED'}")  # fmt: skip
    (out_dir / "consumer.json").write_text(json.dumps({"samples": samples, "figures": figures}, indent=1))
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
