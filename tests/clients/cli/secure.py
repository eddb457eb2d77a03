#!/usr/bin/env python3
"""The client commands of `kafscale` over TLS, with passwords and with certificates, against Apache Kafka.

    secure.py KAFSCALE

It starts a Kafka of its own with a listener for passwords (SASL_SSL) and one for certificates (SSL). The authority and the
server's certificate are made by `openssl` for the run.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(TESTS / "clients"), str(TESTS / "servers")]
from checks import Checks, equal
from servers import Kafka, free_port

kafscale = sys.argv[1]
checks = Checks("cli secure")
DENIED, UNREACHABLE = 8, 7


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def certificates(folder):
    """An authority, and a certificate for 127.0.0.1 that server and client share."""
    path = {name: folder / name for name in ["ca.key", "ca.pem", "key.pem", "request", "cert.pem", "names", "both.pem"]}
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", "/CN=authority", "-keyout", path["ca.key"],
            "-out", path["ca.pem"], "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-keyout", path["key.pem"], "-out", path["request"])
    path["names"].write_text("subjectAltName=IP:127.0.0.1")
    openssl("x509", "-req", "-days", 2, "-in", path["request"], "-CA", path["ca.pem"], "-CAkey", path["ca.key"],
            "-CAcreateserial", "-out", path["cert.pem"], "-extfile", path["names"])
    path["both.pem"].write_text(path["cert.pem"].read_text() + path["key.pem"].read_text())
    return path


class SecureKafka(Kafka):
    """Kafka with two more listeners."""

    def __init__(self, folder, path):
        super().__init__(folder)
        self.passwords, self.certificates = free_port(), free_port()
        more = f"SASL_SSL://127.0.0.1:{self.passwords},SSL://127.0.0.1:{self.certificates}"
        plain = f"listeners=PLAINTEXT://127.0.0.1:{self.port}"
        pem = {name: path[name].read_text().strip().replace("\n", "\\n") for name in ["cert.pem", "key.pem", "ca.pem"]}
        login = "listener.name.sasl_ssl"
        self.properties.write_text(self.properties.read_text().replace(plain, f"{plain},{more}") + f"""
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
{login}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="secret";
{login}.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.client.auth=required
{login}.ssl.client.auth=none
ssl.keystore.type=PEM
ssl.keystore.certificate.chain={pem["cert.pem"]}
ssl.keystore.key={pem["key.pem"]}
ssl.truststore.type=PEM
ssl.truststore.certificates={pem["ca.pem"]}
""")

    def add_user(self, name, password):
        arguments = ["--alter", "--add-config", f"SCRAM-SHA-512=[password={password}]", "--entity-type", "users"]
        command = self.java("kafka.admin.ConfigCommand", "--bootstrap-server", self.bootstrap, *arguments, "--entity-name", name)
        subprocess.run(command, check=True, capture_output=True)


def run(port, *arguments, settings=(), config=None, stdin=b"", status=0):
    """Runs a command; returns its output, or what it said where it shall fail."""
    sets = [part for setting in settings for part in ("-X", setting)]
    environment = {"PATH": os.environ["PATH"], "KAFSCALE_BOOTSTRAP": f"127.0.0.1:{port}"}
    if config:
        environment["KAFSCALE_COMMAND_CONFIG"] = str(config)
    done = subprocess.run([kafscale, *arguments, *sets], input=stdin, capture_output=True, env=environment, timeout=60)
    equal(done.returncode, status, f"status of {arguments}, which said {done.stderr.decode()!r}")
    return (done.stderr if status else done.stdout).decode()


def with_passwords(kafka, path, folder):
    config = folder / "client.properties"
    # As Kafka's own tools have it, a continued line and a name that only they know included.
    config.write_text(f"""security.protocol=SASL_SSL
ssl.truststore.type=PEM
ssl.truststore.location={path["ca.pem"]}
sasl.mechanism=PLAIN
sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
    username="alice" password="secret";
key.serializer=unknown
""")
    ask = lambda *arguments, **more: run(kafka.passwords, *arguments, config=config, **more)
    ask("produce", "secure", stdin=b"over TLS\n")
    equal(ask("consume", "secure"), "over TLS\n", "by assignment")
    equal(ask("consume", "secure", "-g", "group"), "over TLS\n", "in a group")
    wrong = 'sasl.jaas.config=m required username="alice" password="wrong";'
    assert "Authentication failed" in ask("topics", "list", settings=[wrong], status=DENIED)
    assert "UnknownIssuer" in ask("topics", "list", settings=["ssl.truststore.location="], status=DENIED)
    kafka.add_user("bob", "password")
    scram = ["sasl.mechanism=SCRAM-SHA-512", "sasl.username=bob", "sasl.password=password"]
    assert "secure" in ask("topics", "list", settings=scram)
    report = ask("bench", "produce", "--records", "100", settings=scram)
    assert "(secret)" in report and "password=password" not in report, report


def with_certificates(kafka, path):
    trust = ["security.protocol=SSL", f"ssl.truststore.location={path['ca.pem']}"]
    files = [f"ssl.certificate.location={path['cert.pem']}", f"ssl.key.location={path['key.pem']}"]
    assert "secure" in run(kafka.certificates, "topics", "list", settings=trust + files)
    assert "secure" in run(kafka.certificates, "topics", "list", settings=[*trust, f"ssl.keystore.location={path['both.pem']}"])
    run(kafka.certificates, "topics", "list", settings=trust, status=UNREACHABLE)
    run(kafka.certificates, "topics", "list", settings=["request.timeout.ms=3000"], status=UNREACHABLE)


with tempfile.TemporaryDirectory(prefix="kafscale-secure-") as name:
    folder = Path(name)
    path = certificates(folder)
    with SecureKafka(folder / "kafka", path) as kafka:
        checks.run("passwords", lambda: with_passwords(kafka, path, folder))
        checks.run("certificates", lambda: with_certificates(kafka, path))
checks.finish()
