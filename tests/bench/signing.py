"""What the protection of a body on its way to an S3-like store costs: CPU-seconds of the broker for each GiB, by mode.

SeaweedFS, reached directly over plain http and, for the modes that need it, over TLS with a certificate of this run's. The
mode is what the profile says: `minio` signs the SHA-256 of every body, `aws` over TLS leaves it unsigned and sends CRC-64/NVME.
Nothing here measures speed: client, broker and store share the machine.
"""

import subprocess
import uuid

from clients import GIB, kafscale_bench, with_cpu
from servers import Kafscale, Server, accepts, free_port, setup
from stores import known, seaweedfs

# What it is called, whether over TLS, and the profile that says how bodies are protected.
MODES = [
    ("http, payload signed (SHA-256)", False, "minio"),
    ("TLS, payload signed (SHA-256)", True, "minio"),
    ("TLS, payload unsigned, CRC-64/NVME", True, "aws"),
]
PARTITIONS = 16
RECORD_BYTES = 10 * 1024


class Gateway(Server):
    """Another S3 door of a SeaweedFS, over TLS."""

    name = "gateway"

    def __init__(self, folder, weed, filer, config, certificate, key):
        super().__init__(folder)
        self.port, grpc = free_port(), free_port()
        self.line = [weed, "s3", "-ip.bind=127.0.0.1", f"-port={self.port}", f"-port.grpc={grpc}", f"-filer={filer}",
                     f"-config={config}", f"-cert.file={certificate}", f"-key.file={key}",
                     "-port.iceberg=0", "-port.lance=0"]

    def command(self):
        return self.line

    def is_ready(self):
        return accepts(self.port)


def certificate(folder):
    """A certificate for localhost that whoever is given it trusts, and its key."""
    paths = folder / "localhost.pem", folder / "localhost.key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-addext", "basicConstraints=critical,CA:FALSE",
         "-out", paths[0], "-keyout", paths[1]],
        check=True, capture_output=True,
    )
    return paths


def run(folder, scale):
    """Of each mode the CPU-seconds per GiB produced, and per GiB that a restarted broker reads from the bucket."""
    setup("kafscale-release")
    rows = []
    with seaweedfs(folder / "seaweedfs") as environment:
        command = open(f"/proc/{(folder / 'seaweedfs/weed.pid').read_text().strip()}/cmdline").read().split("\0")
        option = lambda name: next(word.split("=", 1)[1] for word in command if word.startswith(f"-{name}="))
        filer = f"127.0.0.1:{option('filer.port')}.{option('filer.port.grpc')}"
        paths = certificate(folder)
        with Gateway(folder / "gateway", command[0], filer, option("s3.config"), *paths) as gateway:
            for what, over_tls, profile in MODES:
                endpoint = f"https://localhost:{gateway.port}" if over_tls else environment["AWS_ENDPOINT_URL"]
                settings = {name: value for name, value in environment.items() if name.startswith("AWS_")}
                settings |= {"AWS_ENDPOINT_URL": endpoint, "KAFSCALE_S3_PATH_STYLE": "true",
                             "KAFSCALE_STORE_PROFILE": profile, "KAFSCALE_STORE_CA_BUNDLE": str(paths[0])}
                store = f"s3://{environment['KAFSCALE_TEST_S3_BUCKET']}/{uuid.uuid4().hex}"
                rows.append({"what": what, **measured(Kafscale(folder / uuid.uuid4().hex, store, settings, "kafscale-release"), scale)})
    return rows


def measured(broker, scale):
    records = int(GIB * scale) // RECORD_BYTES
    broker.start()
    try:
        known(broker)
        produced = cpu_of(broker, "produce", records, partitions=PARTITIONS, record_size=RECORD_BYTES,
                          set=["batch.size=1000000", "linger.ms=20"])
        broker.stop()
        broker.start()
        consumed = cpu_of(broker, "consume", records)
    finally:
        broker.stop()
    return {"produce_cpu_s_per_gib": produced, "consume_cpu_s_per_gib": consumed}


def cpu_of(broker, mode, records, **options):
    """CPU-seconds of the broker per GiB of one load."""

    def load():
        kafscale_bench(broker, mode, "bench", records=records, **options)
        return {"bytes": records * RECORD_BYTES}

    return with_cpu(broker, load)["cpu_s_per_gib"]


def table(rows):
    head = ["", "produced: broker CPU s/GiB", "consumed from the bucket: broker CPU s/GiB"]
    return head, [[row["what"], f"{row['produce_cpu_s_per_gib']:.2f}", f"{row['consume_cpu_s_per_gib']:.2f}"] for row in rows]
