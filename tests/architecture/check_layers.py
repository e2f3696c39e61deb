#!/usr/bin/env python3
"""Holds the direction of dependencies, domain <- app <- infra <- app/bin, and keeps I/O out of domain and app.

Two looks: at what our files include themselves, and at everything that the compiler really opened for an object file
(`ninja -t deps`), because all of Debian's libraries lie in /usr/include, where no include path can keep them apart.

Usage: check_layers.py BUILD_DIR | check_layers.py --self-test
Exit: 0 clean, 1 an offence, 2 wrong usage, 77 skipped (the build is not one of ninja).
"""
import dataclasses
import os
import pathlib
import re
import subprocess
import sys

SKIPPED = 77
root = pathlib.Path(__file__).resolve().parents[2]

# Of the standard library, what domain has no business with: it does no I/O, has no clock of its own, no threads, no chance.
IMPURE_HEADERS = {
    "atomic", "barrier", "condition_variable", "csignal", "ctime", "filesystem", "fstream", "future", "iostream", "istream",
    "latch", "mutex", "ostream", "random", "semaphore", "shared_mutex", "stop_token", "syncstream", "thread",
}  # fmt: skip
# <chrono> is there for its types, <cstdlib> and <cstdio> for conversions: the calls that make them impure are listed instead.
IMPURE_CALLS = re.compile(
    r"_clock\s*::\s*now\b|\bthis_thread\s*::|\brandom_device\b|\bstd\s*::\s*(?:cout|cerr|clog|cin)\b|\bco_(?:await|yield)\b"
    r"|\b(?:getenv|setenv|system|s?rand|fopen|f?printf|f?puts|sleep_for|sleep_until|gettimeofday|clock_gettime)\s*\("
)
# Libraries of Boost that do I/O, run threads or read a clock. The others come and go with Boost's versions.
IMPURE_BOOST = {
    "asio", "beast", "chrono", "context", "coroutine", "coroutine2", "fiber", "filesystem", "interprocess", "iostreams",
    "log", "mysql", "process", "redis", "thread", "timer",
}  # fmt: skip
PURE_LIBRARIES = {"boost", "fmt"}
# Folders of /usr/include that belong to the compiler, the C library and the kernel.
SYSTEM_FOLDERS = {"arpa", "asm", "asm-generic", "bits", "c++", "gnu", "linux", "net", "netinet", "rpc", "sys"}
# Headers that lie in /usr/include itself and are no part of the C library.
LOOSE_LIBRARY_HEADERS = re.compile(r"^(?:libpq|pg_config|postgres_ext|avro|zlib|zconf|expat|yaml|sqlite|ev|uv)[^/]*\.h$")


@dataclasses.dataclass(frozen=True)
class Layer:
    folders: tuple  # where its files are, from the root of the tree
    objects: re.Pattern  # its object files, as ninja calls them
    may_include: tuple  # our own prefixes
    libraries: frozenset  # what <...> may name beside the standard library; a name with a slash is a prefix
    impure_headers: frozenset = frozenset()
    impure_calls: re.Pattern | None = None


LAYERS = {
    "domain": Layer(
        folders=("domain/include", "domain/src"),
        objects=re.compile(r"^domain/CMakeFiles/domain\.dir/"),
        may_include=("domain/",),
        libraries=frozenset({"boost/assert/", "boost/container_hash/", "boost/json.hpp", "boost/json/", "boost/system/",
                             "boost/uuid/", "fmt/"}),
        impure_headers=frozenset(IMPURE_HEADERS),
        impure_calls=IMPURE_CALLS,
    ),
    "app": Layer(
        folders=("app/include", "app/src"),
        objects=re.compile(r"^app/CMakeFiles/app\.dir/"),
        may_include=("domain/", "app/"),
        libraries=frozenset({"boost/assert/", "boost/container_hash/", "boost/json.hpp", "boost/json/", "boost/system/",
                             "boost/uuid/", "fmt/"}),
        impure_headers=frozenset({"csignal", "filesystem", "fstream", "iostream", "istream", "ostream", "syncstream"}),
    ),
}  # fmt: skip
# infra may use every library; only its place among the layers is checked.
INFRA_MAY_NOT_OPEN = re.compile(r"^(?:app/bin|tests)/")

include_line = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
comment_or_text = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def without_comments(text):
    """Comments and literals give way to blanks; line numbers stay."""
    return comment_or_text.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def offences_in_source(layer_name, name, text, local_headers):
    """What a file of the layer says itself. `local_headers`: the layer's private headers, as they are included."""
    layer = LAYERS[layer_name]

    def at(position):
        return f"{name}:{text.count(chr(10), 0, position) + 1}"

    for match in include_line.finditer(text):
        opening, header = match.groups()
        if opening == '"':
            if not header.startswith(layer.may_include) and header not in local_headers:
                yield f'{at(match.start())}: {layer_name} may not include "{header}"'
        elif header in layer.impure_headers:
            yield f"{at(match.start())}: {layer_name} may not include <{header}>"
        elif re.search(r"[./]", header) and not header.startswith(tuple(layer.libraries)):
            yield f"{at(match.start())}: {layer_name} may not use the library of <{header}>"
    if layer.impure_calls:
        for match in layer.impure_calls.finditer(without_comments(text)):
            yield f"{at(match.start())}: {layer_name} is pure and may not call {match[0].strip(' (:{')}"


