#!/usr/bin/env python3
"""How exact polis-propagator is, and what its measuring costs.

1. Ticks: a period of 1 s over 60 ticks against a receiver that sleeps three periods.
2. Rate: 20,000 requests/s against a bare sink; CPU of generator and sink, and the share of it that measuring takes.
3. Agreement: the same load from vegeta (VEGETA=path; https://github.com/tsenart/vegeta, an open-loop tool in Go),
   against the bare sink and against one whose p50 and p99 are known beforehand.

Nothing here decides about success: a shared machine is no measuring room. What is printed is what was measured.
"""

import argparse
import http.server
import json
import os
import pathlib
import shutil
import signal
import socketserver
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

from lab import bin_dir, cpu_seconds


def environment(**settings):
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    env.update(LOG_FORMAT="json", LOG_LEVEL="warning", **{name: str(value) for name, value in settings.items()})
    return env


def say(text=""):
    print(text, flush=True)


class Sink:
    """fast-sink as a process, with the CPU it used."""

    def __init__(self, *delays):
        self.process = subprocess.Popen([str(bin_dir / "fast-sink"), *map(str, delays)], stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}/event"

    def __enter__(self):
        return self

    def cpu(self):
        return cpu_seconds(self.process.pid)

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


class SleepingReceiver:
    """Answers after `delay` seconds and remembers when each request came."""

    def __init__(self, delay):
        self.times = times = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                times.append(time.monotonic())
                self.rfile.read(int(self.headers["Content-Length"]))
                time.sleep(delay)
                self.send_response(201)
                self.send_header("Content-Length", "0")
                self.end_headers()

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/event"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def free_port():
    with socketserver.TCPServer(("127.0.0.1", 0), None) as server:
        return server.server_address[1]


