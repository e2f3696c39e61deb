#!/usr/bin/env python3
"""What the sinks promise, as ratios of two things that ran one after the other: `make bench-sinks`.

1. kafka: the Kafka sink and librdkafka's own rdkafka_performance, same library, settings and broker. Floor 0.60.
2. dead: the throughput of nine destinations beside a tenth that is dead, and of nine alone. Floor 0.95.
3. replay: the api's p99 while 10,000 dead letters are replayed, and before. Ceiling 2.

    python3 tests/bench/sinks_bench.py [--only kafka dead replay] [--rounds 3]

rdkafka_performance is not packaged: its source comes with the npm package node-rdkafka, in the version whose librdkafka is
Debian 12's (2.0.2), and is linked with the system's library. Exit code 1 when a figure misses its bound.
"""

import argparse
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tarfile
import time
import urllib.request

root = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root / "tests/e2e"))
os.environ.setdefault("POLIS_BIN_DIR", str(root / "build/release/bin"))

import brokers  # noqa: E402
from harness import Api, Worker, cluster  # noqa: E402
from lab import cpu_seconds  # noqa: E402
from programs import bin_dir, wait_until  # noqa: E402
from sink import Answer, RecordingSink  # noqa: E402

bench_bin_dir = bin_dir.parent / "tests/bench"
tools_dir = root / "build/bench/rdkafka"
node_rdkafka = "node-rdkafka@2.15.0"

kafka_messages, kafka_payload_bytes, kafka_in_flight = 200_000, 200, 10_000
dead_backlog_events = 5_000  # two messages each
replay_letters = 10_000
load_per_second, load_seconds, load_connections = 200, 8, 8

# rdkafka_performance includes a header that the build of librdkafka would make.
config_header = """
#define HAVE_ATOMICS_32 1
#define HAVE_ATOMICS_64 1
#define ATOMIC_OP32(OP1, OP2, PTR, VAL) __atomic_##OP1##_##OP2(PTR, VAL, __ATOMIC_SEQ_CST)
#define ATOMIC_OP64(OP1, OP2, PTR, VAL) __atomic_##OP1##_##OP2(PTR, VAL, __ATOMIC_SEQ_CST)
"""


def say(text=""):
    print(text, flush=True)


class Figures:
    def __init__(self):
        self.missed = 0

    def report(self, name, ratios, bound, is_floor=True):
        median = statistics.median(ratios)
        reached = median >= bound if is_floor else median <= bound
        self.missed += not reached
        word = "floor" if is_floor else "ceiling"
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        say(f"   {name}: {median:.2f} ({spread}), {word} {bound:.2f}: {'reached' if reached else 'MISSED'}")


# ---- 1. Kafka -----------------------------------------------------------------------------------------------------


def rdkafka_performance():
    """The compiled tool; fetched and built once."""
    tool = tools_dir / "rdkafka_performance"
    if tool.exists():
        return tool
    tools_dir.mkdir(parents=True, exist_ok=True)
    subprocess.run(["npm", "pack", "--silent", node_rdkafka], cwd=tools_dir, check=True, stdout=subprocess.DEVNULL)
    (package,) = tools_dir.glob("node-rdkafka-*.tgz")
    with tarfile.open(package) as archive:
        wanted = [m for m in archive.getmembers() if re.match(r"package/deps/librdkafka/(src|examples)/[^/]+\.[ch]$", m.name)]
        archive.extractall(tools_dir, wanted)
    source = tools_dir / "package/deps/librdkafka"
    (source / "config.h").write_text(config_header)
    command = ["gcc", "-O2", "-w", "-D_GNU_SOURCE", "-I", "src", "examples/rdkafka_performance.c", "-o", tool]
    subprocess.run([*command, "-lrdkafka", "-lpthread", "-lm"], cwd=source, check=True)
    return tool


def run_performance(tool, kafka, topic):
    event = "/polis/events/00000000-0000-0000-0000-000000000000"
    headers = {
        "content-type": "application/json", "ce_specversion": "1.0", "ce_id": event[-36:], "ce_type": "event.bench",
        "ce_source": event, "ce_time": "2026-01-01T00:00:00.000Z",
    }  # fmt: skip
    settings = {
        "enable.idempotence": "true", "linger.ms": "2", "queue.buffering.max.messages": kafka_in_flight,
        "message.timeout.ms": 60000,
    }  # fmt: skip
    command = [tool, "-P", "-b", kafka.address, "-t", topic, "-c", kafka_messages, "-s", kafka_payload_bytes, "-k", "key", "-D"]
    for name, value in headers.items():
        command += ["-H", f"{name}={value}"]
    for name, value in settings.items():
        command += ["-X", f"{name}={value}"]
    started = time.monotonic()
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
    taken = time.monotonic() - started
    text = result.stdout + result.stderr
    found = re.findall(r"(\d+) messages delivered \((\d+) failed\).*?(\d+) msgs/s", text, re.DOTALL)
    if result.returncode != 0 or (found and int(found[-1][1])):
        raise RuntimeError(f"rdkafka_performance failed: {text[-2000:]}")
    return kafka_messages / taken