def library_of(path):
    """The third-party library that a header under an include folder belongs to; None for the system's own."""
    match = re.match(r"^/(?:usr/(?:local/)?include|opt/[^/]+/include)/(?:[a-z0-9_]+-linux-[a-z0-9]+/)?(.+)$", path)
    if not match or match[1].startswith("c++/"):
        return None
    first, _, rest = match[1].partition("/")
    if not rest:
        return first if LOOSE_LIBRARY_HEADERS.match(first) else None
    return None if first in SYSTEM_FOLDERS else first


def offence_of_dependency(layer_name, path):
    """Why an object file of the layer may not depend on this path, or nothing."""
    layer = LAYERS.get(layer_name)
    # The layer's own precompiled header, an object file like the others: what it opens is looked at, too.
    if re.search(rf"/CMakeFiles/{layer_name}\.dir/cmake_pch\.hxx(?:\.cxx|\.gch)?$", path):
        return None
    if not path.startswith("/"):
        inside = path
    elif pathlib.PurePosixPath(path).is_relative_to(root):
        inside = str(pathlib.PurePosixPath(path).relative_to(root))
    else:
        if layer is None:
            return None
        library = library_of(path)
        if library and library not in PURE_LIBRARIES:
            return f"{layer_name} depends on the library {library}"
        folder = re.search(r"/boost/([^/.]+)", path)
        if folder and folder[1] in IMPURE_BOOST:
            return f"{layer_name} depends on Boost.{folder[1]}"
        return None
    if layer is None:
        return "infra depends on a layer above it" if INFRA_MAY_NOT_OPEN.match(inside) else None
    own = {prefix.rstrip("/") for prefix in layer.may_include}
    first, second = (inside.split("/") + [""])[:2]
    if first not in own or second == "bin":
        return f"{layer_name} depends on {inside.split('/')[0]}"
    return None


def layer_of_object(name):
    for layer_name, layer in LAYERS.items():
        if layer.objects.match(name):
            return layer_name
    return "infra" if name.startswith("infra/CMakeFiles/infra.dir/") else None


def offences_in_deps(text, build=root):
    """Reads the output of `ninja -t deps`, whose paths may be relative to the build directory. Returns the offences and how many object files of each layer were seen."""
    offences, seen = [], {}
    layer = name = None
    for line in text.splitlines():
        if line and not line[0].isspace():
            name = line.split(":", 1)[0]
            layer = layer_of_object(name)
            if layer:
                seen[layer] = seen.get(layer, 0) + 1
        elif layer and line.strip():
            path = os.path.normpath(build / line.strip())
            if why := offence_of_dependency(layer, path):
                offences.append(f"{name}: opens {path}: {why}")
    return offences, seen


def check_sources():
    count, offences = 0, []
    for layer_name, layer in LAYERS.items():
        private = {str(path.relative_to(root / layer.folders[1])) for path in (root / layer.folders[1]).rglob("*.hpp")}
        for folder in layer.folders:
            for path in sorted((root / folder).rglob("*.[ch]pp")):
                count += 1
                offences += offences_in_source(layer_name, str(path.relative_to(root)), path.read_text(), private)
    return count, offences


def main(arguments):
    if arguments == ["--self-test"]:
        return self_test()
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    build = pathlib.Path(arguments[0])
    files, offences = check_sources()
    if not (build / "build.ninja").is_file():
        print("\n".join(offences))
        print("skipped the look at object files: this build is not one of ninja")
        return 1 if offences else SKIPPED
    deps = subprocess.run(["ninja", "-C", str(build), "-t", "deps"], capture_output=True, text=True, check=True).stdout
    found, seen = offences_in_deps(deps, build.resolve())
    offences += found
    missing = {"domain", "app", "infra"} - seen.keys()
    # Nothing looked at is not the same as nothing found.
    offences += [f"no object file of {layer} in {build}: build first, or has its target another name?" for layer in sorted(missing)]
    print("\n".join(offences) if offences else
          f"clean: {files} files of domain and app; object files: " + ", ".join(f"{n} {count}" for n, count in sorted(seen.items())))
    return 1 if offences else 0


