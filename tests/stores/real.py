#!/usr/bin/env python3
"""Real object stores for tests, each on loopback with data of its own, stopped by its own process ids.

    tests/stores/real.py SERVER -- COMMAND...    runs COMMAND beside one, with the variables that lead to it: a test
        (which reads KAFSCALE_TEST_*), or `kafscale` itself, from which those are kept since it refuses what it does not know;
        KAFSCALE_STORE is then a prefix there, so that `SERVER -- target/debug/kafscale storage probe` needs nothing else

`setup.sh` installs them. What each stands for is said by its class. All ports lie below 32768.
"""

import contextlib
import hashlib
import hmac
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "servers"))
import stores
from servers import Server, accepts, environment, free_port, setup

BUCKET = "kafscale-test"
KEY, SECRET = "kafscale-test", "kafscale-test-secret"
# The account that every Azurite has; its key is public.
AZURITE_ACCOUNT = "devstoreaccount1"
AZURITE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def put_bucket(endpoint, key=KEY, secret=SECRET, region="us-east-1"):
    """Makes the bucket: one signed PUT."""
    host = urllib.parse.urlsplit(endpoint).netloc
    now = datetime.now(timezone.utc)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    empty = hashlib.sha256(b"").hexdigest()
    signed = "host;x-amz-content-sha256;x-amz-date"
    canonical = f"PUT\n/{BUCKET}\n\nhost:{host}\nx-amz-content-sha256:{empty}\nx-amz-date:{stamp}\n\n{signed}\n{empty}"
    scope = f"{day}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    mac = lambda key, part: hmac.new(key, part.encode(), hashlib.sha256).digest()
    signing = ("AWS4" + secret).encode()
    for part in (day, region, "s3", "aws4_request"):
        signing = mac(signing, part)
    headers = {
        "x-amz-content-sha256": empty,
        "x-amz-date": stamp,
        "Authorization": f"AWS4-HMAC-SHA256 Credential={key}/{scope}, SignedHeaders={signed}, Signature={mac(signing, text).hex()}",
    }
    request = urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT", headers=headers)
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()


class Store(Server):
    """One process that speaks S3. `suite`: which test runs the suite of stores on it; `conforms`: whether that passes;
    `tells_refusal`: what a broker says that refuses it for its log; `only_races_tell`: one create after the other looks right."""

    version = stands_for = ""
    suite = "s3"
    conforms = True
    tells_refusal = None
    only_races_tell = False

    def __init__(self, folder):
        super().__init__(folder)
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def is_ready(self):
        if not accepts(self.port):
            return False
        try:
            put_bucket(self.endpoint)
        except urllib.error.HTTPError as error:
            return error.code == 409
        except OSError:
            return False
        return True

    def url(self):
        return f"s3://{BUCKET}/{uuid.uuid4().hex}"

    def reached(self, endpoint=None):
        """Those that lead a `kafscale` to it, which refuses the ones of tests."""
        return {name: value for name, value in self.variables(endpoint).items() if not name.startswith("KAFSCALE_TEST_")}

    def variables(self, endpoint=None):
        """What leads a broker, and the conformance suite, to it; `endpoint` is that of a proxy in front."""
        endpoint = endpoint or self.endpoint
        return {
            "KAFSCALE_TEST_S3_ENDPOINT": endpoint,
            "KAFSCALE_TEST_S3_BUCKET": BUCKET,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }


