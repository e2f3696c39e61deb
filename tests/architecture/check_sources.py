#!/usr/bin/env python3
"""What every C++ file of ours keeps to, beyond what clang-format and clang-tidy see.

Usage: check_sources.py [--self-test]
Exit: 0 clean, 1 an offence, 2 wrong usage.
"""
import pathlib
import re
import sys

root = pathlib.Path(__file__).resolve().parents[2]
own_folders = ("app", "domain", "infra", "tests")
LINES_MAX = 400
# A table with one row an entry does not become clearer in two files.
TABLES = {"infra/src/config/options.cpp": 600}
# A file with Beast takes 13 seconds to compile: no public header may pass that on.
heavy_include = re.compile(r"^[ \t]*#[ \t]*include[ \t]*[<\"]boost/(?:asio|beast)\b", re.MULTILINE)
unfinished = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b")


def offences(name, text):
    lines = text.count("\n")
    limit = TABLES.get(name, LINES_MAX)
    if lines > limit:
        yield f"{name}: {lines} lines, at most {limit}: it has more than one subject"
    if name.endswith(".hpp"):
        if not text.startswith("#pragma once\n"):
            yield f"{name}: must begin with #pragma once"
        if "/include/" in name:
            for match in heavy_include.finditer(text):
                yield f"{name}:{text.count(chr(10), 0, match.start()) + 1}: no Asio or Beast in a public header"
    for match in unfinished.finditer(text):
        yield f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]}: finish it, or say why not"


def self_test():
    bad = {
        "infra/src/a.cpp": "\n" * (LINES_MAX + 1),
        "domain/include/domain/a.hpp": "struct A {};\n",
        "infra/include/infra/a.hpp": "#pragma once\n\n#include <boost/beast/core.hpp>\n",
        "infra/include/infra/b.hpp": "#pragma once\n#  include <boost/asio.hpp>\n",
        "tests/unit/a.cpp": "// TO" "DO: test this\n",
    }
    good = {
        "infra/src/a.cpp": "\n" * LINES_MAX,
        "infra/src/config/options.cpp": "\n" * (LINES_MAX + 1),
        "infra/src/http/a.hpp": "#pragma once\n\n#include <boost/asio.hpp>\n",
        "infra/include/infra/a.hpp": "#pragma once\n\n#include <boost/json.hpp>\n",
    }
    failures = [f"not found in {name}" for name, text in bad.items() if not list(offences(name, text))]
    failures += [f"wrongly found: {offence}" for name, text in good.items() for offence in offences(name, text)]
    print("\n".join(failures) if failures else f"{len(bad)} offences found, {len(good)} good cases passed")
    return 1 if failures else 0


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    paths = [path for folder in own_folders for path in sorted((root / folder).rglob("*.[ch]pp"))]
    found = [offence for path in paths for offence in offences(str(path.relative_to(root)), path.read_text())]
    print("\n".join(found) if found else f"clean: {len(paths)} files")
    return 1 if found or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
