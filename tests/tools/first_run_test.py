"""What `make run` does first on systems that this machine is not: which packages it asks for, and what it says where it cannot.

The package manager is a fake: a script that answers for another system and writes down what it is told to install.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

repository = pathlib.Path(__file__).resolve().parents[2]
tools = repository / "infra/tools"

# What deps.sh may ask for and the system does not have.
ABSENT = {
    "Debian 12": r"libboost-?(json|url)?1\.(8[^1]|9.)-dev|postgresql-1[^5]",
    "Debian 13": r"libboost-?(json|url)?1\.(81|8[4-79]|90)-dev|postgresql-1[^7]|openjdk-17-.*|clang-(format|tidy)-14",
    "Ubuntu 24.04": r"libboost-?(json|url)?1\.(81|8[4-9]|90)-dev|postgresql-1[^6]|chromium",
    "a system with too old a Boost": r"libboost.*|postgresql-1[^5]",
}
ALWAYS = ("bash", "env", "sh", "dirname", "tr", "uname", "cat", "mkdir", "tee", "rm", "head", "id", "awk", "nproc")

APT_CACHE = """#!/bin/sh
shift  # policy
for name in "$@"; do
    candidate=1.0
    if printf '%s' "$name" | {grep} -Exq '{absent}'; then candidate='(none)'; fi
    printf '%s:\\n  Installed: (none)\\n  Candidate: %s\\n' "$name" "$candidate"
done
"""
# The last words of the command line are what counts: options and environment come before them.
APT_GET = """#!/bin/sh
for word in "$@"; do
    case $word in install) installing=1 ;; -*) ;; *) [ -z "$installing" ] || echo "$word" >>{log} ;; esac
done
"""
SUDO = """#!/bin/sh
while [ "${1#-}" != "$1" ]; do shift; done
exec "$@"
"""


class System:
    """A folder that stands for PATH on another system."""

    def __init__(self, test, programs=ALWAYS, kernel=None):
        folder = tempfile.mkdtemp(prefix="polis-system-")
        test.addCleanup(shutil.rmtree, folder)
        self.path = pathlib.Path(folder)
        self.log = self.path / "apt.log"
        for name in programs:
            (self.path / name).symlink_to(shutil.which(name))
        if kernel:
            self.add("uname", f"#!/bin/sh\necho {kernel}\n")

    def add(self, name, text):
        file = self.path / name
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def add_apt(self, system):
        self.add("dpkg-query", "#!/bin/sh\n")
        self.add("apt-cache", APT_CACHE.format(absent=ABSENT[system], grep=shutil.which("grep")))
        self.add("apt-get", APT_GET.format(log=self.log))
        self.add("sudo", SUDO)

    def run(self, *command, **environment):
        return subprocess.run(
            [shutil.which(command[0]), *map(str, command[1:])],
            env={"PATH": str(self.path), "HOME": "/nonexistent", "MAKEFLAGS": "", **environment},
            cwd=repository,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def installed(self):
        return set(self.log.read_text().split()) if self.log.exists() else set()


class PackagesTest(unittest.TestCase):
    def install(self, system_name, *arguments):
        system = System(self)
        system.add_apt(system_name)
        return system.run("bash", tools / "deps.sh", *arguments), system.installed()

    def test_every_supported_system_has_what_build_and_tests_need(self):
        boost = {"Debian 12": "1.81", "Debian 13": "1.83", "Ubuntu 24.04": "1.83"}
        for name, version in boost.items():
            with self.subTest(name):
                result, installed = self.install(
                    name, "build", "run", "test", "lint", "--optional", "brokers", "console"
                )
                self.assertEqual(result.returncode, 0, result.stderr)
                for part in ("", "-json", "-url"):
                    self.assertIn(f"libboost{part}{version}-dev", installed)
                self.assertLessEqual({"g++", "python3-pip", "python3-venv", "npm", "kcat", "prometheus"}, installed)
                self.assertEqual("chromium" in installed, name != "Ubuntu 24.04")

    def test_a_package_that_only_some_tests_need_is_left_out_and_named(self):
        result, _ = self.install("Ubuntu 24.04", "build", "--optional", "console")
        self.assertIn("no package for chromium: the tests that need it will be skipped", result.stderr)

    def test_a_package_that_is_needed_and_not_there_stops(self):
        result, installed = self.install("Ubuntu 24.04", "console")
        self.assertEqual(result.returncode, 1)
        self.assertIn("no package found for: chromium", result.stderr)
        self.assertEqual(installed, set())
        result, installed = self.install("a system with too old a Boost", "build")
        self.assertEqual(result.returncode, 1)
        self.assertIn("no package found for: Boost (1.81 or later, with JSON and URL)", result.stderr)
        self.assertEqual(installed, set())

    def test_nothing_of_the_scripts_own_language_is_shown(self):
        for name in ABSENT:
            result, _ = self.install(name, "build", "run", "test", "brokers")
            self.assertIsNone(re.search(r"BOOST|NPM|JAVA|POSTGRESQL|PIP|VENV|\|", result.stderr), result.stderr)

    def test_required_and_optional_at_once_is_required(self):
        result, _ = self.install("Ubuntu 24.04", "console", "--optional", "console")
        self.assertEqual(result.returncode, 1)


class OtherSystemsTest(unittest.TestCase):
    def refused(self, system, *command, **environment):
        """What is said, once it is clear that nothing was built or installed."""
        result = system.run(*command, **environment)
        self.assertNotEqual(result.returncode, 0, result.stdout)
        self.assertNotIn("not found", result.stderr)
        return result.stderr

    def make_run(self, *arguments, **options):
        programs = tuple(name for name in ALWAYS if name not in options.pop("without", ())) + ("make",)
        return self.refused(System(self, programs, **options), "make", *arguments)

    def assert_names_everything(self, said):
        for need in ("g++ 12", "CMake 3.25", "Boost 1.81", "SOCI 4.0", "PostgreSQL 14", "POLIS_SKIP_DEPS=1 make run"):
            self.assertIn(need, said)

    def test_no_apt(self):
        for target in ("run", "test", "build", "deps"):
            said = self.make_run(target)
            self.assertIn("This system has no apt-get", said)
            self.assert_names_everything(said)

    def test_no_bash(self):
        said = self.make_run("run", without=("bash",))
        self.assertIn("This system has no bash", said)
        self.assert_names_everything(said)

    def test_macos(self):
        said = self.make_run("run", kernel="Darwin")
        self.assertIn("Polis runs on Linux only, and this is macOS", said)
        self.assertIn("make setup", said)

    def test_another_unix(self):
        self.assertIn("this is FreeBSD", self.make_run("run", kernel="FreeBSD"))

    def test_skipping_the_packages_without_having_them(self):
        said = self.refused(System(self), "sh", tools / "system.sh", POLIS_SKIP_DEPS="1")
        self.assertIn("not in PATH: g++ cmake ninja pkg-config python3", said)
        self.assertIn("Boost 1.81", said)

    def test_skipping_the_packages_and_having_them(self):
        system = System(self, (*ALWAYS, "g++", "cmake", "ninja", "pkg-config", "python3"))
        self.assertEqual(system.run("sh", tools / "system.sh", POLIS_SKIP_DEPS="1").returncode, 0)


if __name__ == "__main__":
    unittest.main()