class Minio(Store):
    name, version, stands_for = "minio", "2026-02-12 (7aac2a2c5b7c)", "MinIO"

    def command(self):
        return [setup("minio"), "server", "--quiet", "--address", f"127.0.0.1:{self.port}", self.folder / "data"]

    def environment(self):
        keys = {"MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": SECRET}
        return {**os.environ, **keys, "MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "MINIO_CI_CD": "1"}


class S3rver(Store):
    """Ignores conditions: no log may live there."""

    name, version, stands_for = "s3rver", "3.7.1", "Google's S3 dialect, Wasabi at its worst"
    conforms = False
    tells_refusal = "no log may live there"

    def command(self):
        command = [setup("s3rver"), "-d", self.folder / "data", "-a", "127.0.0.1", "-p", str(self.port)]
        return ["node", *command, "--no-vhost-buckets", "--configure-bucket", BUCKET]

    def is_ready(self):
        return accepts(self.port)

    def variables(self, endpoint=None):
        return super().variables(endpoint) | {"AWS_ACCESS_KEY_ID": "S3RVER", "AWS_SECRET_ACCESS_KEY": "S3RVER"}


class S3sFs(Store):
    """Checks conditions without a lock: a race has several winners."""

    name, version, stands_for = "s3s-fs", "0.14.1", "a store whose conditions are not atomic"
    conforms = False
    tells_refusal = "no log may live there"
    only_races_tell = True

    def command(self):
        (self.folder / "data").mkdir(exist_ok=True)
        keys = ["--access-key", KEY, "--secret-key", SECRET]
        return [setup("s3s-fs"), "--host", "127.0.0.1", "--port", str(self.port), *keys, self.folder / "data"]


class Azurite(Store):
    name, version, stands_for = "azurite", "3.35.0", "Azure Blob Storage, natively"
    suite = "azure"

    def command(self):
        place = ["--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location", self.folder / "data"]
        return ["node", setup("azurite"), *place, "--skipApiVersionCheck", "--disableTelemetry"]

    def is_ready(self):
        if not accepts(self.port):
            return False
        import base64

        date = datetime.now(timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
        canonical = f"x-ms-date:{date}\nx-ms-version:2021-08-06\n/{AZURITE_ACCOUNT}/{AZURITE_ACCOUNT}/{BUCKET}\nrestype:container"
        text = "PUT" + "\n" * 12 + canonical
        mac = hmac.new(base64.b64decode(AZURITE_KEY), text.encode(), hashlib.sha256).digest()
        headers = {
            "x-ms-date": date,
            "x-ms-version": "2021-08-06",
            "Authorization": f"SharedKey {AZURITE_ACCOUNT}:{base64.b64encode(mac).decode()}",
        }
        url = f"{self.endpoint}/{AZURITE_ACCOUNT}/{BUCKET}?restype=container"
        request = urllib.request.Request(url, method="PUT", headers=headers)
        try:
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10).close()
        except urllib.error.HTTPError as error:
            return error.code == 409
        except OSError:
            return False
        return True

    def url(self):
        return f"az://{BUCKET}/{uuid.uuid4().hex}"

    def variables(self, endpoint=None):
        endpoint = f"{endpoint or self.endpoint}/{AZURITE_ACCOUNT}"
        return {
            "KAFSCALE_TEST_AZURE_CONTAINER": BUCKET,
            "AZURE_STORAGE_ACCOUNT_NAME": AZURITE_ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": AZURITE_KEY,
            "AZURE_STORAGE_ENDPOINT": endpoint,
        }


class GcsEmulator(Store):
    """Ours: nothing that can be installed writes objects in Google's XML dialect."""

    name, version, stands_for = "gcs-emulator", "of this repository", "Google Cloud Storage, natively"
    suite = "gcs"

    def command(self):
        return [setup("lab"), "gcs", f"--listen=127.0.0.1:{self.port}", f"--bucket={BUCKET}"]

    def is_ready(self):
        return accepts(self.port)

    def url(self):
        return f"gs://{BUCKET}/{uuid.uuid4().hex}"

    def variables(self, endpoint=None):
        # A workload of another cloud: the one kind of credentials that names who gives out tokens.
        (self.folder / "subject").write_text("workload")
        credentials = self.folder / "credentials.json"
        described = {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{self.endpoint}/token",
            "credential_source": {"file": str(self.folder / "subject")},
        }
        credentials.write_text(json.dumps(described))
        return {
            "KAFSCALE_TEST_GCS_BUCKET": BUCKET,
            "GOOGLE_APPLICATION_CREDENTIALS": str(credentials),
            "STORAGE_EMULATOR_HOST": endpoint or self.endpoint,
        }


class Several(Store):
    """A store of several processes; the last one serves S3."""

    def __init__(self, folder):
        super().__init__(folder)
        self.beside = []

    def prepare(self):
        """Starts what the last process needs."""
        raise NotImplementedError

    def run(self, *command, **options):
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, **options)
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")
        return done.stdout

    def spawn(self, *command):
        log = open(self.folder / f"{Path(str(command[0])).name}.log", "ab")
        self.beside.append(subprocess.Popen([*map(str, command)], stdout=log, stderr=log))

    def start(self):
        try:
            self.prepare()
            return super().start()
        except BaseException:
            self.stop_beside()
            raise

    def stop_beside(self):
        for process in reversed(self.beside):
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.beside.clear()

    def stop(self):
        status = super().stop()
        self.stop_beside()
        return status