def run_kafka_sink(kafka, topic):
    command = [bench_bin_dir / "bench-kafka-sink", kafka.address, topic, kafka_messages, kafka_payload_bytes, kafka_in_flight]
    started = time.monotonic()
    subprocess.run([str(part) for part in command], capture_output=True, check=True, timeout=300)
    return kafka_messages / (time.monotonic() - started)


def bench_kafka(figures, rounds):
    missing = brokers.missing_tools()
    if missing:
        return say(f"1. kafka: not measured, {missing}")
    say(f"1. kafka: {kafka_messages} messages of {kafka_payload_bytes} bytes, one partition, idempotent, linger 2 ms,")
    say(f"   six headers, at most {kafka_in_flight} under way; whole processes, start included")
    tool = rdkafka_performance()
    kafka = brokers.Kafka(partitions=1)
    ratios = []
    try:
        run_kafka_sink(kafka, kafka.create_topic("warm-up"))
        for number in range(rounds):
            theirs = run_performance(tool, kafka, kafka.create_topic(f"theirs-{number}"))
            ours = run_kafka_sink(kafka, kafka.create_topic(f"ours-{number}"))
            ratios.append(ours / theirs)
            say(f"   round {number + 1}: rdkafka_performance {theirs:,.0f}/s, sink {ours:,.0f}/s")
    finally:
        kafka.clean_up()
    figures.report("sink to rdkafka_performance", ratios, 0.60)


# ---- 2. one dead destination among ten ------------------------------------------------------------------------------


