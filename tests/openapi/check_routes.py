#!/usr/bin/env python3
"""Compares the operations of openapi.json with the routes that the server really has, both ways.

Usage: check_routes.py <openapi.json> <routes.txt>      (routes.txt: "METHOD /path" per line, from `polis-api --routes`; - = stdin)
Exit: 0 equal, 1 different, 2 wrong usage or unreadable input.
"""

import json
import re
import sys

METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}
# Files of the documentation pages: served, but no part of the API.
STATIC_FILES = re.compile(r"^/((docs|console)/assets(/.*)?|favicon\.ico)$")


def canonical(method, path):
    """The name of a parameter is not part of a route: {id}, <id> and :id are the same."""
    path = re.sub(r"\{[^}/]*\}|<[^>/]*>|(?<=/):[^/]+", "{}", path)
    return method.upper(), path


def documented(file_name):
    with open(file_name, encoding="utf-8") as file:
        paths = json.load(file)["paths"]
    return {canonical(method, path) for path, item in paths.items() for method in item if method in METHODS}


def served(file):
    routes = set()
    for number, line in enumerate(file, 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or words[0].lower() not in METHODS or not words[1].startswith("/"):
            raise ValueError(f'line {number} is not "METHOD /path": {line.strip()}')
        if not STATIC_FILES.match(words[1]):
            routes.add(canonical(*words))
    return routes


def main(arguments):
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        in_document = documented(arguments[0])
        if arguments[1] == "-":
            in_server = served(sys.stdin)
        else:
            with open(arguments[1], encoding="utf-8") as file:
                in_server = served(file)
    except (OSError, ValueError, KeyError) as error:
        print(f"check_routes: {error}", file=sys.stderr)
        return 2
    for method, path in sorted(in_server - in_document):
        print(f"served but not in the document: {method} {path}")
    for method, path in sorted(in_document - in_server):
        print(f"in the document but not served: {method} {path}")
    if in_document != in_server:
        return 1
    print(f"{len(in_document)} routes, the same in both")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