def self_test():
    """The check must be able to fail: each offence below is found, and what is allowed is not."""
    bad_sources = {
        '#include "app/ingest.hpp"\n': "domain",
        '#include "infra/metrics.hpp"\n': "app",
        "#include <thread>\n": "domain",
        "  #  include <iostream>\n": "app",
        "#include <boost/asio/io_context.hpp>\n": "app",
        "#include <libpq-fe.h>\n": "domain",
        "#include <spdlog/spdlog.h>\n": "domain",
        "#include <unistd.h>\n": "domain",
        "auto t = std::chrono::system_clock::now();\n": "domain",
        "const char* home = std::getenv(\"HOME\");\n": "domain",
        "std::random_device{}();\n": "domain",
        "std::cerr << 1;\n": "domain",
        "std::printf(\"x\");\n": "domain",
    }
    good_sources = {
        '#include "domain/json.hpp"\n#include <boost/json/value.hpp>\n#include <chrono>\n#include <vector>\n': "domain",
        '#include "app/ports/event_log.hpp"\n#include "domain/ids.hpp"\n#include <mutex>\n': "app",
        "// std::chrono::system_clock::now() is the caller's business\nint n = std::snprintf(p, 1, \"getenv(\");\n": "domain",
        '#include "private.hpp"\n': "domain",
    }
    bad_deps = [
        ("domain/CMakeFiles/domain.dir/src/ids.cpp.o", f"{root}/app/include/app/ingest.hpp"),
        ("domain/CMakeFiles/domain.dir/src/ids.cpp.o", f"{root}/infra/src/pg/binary.hpp"),
        ("domain/CMakeFiles/domain.dir/src/ids.cpp.o", "/usr/include/boost/asio/io_context.hpp"),
        ("domain/CMakeFiles/domain.dir/src/ids.cpp.o", "/usr/include/boost/beast.hpp"),
        ("domain/CMakeFiles/domain.dir/src/ids.cpp.o", "/usr/include/postgresql/libpq-fe.h"),
        ("domain/CMakeFiles/domain.dir/src/ids.cpp.o", "/usr/include/avro.h"),
        ("app/CMakeFiles/app.dir/src/ingest.cpp.o", "/usr/include/spdlog/spdlog.h"),
        ("app/CMakeFiles/app.dir/src/ingest.cpp.o", "/usr/include/x86_64-linux-gnu/curl/curl.h"),
        ("app/CMakeFiles/app.dir/src/ingest.cpp.o", f"{root}/app/bin/startup.hpp"),
        ("app/CMakeFiles/app.dir/src/ingest.cpp.o", f"{root}/infra/include/infra/metrics.hpp"),
        ("infra/CMakeFiles/infra.dir/src/metrics.cpp.o", f"{root}/app/bin/startup.hpp"),
        ("app/CMakeFiles/app.dir/src/ingest.cpp.o", f"{root}/build/release/infra/CMakeFiles/infra.dir/cmake_pch.hxx.gch"),
        ("domain/CMakeFiles/domain.dir/cmake_pch.hxx.gch", "/usr/include/soci/soci.h"),
    ]
    good_deps = [
        ("domain/CMakeFiles/domain.dir/src/ids.cpp.o", f"{root}/domain/include/domain/ids.hpp"),
        ("domain/CMakeFiles/domain.dir/src/ids.cpp.o", "/usr/include/boost/json/value.hpp"),
        ("domain/CMakeFiles/domain.dir/src/ids.cpp.o", "/usr/include/c++/12/bits/std_thread.h"),
        ("domain/CMakeFiles/domain.dir/src/ids.cpp.o", "/usr/include/x86_64-linux-gnu/c++/12/bits/gthr.h"),
        ("domain/CMakeFiles/domain.dir/src/ids.cpp.o", "/usr/include/x86_64-linux-gnu/bits/types.h"),
        ("domain/CMakeFiles/domain.dir/src/ids.cpp.o", "/usr/include/pthread.h"),
        ("domain/CMakeFiles/domain.dir/src/ids.cpp.o", f"{root}/build/release/domain/CMakeFiles/domain.dir/cmake_pch.hxx.gch"),
        ("app/CMakeFiles/app.dir/src/ingest.cpp.o", f"{root}/domain/include/domain/ids.hpp"),
        ("app/bin/CMakeFiles/polis-api.dir/polis_api.cpp.o", f"{root}/infra/include/infra/metrics.hpp"),
        ("infra/CMakeFiles/infra.dir/src/metrics.cpp.o", "/usr/include/postgresql/libpq-fe.h"),
    ]

    def deps_text(pairs):
        return "".join(f"{target}: #deps 1, deps mtime 1 (VALID)\n    {path}\n\n" for target, path in pairs)

    failures = [f"not found in {layer}: {text!r}" for text, layer in bad_sources.items()
                if not list(offences_in_source(layer, "x.cpp", text, set()))]
    failures += [f"wrongly found: {offence}" for text, layer in good_sources.items()
                 for offence in offences_in_source(layer, "x.cpp", text, {"private.hpp"})]
    failures += [f"not found: {pair}" for pair in bad_deps if not offences_in_deps(deps_text([pair]))[0]]
    failures += [f"wrongly found: {offence}" for offence in offences_in_deps(deps_text(good_deps))[0]]
    if list(offences_in_source("domain", "x.cpp", "\n\n#include <thread>\n", set())) != ["x.cpp:3: domain may not include <thread>"]:
        failures.append("an offence does not name its file and line")
    print("\n".join(failures) if failures else
          f"{len(bad_sources) + len(bad_deps)} offences found, {len(good_sources) + len(good_deps)} good cases passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