class FastSink:
    def __init__(self):
        self.process = subprocess.Popen([str(bin_dir / "fast-sink")], stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}/event"

    def close(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


def post(api, path, body, method="POST"):
    request = urllib.request.Request(
        f"http://127.0.0.1:{api.port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.loads(response.read() or b"null")


def fill(api, events):
    for start in range(0, events, 500):
        post(api, "/ingest/health", [{"patient_id": start + i, "alert": "emergency", "location": "x"} for i in range(500)])


def time_of_nine(database, api, sink_url, dead_url, name):
    """Until nine subscriptions have the backlog: seconds from the first message on, and the worker's CPU seconds."""
    urls = [sink_url] * 9 + ([dead_url] if dead_url else [])
    names = [f"{name}-{number}" for number in range(len(urls))]
    for subscription, url in zip(names, urls):
        post(api, "/subscriptions", {"name": subscription, "sink": url, "start": "beginning", "in_flight_max": 16})
    healthy = ",".join(f"'{each}'" for each in names[:9])
    progress = (
        "select sum(c.acked_seq) as sum, bool_and(c.acked_seq >= coalesce(m.seq, 0)) as all from lane_cursors c"
        f" join subscriptions s on s.id = c.subscription_id and s.name in ({healthy})"
        " left join (select lane, max(seq) as seq from outbox group by lane) m using (lane)"
    )
    # With the waits of a shipped worker: those of the tests would hammer a destination that refuses.
    settings = {"OUTBOX_RETRY_BASE_SECONDS": 1, "OUTBOX_POLL_SECONDS": 1}
    worker = Worker(database, "null:", OUTBOX_ALLOWED_NETWORKS="127.0.0.0/8", **settings)
    try:
        wait_until(lambda: database.rows(progress)[0]["sum"], 30, "it starts", poll=0.02)
        started = time.monotonic()
        wait_until(lambda: database.rows(progress)[0]["all"], 120, "nine have everything", poll=0.02)
        return time.monotonic() - started, cpu_seconds(worker.pid)
    finally:
        worker.terminate()
        worker.clean_up()
        for subscription in names:
            database.execute(f"delete from subscriptions where name = '{subscription}'")


def bench_dead(figures, rounds):
    say(f"2. dead: {2 * dead_backlog_events} messages to each of nine, alone and beside a tenth that is dead")
    database = cluster().database()
    api = Api(database, OUTBOX_ALLOWED_NETWORKS="127.0.0.0/8", DERIVED_DEDUPE_WINDOW_SECONDS=0).ready()
    sink = FastSink()
    silent = socket.create_server(("127.0.0.1", 0), backlog=512)  # connects, and never answers
    refusing = socket.create_server(("127.0.0.1", 0))
    dead = {"refuses": f"http://127.0.0.1:{refusing.getsockname()[1]}/", "never answers": f"http://127.0.0.1:{silent.getsockname()[1]}/"}
    refusing.close()
    ratios = {kind: [] for kind in dead}
    cpu_ratios = {kind: [] for kind in dead}
    try:
        fill(api, dead_backlog_events)
        time_of_nine(database, api, sink.url, None, "warm")
        for number in range(rounds):
            for kind, url in dead.items():
                alone, alone_cpu = time_of_nine(database, api, sink.url, None, f"alone{number}")
                beside, beside_cpu = time_of_nine(database, api, sink.url, url, f"beside{number}")
                ratios[kind].append(alone / beside)
                cpu_ratios[kind].append(alone_cpu / beside_cpu)
                say(
                    f"   round {number + 1}: alone {alone:.2f} s (CPU {alone_cpu:.2f} s),"
                    f" beside one that {kind} {beside:.2f} s (CPU {beside_cpu:.2f} s)"
                )
    finally:
        silent.close()
        sink.close()
        api.clean_up()
    for kind, found in cpu_ratios.items():
        say(f"   CPU of the worker, alone to beside one that {kind}: {statistics.median(found):.2f}")
    for kind, found in ratios.items():
        figures.report(f"throughput of nine beside one that {kind}", found, 0.95)


# ---- 3. replay ------------------------------------------------------------------------------------------------------


def p99(api, run):
    command = [bench_bin_dir / "bench-open-loop", api.port, run, load_per_second, load_seconds, load_connections]
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True, timeout=60)
    measured = json.loads(result.stdout.splitlines()[-1])
    if measured["bad"]:
        raise RuntimeError(f"{measured['bad']} requests failed")
    return next(value for name, value in measured.items() if name.startswith("p99") and "9_" not in name[3:])


def bench_replay(figures, rounds):
    say(f"3. replay: {replay_letters} dead letters; p99 of {load_per_second} POST/s, open loop, over {load_seconds} s")
    database = cluster().database()
    api = Api(database, OUTBOX_ALLOWED_NETWORKS="127.0.0.0/8", DERIVED_DEDUPE_WINDOW_SECONDS=0).ready()
    state = {"status": 422}
    sink = RecordingSink(lambda headers, body: Answer(state["status"]))
    ratios = []
    try:
        fill(api, replay_letters // 2)
        topics = ["event.transport", "event.security"]
        post(api, "/subscriptions", {"name": "letters", "sink": sink.url, "start": "beginning", "topics": topics})
        letters = "select count(*) as n from dead_letters where replayed_at is null"
        worker = Worker(database, "null:", OUTBOX_ALLOWED_NETWORKS="127.0.0.0/8")
        try:
            wait_until(lambda: database.value(letters) >= replay_letters, 300, "dead letters", poll=0.5)
            # Nothing new for the subscription: the load's own messages are not what is measured.
            database.execute("update subscriptions set topics = '{none}', revision = revision + 1 where name = 'letters'")
            for number in range(rounds):
                before = p99(api, 2 * number + 1)
                # They die again each time, so that the next round has them, too.
                replayed = post(api, "/outbox/replays", {"subscription": "letters"})["replayed"]
                during = p99(api, 2 * number + 2)
                left = replay_letters - database.value(letters)
                say(f"   round {number + 1}: p99 {before:.2f} ms, while {replayed} are replayed {during:.2f} ms ({left} were left)")
                wait_until(lambda: database.value(letters) >= replay_letters, 300, "they are dead again", poll=0.5)
                ratios.append(during / before)
        finally:
            worker.terminate()
            worker.clean_up()
    finally:
        sink.close()
        api.clean_up()
    figures.report("p99 during to before", ratios, 2.0, is_floor=False)


def main():
    sections = {"kafka": bench_kafka, "dead": bench_dead, "replay": bench_replay}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sections, default=list(sections))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    figures = Figures()
    for name in options.only:
        sections[name](figures, options.rounds)
    return 1 if figures.missed else 0


if __name__ == "__main__":
    sys.exit(main())
