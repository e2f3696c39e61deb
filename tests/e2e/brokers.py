"""Real brokers for the tests: Apache Kafka's own server (KRaft, one node), Debian's RabbitMQ, and a schema registry.

Both come from Maven Central (tests/kafka/*.xml) and need Java 17, which `deps.sh brokers` installs. Each server has a
private directory and free loopback ports, keeps them over a restart, and is stopped by its own pid.
"""

import atexit
import contextlib
import fcntl
import hashlib
import importlib
import json
import os
import shutil
import signal
import socket
import string
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import registry_gate
from programs import repository, wait_until

broker_jars = repository / "build/brokers/kafka"
registry_jars = repository / "build/brokers/registry"
manifests = repository / "tests/kafka"
pom = manifests / "pom.xml"
registry_pom = manifests / "registry.xml"
client_packages = repository / "build/brokers/clients"
package = manifests / "package.json"
kafka_start_seconds = 90
registry_start_seconds = 90
python_packages = repository / "build/brokers/python"
rabbitmq_programs = "/usr/lib/rabbitmq/bin"
rabbitmq_start_seconds = 90
fetch_seconds = 570
kcat_seconds = 60

_running = set()


@atexit.register
def _stop_everything():
    for broker in list(_running):
        broker.clean_up()


def missing_tools():
    """Why the brokers cannot run here, or an empty string."""
    return _missing("java", "mvn", "kcat")


def missing_rabbitmq():
    return _missing("epmd", f"{rabbitmq_programs}/rabbitmq-server")


