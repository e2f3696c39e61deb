#!/usr/bin/env python3
"""Runs some of the tests: those of one source file, or those whose name matches a regular expression.

    select_tests.py BUILD_DIR file tests/unit/domain/ids_test.cpp
    select_tests.py BUILD_DIR file tests/e2e/ingest_test.py
    select_tests.py BUILD_DIR pattern 'dedupe|replay'
"""
import json
import os
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parents[2]


class Entry:
    """One test of CTest: its command and the surroundings CTest would give it."""

    def __init__(self, raw, build):
        self.name = raw["name"]
        self.command = raw.get("command", [])
        self.directory = str(build)
        self.environment = {}
        for item in raw.get("properties", []):
            if item["name"] == "WORKING_DIRECTORY":
                self.directory = item["value"]
            if item["name"] == "ENVIRONMENT":
                self.environment = dict(pair.split("=", 1) for pair in item["value"])

    def program(self, build):
        """The doctest program behind this entry, if it is one that we build."""
        for word in self.command[:1]:
            path = pathlib.Path(word)
            if path.is_relative_to(build) and os.access(path, os.X_OK):
                return path
        return None

    def run(self, command, **options):
        return subprocess.run(command, cwd=self.directory, env={**os.environ, **self.environment}, check=False,
                              **options)


def entries(build):
    listing = subprocess.run(["ctest", "--test-dir", str(build), "--show-only=json-v1"], capture_output=True,
                             text=True, check=True)
    return [Entry(raw, build) for raw in json.loads(listing.stdout)["tests"]]


def doctest_programs(build):
    found = {}
    for entry in entries(build):
        if program := entry.program(build):
            found.setdefault(program, entry)
    return found.items()


def run_doctest(build, option):
    """Runs every program that has a matching test case. Returns (number of programs, failed ones)."""
    ran = failed = 0
    for program, entry in doctest_programs(build):
        counted = entry.run([str(program), option, "--count", "--no-colors"], capture_output=True, text=True)
        number = re.search(r"current filters: (\d+)", counted.stdout)
        if counted.returncode or not number or number[1] == "0":
            continue
        ran += 1
        print(f"{program.name}: {number[1]} test cases", flush=True)
        failed += entry.run([str(program), option, "--duration=true"]).returncode != 0
    return ran, failed


def run_file(build, name):
    path = pathlib.Path(name)
    if path.suffix == ".py":
        module = path.stem
        matching = [entry for entry in entries(build) if module in entry.command]
        if not matching:
            sys.exit(f"no test of CTest runs the module {module}")
        return max(entry.run([*entry.command, "--verbose"]).returncode for entry in matching) != 0
    if not (root / path).is_file() and not path.is_file():
        sys.exit(f"there is no file {name}")
    # doctest matches the path that the compiler saw, which is absolute.
    ran, failed = run_doctest(build, f"--source-file=*{path.name}")
    if not ran:
        sys.exit(f"no test program contains {name}")
    return failed


def run_pattern(build, pattern):
    try:
        wanted = re.compile(pattern, re.IGNORECASE)
    except re.error as fault:
        sys.exit(f"'{pattern}' is not a regular expression: {fault}")
    names = [entry.name for entry in entries(build) if wanted.search(entry.name)]
    failed = 0
    if names:
        exact = "^(" + "|".join(re.escape(name) for name in names) + ")$"
        failed += subprocess.run(["ctest", "--test-dir", str(build), "--output-on-failure", "-R", exact],
                                 check=False).returncode != 0
    # Test cases inside a program: doctest knows wildcards and commas, so each matching name goes in literally.
    ran = 0
    for program, entry in doctest_programs(build):
        listing = entry.run([str(program), "--list-test-cases", "--no-colors"], capture_output=True, text=True)
        cases = [line for line in listing.stdout.splitlines() if wanted.search(line) and not line.startswith("[doctest]")]
        if not cases or entry.name in names:
            continue
        ran += 1
        print(f"{program.name}: {len(cases)} test cases", flush=True)
        option = "--test-case=" + ",".join(case.replace(",", "?") for case in cases)
        failed += entry.run([str(program), option, "--duration=true"]).returncode != 0
    if not names and not ran:
        sys.exit(f"no test matches '{pattern}'")
    return failed


def main():
    if len(sys.argv) != 4 or sys.argv[2] not in ("file", "pattern") or not sys.argv[3]:
        sys.exit("usage: make test-file FILE=tests/..., or make test-pattern PATTERN=text")
    build = pathlib.Path(sys.argv[1]).resolve()
    run = run_file if sys.argv[2] == "file" else run_pattern
    sys.exit(1 if run(build, sys.argv[3]) else 0)


if __name__ == "__main__":
    main()
