#!/usr/bin/env python3
"""Runs clang-tidy over our own translation units, in parallel, and skips those that passed unchanged.

    tidy.py BUILD_DIR [--changed] [--jobs N] [PATH ...]

A unit is unchanged when its text, the text of every header of ours that it includes, its compiler flags, the
.clang-tidy files and clang-tidy itself are. LINT_CHANGED=1 or --changed looks only at units that a change since the
merge base with origin touches.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time

root = pathlib.Path(__file__).resolve().parents[2]
precompiled = re.compile(r" -Winvalid-pch| -include \S*cmake_pch\S*")
own_folders = ("app", "domain", "infra", "tests")
include_line = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*"([^"]+)"', re.MULTILINE)


def find_tidy():
    for name in ("clang-tidy-14", "clang-tidy"):
        if path := shutil.which(name):
            return path
    sys.exit("tidy: clang-tidy is not installed: run infra/tools/deps.sh lint")


def include_directories(arguments):
    found = []
    for position, word in enumerate(arguments):
        if word in ("-I", "-isystem") and position + 1 < len(arguments):
            found.append(arguments[position + 1])
        elif word.startswith("-I"):
            found.append(word[2:])
    return [pathlib.Path(path) for path in found if pathlib.Path(path).is_relative_to(root)]


def own_includes(source, directories, known):
    """Every file of ours that `source` reaches through #include "...", itself included."""
    reached, waiting = set(), [source]
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached.add(path)
        if path not in known:
            known[path] = path.read_bytes()
        for name in include_line.findall(known[path]):
            for directory in (path.parent, *directories):
                candidate = directory / name.decode()
                if candidate.is_file():
                    waiting.append(candidate.resolve())
                    break
    return reached


def read_database(build, stamps):
    """The compile commands without what g++ precompiled: each file must include what it uses. Written beside the stamps."""
    database = build / "compile_commands.json"
    if not database.is_file():
        sys.exit(f"tidy: {database} is missing: configure first (make build)")
    entries = json.loads(database.read_text())
    for entry in entries:
        entry["command"] = precompiled.sub("", entry["command"])
    (stamps / "compile_commands.json").write_text(json.dumps(entries))
    return entries


def units(build, entries, paths):
    wanted = [pathlib.Path(path).resolve() for path in paths]
    seen = set()
    for entry in entries:
        source = (pathlib.Path(entry["directory"]) / entry["file"]).resolve()
        if source in seen or not source.is_relative_to(root) or source.is_relative_to(build):
            continue
        if source.relative_to(root).parts[0] not in own_folders:
            continue
        if wanted and not any(source.is_relative_to(path) for path in wanted):
            continue
        seen.add(source)
        arguments = shlex.split(entry["command"])
        # The launcher (ccache) and the output name do not change what clang-tidy sees.
        yield source, [word for word in arguments if not word.endswith((".o", "ccache"))]


def settings_text():
    return b"".join(path.read_bytes() for folder in ("", *own_folders)
                    for path in sorted((root / folder).rglob(".clang-tidy") if folder else [root / ".clang-tidy"])
                    if path.is_file())


def changed_files():
    def git(*arguments):
        return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)

    for reference in ("origin/HEAD", "origin/main", "origin/master"):
        base = git("merge-base", "HEAD", reference)
        if base.returncode == 0:
            break
    else:
        return None
    names = git("diff", "--name-only", base.stdout.strip()).stdout + git(
        "ls-files", "--others", "--exclude-standard").stdout
    return {(root / name).resolve() for name in names.splitlines()}


def check(tidy, database, source):
    start = time.monotonic()
    result = subprocess.run([tidy, "--quiet", "-p", str(database), "--extra-arg=-Wno-unknown-warning-option", str(source)],
                            capture_output=True, text=True, check=False)
    # "12345 warnings generated." counts what clang-tidy then suppresses: noise.
    noise = re.compile(r"^(\d+ warnings? .*generated\.|Suppressed .*|Use -header-filter.*|.*system-headers.*)$")
    complaints = [line for line in result.stderr.splitlines() if not noise.match(line)]
    failed = result.returncode != 0 or "warning:" in result.stdout
    return failed, result.stdout + "\n".join(complaints), time.monotonic() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("paths", nargs="*", default=[])
    parser.add_argument("--changed", action="store_true", default=os.environ.get("LINT_CHANGED") == "1")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_intermixed_args()  # paths may follow the options
    build = options.build.resolve()
    tidy = find_tidy()
    stamps = build / "tidy"
    stamps.mkdir(exist_ok=True)

    common = subprocess.run([tidy, "--version"], capture_output=True, check=True).stdout + settings_text()
    changed = changed_files() if options.changed else None
    known, work, total = {}, [], 0
    for source, arguments in units(build, read_database(build, stamps), options.paths):
        reached = own_includes(source, include_directories(arguments), known)
        if changed is not None and not reached & changed:
            continue
        total += 1
        digest = hashlib.sha256(common + " ".join(arguments).encode())
        for path in sorted(reached):
            digest.update(str(path).encode() + b"\0" + hashlib.sha256(known[path]).digest())
        stamp = stamps / digest.hexdigest()
        if not stamp.exists():
            work.append((source, stamp))
    print(f"clang-tidy: {total} files, {total - len(work)} unchanged since they passed, {len(work)} to check", flush=True)

    failures = 0
    # The longest first: with two at a time the last one alone would otherwise set the duration.
    work.sort(key=lambda item: -item[0].stat().st_size)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        running = {pool.submit(check, tidy, stamps, source): (source, stamp) for source, stamp in work}
        for number, done in enumerate(concurrent.futures.as_completed(running), 1):
            source, stamp = running[done]
            failed, text, seconds = done.result()
            failures += failed
            print(f"[{number}/{len(work)}] {source.relative_to(root)} {seconds:.1f} s{' FAILED' if failed else ''}", flush=True)
            if failed:
                print(text, flush=True)
            else:
                stamp.touch()
    if failures:
        sys.exit(f"clang-tidy: {failures} of {len(work)} files have findings")


if __name__ == "__main__":
    main()