class Gateway(Several):
    """Speaks S3 in front of an Azurite of its own."""

    stands_for = "Azure Blob Storage by a gateway"
    patience_s = 120

    def prepare(self):
        self.azurite = Azurite(self.folder / "azurite")
        # The bucket is made through the gateway.
        self.azurite.is_ready = lambda: accepts(self.azurite.port)
        self.azurite.start()
        self.azure = f"http://127.0.0.1:{self.azurite.port}/{AZURITE_ACCOUNT}"

    def stop_beside(self):
        super().stop_beside()
        if getattr(self, "azurite", None) and self.azurite.process:
            self.azurite.stop()


class S3proxy(Gateway):
    """In front of Azurite. It tells the end that was asked for of a range that reaches beyond its object, and sends what there is."""

    name, version = "s3proxy", "2.9.0 (azureblob-sdk, before Azurite)"

    def command(self):
        properties = self.folder / "s3proxy.conf"
        properties.write_text(
            f"""s3proxy.endpoint=http://127.0.0.1:{self.port}
s3proxy.authorization=aws-v4
s3proxy.identity={KEY}
s3proxy.credential={SECRET}
s3proxy.ignore-unknown-headers=true
jclouds.provider=azureblob-sdk
jclouds.identity={AZURITE_ACCOUNT}
jclouds.credential={AZURITE_KEY}
jclouds.endpoint={self.azure}
"""
        )
        return ["java", "-Xmx512m", "-cp", f"{setup('s3proxy')}/*", "org.gaul.s3proxy.Main", "--properties", properties]


class Versitygw(Gateway):
    """In front of Azurite. It looks whether a blob is there and then writes it: a race has several winners."""

    conforms = False
    tells_refusal = "no log may live there"
    name, version = "versitygw", "1.8.0 (azure, before Azurite)"

    def command(self):
        serves = ["--port", f"127.0.0.1:{self.port}", "--access", KEY, "--secret", SECRET, "--keep-alive"]
        azure = ["--account", AZURITE_ACCOUNT, "--access-key", AZURITE_KEY, "--url", self.azure]
        return [setup("versitygw"), *serves, "azure", *azure]


class Radosgw(Several):
    """Ceph's gateway with one monitor and one disk in a file."""

    name, version, stands_for = "radosgw", "16.2.15 (Debian 12)", "DigitalOcean Spaces, Linode, Vultr"
    patience_s = 240

    def prepare(self):
        setup("radosgw")
        folder, mon, fsid = self.folder, free_port(), uuid.uuid4()
        conf, keyring = folder / "ceph.conf", folder / "keyring"
        self.conf = conf
        conf.write_text(
            f"""[global]
fsid = {fsid}
mon host = [v1:127.0.0.1:{mon}]
mon initial members = a
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {keyring}
run dir = {folder}
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
pid file =
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind port min = {free_port()}
ms bind port max = 32700
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd objectstore = memstore
memstore device bytes = 2147483648
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 2
[mon.a]
mon data = {folder}/mon
[osd.0]
osd data = {folder}/osd
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{self.port}
rgw data = {folder}/rgw
"""
        )
        caps = ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mds", "allow *", "--cap", "mgr", "allow *"]
        self.run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        for name in ("client.admin", "client.rgw", "osd.0"):
            self.run("ceph-authtool", keyring, "--gen-key", "-n", name, *caps)
        self.run("monmaptool", "--create", "--addv", "a", f"[v1:127.0.0.1:{mon}]", "--fsid", fsid, folder / "monmap")
        (folder / "mon").mkdir()
        (folder / "osd").mkdir()
        (folder / "rgw").mkdir()
        base = ["-c", conf, "--setuser", "root", "--setgroup", "root"]
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", folder / "monmap", "--keyring", keyring, *base)
        self.spawn("ceph-mon", "-f", "-i", "a", *base)
        ceph = ["ceph", "-c", conf, "-n", "client.admin", "--keyring", keyring, "--connect-timeout", "60"]
        for _ in range(60):
            with contextlib.suppress(RuntimeError):
                self.run(*ceph, "auth", "import", "-i", keyring)
                break
            time.sleep(1)
        osd = uuid.uuid4()
        self.run(*ceph, "osd", "new", osd)
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd, "--keyring", keyring, *base)
        self.spawn("ceph-osd", "-f", "-i", "0", *base)
        admin = ["radosgw-admin", "-c", conf, "-n", "client.admin", "--keyring", keyring]
        user = ["user", "create", "--uid=test", "--display-name=test", f"--access-key={KEY}", f"--secret-key={SECRET}"]
        self.run(*admin, *user, timeout=180)

    def command(self):
        return ["radosgw", "-f", "-n", "client.rgw", "-c", self.conf, "--setuser", "root", "--setgroup", "root"]