def _missing(*tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return f"not installed: {', '.join(missing)} (infra/tools/deps.sh brokers)" if missing else ""


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _fetch_once(directory, manifest, *command, cwd=None):
    """Runs a package client once for this state of its manifest; test processes wait for one another."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    stamp = directory.with_suffix(".sha256")
    wanted = hashlib.sha256(manifest.read_bytes()).hexdigest()
    with open(directory.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        shutil.copy(manifest, directory)
        result = subprocess.run(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=fetch_seconds,
        )
        if result.returncode != 0:
            raise RuntimeError(f"{command[0]} failed: {result.stdout[-2000:]}")
        stamp.write_text(wanted)


def _classpath(directory, manifest):
    """The jars that a manifest names, with all they need."""
    options = ["-q", "-B", "-f", manifest.name, "-DincludeScope=runtime", f"-DoutputDirectory={directory}"]
    _fetch_once(directory, manifest, "mvn", *options, "dependency:copy-dependencies")
    return f"{directory}/*"


def _java(classpath, megabytes, *options):
    # Quick to start and small: C1 only, one collector thread, on a machine that runs other tests beside it.
    return [
        "java", f"-Xmx{megabytes}m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-cp", classpath, *options,
    ]  # fmt: skip


def kafkajs_produce(kafka, registry, topic, subject, schema, **order):
    """Produces Avro records with kafkajs and its registry client, and tells the schema's id and the frames.

    The schema is registered beforehand: kafkajs would also set the subject's compatibility, over a part of the API that
    this registry does not have.
    """
    order["id"] = registry.register(subject, schema)
    _fetch_once(client_packages, package, "npm", "install", "--ignore-scripts", "--no-audit", "--no-fund")
    result = subprocess.run(
        ["node", str(package.parent / "produce.mjs"), kafka.address, registry.url, topic],
        input=json.dumps(order),
        env={**os.environ, "CLIENT_PACKAGES": str(client_packages), "KAFKAJS_NO_PARTITIONER_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    if result.returncode != 0:
        raise RuntimeError(f"kafkajs failed: {result.stderr[-2000:]}")
    return json.loads(result.stdout.splitlines()[-1])


def python_package(name, version):
    """The module of a PyPI package: as installed, or fetched once with pip."""
    with contextlib.suppress(ImportError):
        return importlib.import_module(name)
    folder = python_packages / f"{name}-{version}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fetched = folder.with_suffix(".new")
            shutil.rmtree(fetched, ignore_errors=True)
            command = [sys.executable, "-m", "pip", "install", "-q", "--target", fetched, f"{name}=={version}"]
            subprocess.run(command, check=True, capture_output=True, timeout=fetch_seconds)
            fetched.rename(folder)
    sys.path.insert(0, str(folder))
    return importlib.import_module(name)


def family(process):
    """The process and all below it."""
    found = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True).stdout.split()
    return [process, *(below for child in found for below in family(int(child)))]


class Server:
    """A server process with a private directory. `stop` and `kill` keep the data; `clean_up` removes it."""

    def __init__(self, name):
        self.directory = tempfile.mkdtemp(prefix=f"polis-e2e-{name}-")
        self.log_path = os.path.join(self.directory, "server.log")
        self.process = None
        _running.add(self)

    def launch(self, *command, env=None):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)

    def log_text(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    @contextlib.contextmanager
    def silent(self):
        """It keeps its connections and says nothing, as a machine that hangs does."""
        processes = family(self.process.pid)
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                os.kill(process, signal.SIGCONT)

    def clean_up(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
        _running.discard(self)


class Kafka(Server):
    """One broker. Topics are made on first use with `partitions` partitions; `sasl_address` asks for a password."""

    sasl_user, sasl_password = "polis", "s3cret-of-tests"

    def __init__(self, partitions=6, **settings):
        super().__init__("kafka")
        self.port, self.controller_port, sasl_port = free_ports(3)
        self.sasl_address = f"127.0.0.1:{sasl_port}"
        self.address = f"127.0.0.1:{self.port}"
        self.partitions = partitions
        self.properties = os.path.join(self.directory, "server.properties")
        values = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": f"PLAINTEXT://{self.address},SASL://{self.sasl_address},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.address},SASL://{self.sasl_address}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config": "org.apache.kafka.common.security.plain.PlainLoginModule"
            f' required user_{self.sasl_user}="{self.sasl_password}";',
            "log.dirs": os.path.join(self.directory, "data"),
            "num.partitions": partitions,
            # A killed broker may come back once its session is over: 9 s by default.
            "broker.session.timeout.ms": 2000,
            "broker.heartbeat.interval.ms": 500,
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 1,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "message.max.bytes": 10 * 1024 * 1024,
            "log.cleaner.enable": "false",
            **{name.replace("_", "."): value for name, value in settings.items()},
        }
        with open(self.properties, "w") as file:
            file.writelines(f"{name}={value}\n" for name, value in values.items())
        self._java("kafka.tools.StorageTool", "format", "-t", "cG9saXMtdGVzdHMtMDAwMQ", "-c", self.properties)
        self.start()

    def _command(self, *arguments):
        return _java(
            _classpath(broker_jars, pom), 512, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", *arguments
        )

    def _java(self, *arguments):
        result = subprocess.run(
            self._command(*arguments), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )
        if result.returncode != 0:
            raise RuntimeError(f"{arguments[0]} failed: {result.stdout[-1000:]}{result.stderr[-2000:]}")

    def start(self):
        self.launch(*self._command("kafka.Kafka", self.properties))
        try:
            wait_until(self._answers, kafka_start_seconds, "Kafka answers", poll=0.2)
        except AssertionError as fault:
            raise AssertionError(f"{fault}\n{self.log_text()[-3000:]}") from None
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"Kafka ended with {self.process.returncode}: {self.log_text()[-3000:]}")
        with contextlib.suppress(OSError, subprocess.CalledProcessError, subprocess.TimeoutExpired):
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return "broker 1" in self.kcat("-L", "-m", "2", timeout=5)
        return False

    def kcat(self, *arguments, data=None, timeout=kcat_seconds):
        return self.kcat_bytes(*arguments, data=data, timeout=timeout).decode()

    def kcat_bytes(self, *arguments, data=None, timeout=kcat_seconds):
        source = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
        return subprocess.run(
            ["kcat", "-q", "-b", self.address, *arguments],
            capture_output=True,
            check=True,
            timeout=timeout,
            **source,
        ).stdout

    def create_topic(self, topic):
        """Makes the topic, with the broker's number of partitions, and waits until each has a leader."""

        def leaders():
            found = json.loads(self.kcat("-L", "-J", "-t", topic))["topics"]
            partitions = [each for entry in found for each in entry["partitions"]]
            return len(partitions) == self.partitions and all(each["leader"] == 1 for each in partitions)

        wait_until(leaders, 30, f"topic {topic} has leaders", poll=0.1)
        return topic

    def produce_lines(self, topic, lines, *options):
        """One message a line (text), spread over the partitions; `options` are kcat's."""
        self.kcat("-P", "-t", topic, *options, data="".join(line + "\n" for line in lines).encode())

    def produce(self, topic, value, key=None, partition=None, headers=()):
        """One message of any bytes; `value` None is a message without a value (kcat then needs a key)."""
        options = [] if partition is None else ["-p", str(partition)]
        for name, text in headers:
            options += ["-H", f"{name}={text}"]
        if not value:
            options += ["-K", "|"] + (["-Z"] if value is None else [])
            self.kcat("-P", "-t", topic, *options, data=f"{key or 'empty'}|\n".encode())
            return
        options += [] if key is None else ["-k", key]
        with tempfile.NamedTemporaryFile(dir=self.directory) as file:
            file.write(value)
            file.flush()
            self.kcat("-P", "-t", topic, "-X", "message.max.bytes=10485760", *options, file.name)

    def produce_values(self, topic, values, *options):
        """One message a value, of any bytes but none."""
        with tempfile.TemporaryDirectory(dir=self.directory) as directory:
            names = [os.path.join(directory, str(number)) for number in range(len(values))]
            for name, value in zip(names, values):
                with open(name, "wb") as file:
                    file.write(value)
            self.kcat("-P", "-t", topic, *options, *names)

    def messages(self, topic):
        """All messages of a topic as kcat describes them: topic, partition, offset, key, payload, headers."""
        # A fetch that waits for the next message would never find the end of a topic that somebody writes to.
        text = self.kcat("-C", "-t", topic, "-o", "beginning", "-e", "-J", "-X", "fetch.wait.max.ms=10")
        return [json.loads(line) for line in text.splitlines() if line]


class RabbitMq(Server):
    """Debian's rabbitmq-server: one node with a private data directory, its own Erlang port mapper and no plugin.

    Stopped with SIGTERM it saves what is persistent; `stop` and `start` keep the data.
    """

    user, password = "polis", "secret/p@ss"

    def __init__(self, tls=None):
        """`tls`: the files of a certificate authority, of a certificate for localhost and of its key."""
        super().__init__("rabbitmq")
        self.port, self.distribution_port, self.mapper_port, self.tls_port = free_ports(4)
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"amqp://{self.user}:{urllib.parse.quote(self.password, safe='')}@{self.address}/"
        config = os.path.join(self.directory, "rabbitmq.conf")
        with open(config, "w") as file:
            file.write(
                f"listeners.tcp.default = {self.address}\n"
                f"default_user = {self.user}\ndefault_pass = {self.password}\n"
                "log.file = false\nlog.console = true\nlog.console.level = warning\n"
                "disk_free_limit.absolute = 1MB\nvm_memory_high_watermark.relative = 0.8\n"
            )
            if tls:
                file.write(
                    f"listeners.ssl.default = 127.0.0.1:{self.tls_port}\nssl_options.cacertfile = {tls[0]}\n"
                    f"ssl_options.certfile = {tls[1]}\nssl_options.keyfile = {tls[2]}\n"
                    "ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n"
                )
        home = os.path.join(self.directory, "home")
        os.mkdir(home)
        with open(os.path.join(home, ".erlang.cookie"), "w") as file:
            file.write("polistests")
        os.chmod(file.name, 0o400)
        self.node = f"polis{self.port}@localhost"
        self.environment = {
            **os.environ,
            "HOME": home,
            "RABBITMQ_CONFIG_FILE": config,
            "RABBITMQ_CONF_ENV_FILE": os.path.join(self.directory, "none.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": os.path.join(self.directory, "plugins"),
            "RABBITMQ_MNESIA_BASE": os.path.join(self.directory, "data"),
            "RABBITMQ_LOG_BASE": os.path.join(self.directory, "log"),
            "RABBITMQ_PID_FILE": os.path.join(self.directory, "pid"),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "ERL_EPMD_PORT": str(self.mapper_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # Debian's own script changes to the user rabbitmq; the one below runs as whoever runs the tests.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +A 4 -kernel inet_dist_use_interface {127,0,0,1}",
        }
        # The port mapper would otherwise be started as a daemon that outlives the node.
        self.mapper = subprocess.Popen(
            ["epmd", "-port", str(self.mapper_port), "-address", "127.0.0.1"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.start()

    def start(self):
        self.launch(f"{rabbitmq_programs}/rabbitmq-server", env=self.environment)
        try:
            wait_until(self._answers, rabbitmq_start_seconds, "RabbitMQ answers", poll=0.3)
        except AssertionError as fault:
            raise AssertionError(f"{fault}\n{self.log_text()[-3000:]}") from None
        return self

    def _answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"RabbitMQ ended with {self.process.returncode}: {self.log_text()[-3000:]}")
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.settimeout(5)
                connection.sendall(b"AMQP\0\0\x09\x01")
                return connection.recv(1) == b"\x01"  # Connection.Start
        return False

    def clean_up(self):
        self.stop()
        super().clean_up()
        if self.mapper.poll() is None:
            self.mapper.kill()
        self.mapper.wait(10)

    def client(self):
        """A connection of the independent client, pika (see `python_package`)."""
        pika = python_package("pika", "1.3.2")
        parameters = pika.URLParameters(self.url + "%2F")
        parameters.connection_attempts, parameters.retry_delay = 3, 0.5
        return pika.BlockingConnection(parameters)


class SchemaRegistry(Server):
    """Hortonworks Schema Registry behind a gate; ids and schemas survive a restart."""

    kind = "Hortonworks Schema Registry 0.9.1, through its Confluent API"

    def __init__(self):
        super().__init__("registry")
        port, self.port, admin_port = free_ports(3)
        self.url = f"http://127.0.0.1:{port}"
        self.gate = registry_gate.Gate(port, self.port)
        self.config = os.path.join(self.directory, "registry.yaml")
        template = string.Template((manifests / "registry.yaml").read_text())
        with open(self.config, "w") as file:
            file.write(template.substitute(port=self.port, admin_port=admin_port, directory=self.directory))
        self.registered = []  # (subject, schema, id) in order
        self.start()

    def start(self):
        application = "com.hortonworks.registries.webservice.RegistryApplication"
        self.launch(*_java(_classpath(registry_jars, registry_pom), 256, application, "server", self.config))
        wait_until(self._answers, registry_start_seconds, "the registry answers")
        for subject, schema, known in self.registered:
            if self._register(subject, schema) != known:
                raise RuntimeError("the registry gave a schema another id than before its restart")
        self.gate.open()
        return self

    def stop(self):
        self.gate.close()
        super().stop()

    def kill(self):
        self.gate.close()
        super().kill()

    def _answers(self):
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/subjects", timeout=5) as response:
                return response.status == 200
        return False

    def register(self, subject, schema):
        """The id of the schema (a dict) under the subject."""
        made = self._register(subject, schema)
        self.registered.append((subject, schema, made))
        return made

    def _register(self, subject, schema):
        # No "schemaType": Avro is the default, and this registry is older than the other types.
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/subjects/{subject}/versions",
            json.dumps({"schema": json.dumps(schema)}).encode(),
            {"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        with urllib.request.urlopen(request, timeout=20) as response:
            return json.load(response)["id"]

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=20) as response:
            return json.load(response)

    def fetches(self, schema_id):
        """How often the schema of this id was asked for."""
        return self.gate.asked[f"/schemas/ids/{schema_id}"]


def wait_broker_gone(address, deadline=20.0):
    host, port = address.split(":")

    def refused():
        try:
            socket.create_connection((host, int(port)), 0.5).close()
        except OSError:
            return True
        return False

    wait_until(refused, deadline, f"nobody listens on {address}")


if __name__ == "__main__":
    # For a developer: runs both until Ctrl-C, e.g. `python3 tests/e2e/brokers.py`.
    kafka, registry = Kafka(), SchemaRegistry()
    print(f"KAFKA_BOOTSTRAP_SERVERS={kafka.address}\nSCHEMA_REGISTRY_URL={registry.url}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)