def scraped(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def measure_ticks(directory, ticks):
    receiver = SleepingReceiver(3.0)
    port = free_port()
    settings = dict(
        PERIOD_IN_SECONDS=1, HTTP_POST_ENDPOINT=receiver.url, PAYLOAD_FILE_PATH=directory / "p.json", ADMIN_PORT=port
    )
    say(f"1. ticks: PERIOD_IN_SECONDS=1, {ticks} ticks, a receiver that sleeps 3 s before each answer")
    process = subprocess.Popen([str(bin_dir / "polis-propagator")], env=environment(**settings), cwd=directory)
    try:
        while len(receiver.times) < ticks and process.poll() is None:
            time.sleep(0.05)
        found = scraped(port)
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
        receiver.close()
    label = '{stream="default"}'
    count = found[f"propagator_tick_offset_seconds_count{label}"]
    mean = found[f"propagator_tick_offset_seconds_sum{label}"] / count
    offsets = [at - receiver.times[0] - number for number, at in enumerate(receiver.times[:ticks])]
    third = ticks // 3
    drift = statistics.median(offsets[-third:]) - statistics.median(offsets[:third])
    say(f"   mean offset from the ideal tick  {mean * 1000:8.3f} ms over {count:.0f} ticks   (wanted: under 1 ms)")
    say(f"   last third minus first third     {drift * 1000:8.3f} ms at the receiver        (wanted: none)")
    skipped, dropped = (found[f"propagator_ticks_{what}_total{label}"] for what in ("skipped", "dropped"))
    say(f"   ticks skipped {skipped:.0f}, dropped {dropped:.0f}, exit code {code}")


def propagator_run(directory, sink, rate, duration, connections):
    report = directory / "report.json"
    command = [str(bin_dir / "polis-propagator"), "--target", sink.url, "--payloads", str(directory / "p.json"),
               "--rate", str(rate), "--duration", str(duration), "--connections", str(connections),
               "--report", str(report)]  # fmt: skip
    before = sink.cpu()
    result = subprocess.run(command, env=environment(ADMIN_PORT=0), cwd=directory, stdout=subprocess.DEVNULL)
    told = json.loads(report.read_text())
    told["sink_cpu_seconds"] = sink.cpu() - before
    told["exit_code"] = result.returncode
    return told


def show(name, told):
    latency = told["latency_ms"]
    say(f"   {name:<12} intended {told['intended']}, sent {told['sent']}, succeeded {told['succeeded']}, "
        f"p50 {latency['p50']:.3f} ms, p99 {latency['p99']:.3f} ms, took {told['elapsed_seconds']:.2f} s, "
        f"CPU {told['cpu_seconds']:.2f} s")  # fmt: skip


def measure_rate(directory, rate, duration):
    say(f"2. rate: {rate} requests/s for {duration} s against fast-sink")
    with Sink() as sink:
        told = propagator_run(directory, sink, rate, duration, 128)
    show("propagator", told)
    cost = float(subprocess.run([str(bin_dir / "measuring-cost")], capture_output=True, text=True, check=True).stdout)
    both = told["cpu_seconds"] + told["sink_cpu_seconds"]
    say(f"   CPU: generator {told['cpu_seconds']:.2f} s ({told['cpu_share'] * 100:.0f} % of a core), "
        f"sink {told['sink_cpu_seconds']:.2f} s")  # fmt: skip
    say(f"   measuring: {cost:.0f} ns a request, {cost * told['sent'] / 1e9 / both * 100:.2f} % of that CPU"
        "   (wanted: under 25 %)")  # fmt: skip


def vegeta_run(vegeta, directory, sink, rate, duration, connections):
    targets = directory / "targets"
    targets.write_text(f"POST {sink.url}\nContent-Type: application/json\n@{directory / 'one.json'}\n")
    attack = [vegeta, "attack", "-targets", str(targets), "-rate", f"{rate}/1s", "-duration", f"{duration}s",
              "-connections", str(connections), "-max-connections", str(connections)]  # fmt: skip
    results = directory / "results.bin"
    with open(results, "wb") as out:
        process = subprocess.Popen(attack, stdout=out)
        _, _, usage = os.wait4(process.pid, 0)
    report = subprocess.run([vegeta, "report", "-type=json", str(results)], capture_output=True, check=True)
    told = json.loads(report.stdout)
    latencies = told["latencies"]
    return {
        "intended": rate * duration,
        "sent": told["requests"],
        "succeeded": round(told["requests"] * told["success"]),
        "latency_ms": {"p50": latencies["50th"] / 1e6, "p99": latencies["99th"] / 1e6},
        "elapsed_seconds": (told["duration"] + told["wait"]) / 1e9,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
    }


def compare(vegeta, directory, rate, duration, connections, delays=()):
    what = f"fast-sink {' '.join(map(str, delays))}".strip()
    say(f"3. agreement: {rate} requests/s for {duration} s against {what}, {connections} connections, "
        "one after the other")  # fmt: skip
    with Sink(*delays) as sink:
        ours = propagator_run(directory, sink, rate, duration, connections)
        show("propagator", ours)
        theirs = vegeta_run(vegeta, directory, sink, rate, duration, connections)
        show("vegeta", theirs)
    for name in ("p50", "p99"):
        ratio = ours["latency_ms"][name] / theirs["latency_ms"][name]
        say(f"   {name}: propagator / vegeta = {ratio:.3f}   (wanted: 0.9 to 1.1)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ticks", type=int, default=60, help="0 leaves the first part out")
    parser.add_argument("--rate", type=int, default=20_000)
    parser.add_argument("--duration", type=int, default=10)
    arguments = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="polis-bench-propagator-"))
    try:
        payload = {"event_type": "tick", "event_payload": "x" * 100}
        (directory / "p.json").write_text(json.dumps([payload]))
        (directory / "one.json").write_text(json.dumps(payload))
        say(f"{' '.join(sys.argv)}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        if arguments.ticks:
            measure_ticks(directory, arguments.ticks)
        measure_rate(directory, arguments.rate, arguments.duration)
        vegeta = os.environ.get("VEGETA") or shutil.which("vegeta")
        if vegeta is None:
            say("3. agreement: left out, there is no vegeta (VEGETA=path names one)")
            return
        compare(vegeta, directory, 1000, arguments.duration, 256, (20, 60))
        # Delays that are known beforehand, and connections enough for 60 ms of waiting requests. Both tools and the
        # sink share the machine: at the full rate the tail is the machine's.
        compare(vegeta, directory, arguments.rate // 2, arguments.duration, 1000, (20, 60))
        compare(vegeta, directory, arguments.rate, arguments.duration, 2000, (20, 60))
        compare(vegeta, directory, arguments.rate, arguments.duration, 256)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
