#!/usr/bin/env python3
"""Measures Polis beside what one would use instead, and beside what the machine can do. See README.md."""

import argparse
import dataclasses
import datetime
import os
import platform
import subprocess
import sys

import figures
import observed
import report
from lab import bin_dir, out_dir, output, repository


@dataclasses.dataclass(frozen=True)
class Profile:
    name: str
    pairs: int
    seconds: int  # of one run
    wal_seconds: int
    probe_seconds: int
    fill_events: int  # base events in the tables before the first run
    writer_events: int
    messages: int
    http_messages: int
    jobs_batched: int
    jobs_unbatched: int
    small_events: int
    grown_events: int
    backlog: int
    hold_seconds: int
    open_loop_seconds: int
    idle_messages: int


full = Profile("full", pairs=5, seconds=10, wal_seconds=30, probe_seconds=4, fill_events=200_000, writer_events=400_000, messages=500_000,
               http_messages=100_000, jobs_batched=100_000, jobs_unbatched=20_000, small_events=100_000,
               grown_events=10_000_000, backlog=1_000_000, hold_seconds=600, open_loop_seconds=20, idle_messages=300)
quick = Profile("quick", pairs=2, seconds=2, wal_seconds=3, probe_seconds=1, fill_events=50_000, writer_events=100_000, messages=200_000,
                http_messages=30_000, jobs_batched=30_000, jobs_unbatched=6_000, small_events=100_000,
                grown_events=300_000, backlog=200_000, hold_seconds=4, open_loop_seconds=2, idle_messages=80)

sections = ("ingest", "delivery", "growth", "held", "latency", "idle", "footprint", "observed")
# What observing costs is less than the noise of few and short runs.
quick_sections = tuple(section for section in sections if section != "observed")


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        models = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = int(file.readline().split()[1]) // 1024 // 1024
    return f"{len(os.sched_getaffinity(0))} x {models[0] if models else platform.machine()}, {memory} GiB, Linux {platform.release()}"


def commit():
    try:
        done = subprocess.run(["git", "-c", "safe.directory=*", "describe", "--always", "--dirty"], cwd=repository, text=True,
                              capture_output=True, check=True)
        return done.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def measure(book, wanted):
    saturation = None
    with figures.clusters("polis", "baseline", "ceilings", "graphile") as (polis, baseline, ceilings, graphile):
        book.facts["durability and settings of every PostgreSQL"] = ", ".join(f"{k} {v}" for k, v in polis.settings().items())
        figures.subjects.migrate(polis.url)
        if "ingest" in wanted:
            saturation = figures.ingest(book, polis, baseline, ceilings)
        if "delivery" in wanted:
            figures.delivery(book, polis, graphile)
        if "growth" in wanted:
            figures.growth(book, polis)
        if "held" in wanted:
            figures.held_open(book, polis, ceilings)
        if "latency" in wanted:
            figures.open_loop(book, polis, saturation or 10_000)
        if "idle" in wanted:
            figures.to_delivered(book, polis)
        if "footprint" in wanted:
            figures.footprint(book, polis)
        if "observed" in wanted:
            observed.observed(book, polis)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs, in under four minutes")
    parser.add_argument("--only", metavar="SECTION", choices=sections, nargs="+",
                        help="of " + ", ".join(sections) + "; with --quick all but the last unless named")
    options = parser.parse_args()
    profile = quick if options.quick else full
    wanted = options.only or (quick_sections if options.quick else sections)
    out_dir.mkdir(parents=True, exist_ok=True)
    figures.subjects.python_environment()
    figures.subjects.graphile_directory()
    book = figures.Notebook(profile)
    book.facts["profile"] = f"{profile.name}: {profile.pairs} rounds of {profile.seconds} s"
    book.facts["machine"] = machine()
    book.facts["commit"] = commit()
    book.facts["Polis"] = output(bin_dir / "polis-api", "--version").strip()
    measure(book, wanted)
    today = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    book.facts["took"] = f"{figures.time.monotonic() - book.begin:.0f} s"
    heading = f"# Results of {today}\n\nCommit {book.facts['commit']}, {book.facts['machine']}, {profile.name} profile.\n"
    curves = {name: report.plot_curve(*curve) for name, curve in book.curves.items()}
    report.write(out_dir, book.facts, book.figures, book.subjects, curves, heading)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