class Swift(Several):
    """OpenStack Swift with one device and its S3 middleware. It refuses conditions loudly."""

    name, version, stands_for = "swift", "2.30 (Debian 12)", "Backblaze B2"
    patience_s = 120
    conforms = False
    tells_refusal = "cannot create an object only if it is absent"

    def prepare(self):
        setup("swift")
        folder = self.folder
        ports = {kind: free_port() for kind in ("account", "container", "object", "memcached")}
        etc = folder / "etc"
        etc.mkdir()
        (folder / "node/d1").mkdir(parents=True)
        (etc / "swift.conf").write_text(
            "[swift-hash]\nswift_hash_path_prefix = test\nswift_hash_path_suffix = test\n"
            "[storage-policy:0]\nname = gold\ndefault = yes\n"
        )
        for kind in ("account", "container", "object"):
            builder = etc / f"{kind}.builder"
            self.run("swift-ring-builder", builder, "create", "4", "1", "0")
            self.run("swift-ring-builder", builder, "add", f"r1z1-127.0.0.1:{ports[kind]}/d1", "1")
            self.run("swift-ring-builder", builder, "rebalance")
            (etc / f"{kind}.conf").write_text(
                f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {ports[kind]}\nworkers = 0\nswift_dir = {etc}\n"
                f"devices = {folder}/node\nmount_check = false\nuser = root\nlog_statsd_host =\n"
                f"[pipeline:main]\npipeline = {kind}-server\n[app:{kind}-server]\nuse = egg:swift#{kind}\n"
            )
        (etc / "proxy.conf").write_text(
            f"""[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {self.port}
workers = 0
user = root
swift_dir = {etc}
[pipeline:main]
pipeline = catch_errors proxy-logging cache s3api tempauth bulk slo dlo symlink versioned_writes proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{ports["memcached"]}
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {SECRET} .admin
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:symlink]
use = egg:swift#symlink
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
"""
        )
        self.spawn("memcached", "-u", "root", "-l", "127.0.0.1", "-p", ports["memcached"], "-U", "0")
        for kind in ("account", "container", "object"):
            self.spawn(f"swift-{kind}-server", etc / f"{kind}.conf")
        for port in ports.values():
            while not accepts(port):
                time.sleep(0.1)

    def command(self):
        return ["swift-proxy-server", str(self.folder / "etc/proxy.conf")]

    def is_ready(self):
        if not accepts(self.port):
            return False
        try:
            put_bucket(self.endpoint, "test:tester")
        except urllib.error.HTTPError as error:
            return error.code == 409
        except OSError:
            return False
        return True

    def variables(self, endpoint=None):
        return super().variables(endpoint) | {"AWS_ACCESS_KEY_ID": "test:tester"}


class Seaweedfs(Store):
    """The script of its own that the other tests use."""

    name, version, stands_for = "seaweedfs", "4.48", "Amazon S3"

    def start(self):
        self.running = contextlib.ExitStack()
        started = time.monotonic()
        self.reached = self.running.enter_context(stores.seaweedfs(self.folder / "seaweedfs"))
        self.endpoint = self.reached["AWS_ENDPOINT_URL"]
        return time.monotonic() - started

    def stop(self):
        self.running.close()
        return 0

    def variables(self, endpoint=None):
        return super().variables(endpoint) | {
            name: value for name, value in self.reached.items() if "KEY" in name
        }


SERVERS = {kind.name: kind for kind in (Seaweedfs, Minio, Radosgw, Azurite, S3proxy, Versitygw, GcsEmulator, Swift, S3rver, S3sFs)}


def main(arguments):
    if len(arguments) < 3 or arguments[0] not in SERVERS or arguments[1] != "--":
        sys.exit(f"usage: real.py {'|'.join(SERVERS)} -- COMMAND...")
    with tempfile.TemporaryDirectory(prefix="kafscale-stores-") as folder:
        server = SERVERS[arguments[0]](Path(folder))
        with server:
            if Path(arguments[2]).name == "kafscale":
                around = environment({"KAFSCALE_STORE": server.url()} | server.reached())
            else:
                around = {**os.environ, **server.variables()}
            sys.exit(subprocess.run(arguments[2:], env=around).returncode)


if __name__ == "__main__":
    main(sys.argv[1:])
