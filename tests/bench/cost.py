"""What an S3-like store is asked at 1, 10 and 100 MB/s, and what that costs at each provider's list prices.

The requests are counted by the proxy before SeaweedFS, by kind, while a client produces at a steady rate, and for half a minute
more, in which the broker merges. Consumers that keep up are answered from memory and ask for nothing; what one that comes later
asks for is counted while it reads all of it from a broker that has just started and does nothing else. Prices are those of the
profiles (`kafscale storage profiles -o json`): nothing here knows a price. Traffic out of the provider's network is not in them.
"""

import json
import subprocess
import time

import stages
from clients import GIB, create_topic, kafscale_bench
from servers import setup
from stores import known, on_bucket

RATES_MB = (1, 10, 100)
PARTITIONS = 64
RECORD_BYTES = 10 * 1024
KINDS = ("puts", "gets", "lists", "deletes")


def run(folder, scale):
    """One row for each rate, with a price per GiB for each provider."""
    rows = []
    for rate in RATES_MB:
        seconds = max(10, int(60 * scale))
        with on_bucket(folder / str(rate), suffix="-release") as on:
            create_topic(on.broker.bootstrap, "cost", PARTITIONS)
            known(on.broker)
            on.proxy.reset()
            lists = listings(on.broker)
            produced = load(on.broker, rate, seconds)
            time.sleep(30)
            counts = counted(on.proxy, listings(on.broker) - lists)
            rows.append(with_prices(counts, read_again(on, produced["records"]), rate, produced))
    return rows


def read_again(on, records):
    """Requests for all that was produced, from a broker that has none of it in memory."""
    stages.restart(on, stages.AT_REST)
    on.proxy.reset()
    lists = listings(on.broker)
    kafscale_bench(on.broker, "consume", "cost", records=records)
    return counted(on.proxy, listings(on.broker) - lists)


def listings(broker):
    """The listings that the broker has asked for, which are GETs to the proxy."""
    lines = broker.metrics().splitlines()
    return sum(int(line.rsplit(" ", 1)[1]) for line in lines
               if line.startswith("kafscale_store_requests_total") and 'operation="list"' in line)


def counted(proxy, lists):
    """Requests by kind; deletions of many names at once are one POST."""
    asked = proxy.figures()
    gets, deletes = asked.get("gets", 0) - lists, asked.get("posts", 0) + asked.get("deletes", 0)
    return {"puts": asked.get("puts", 0), "gets": gets, "lists": lists, "deletes": deletes}


def load(broker, rate, seconds):
    """Produces at a rate; the bytes and seconds that took."""
    records = rate * 1_000_000 * seconds // RECORD_BYTES
    began = time.monotonic()
    kafscale_bench(broker, "produce", "cost", partitions=PARTITIONS, record_size=RECORD_BYTES, records=records,
                   rate=rate * 1_000_000 // RECORD_BYTES)
    return {"records": records, "bytes": records * RECORD_BYTES, "seconds": time.monotonic() - began}


def with_prices(counts, read, rate, produced):
    per_gib, read_per_gib = ({kind: count * GIB / produced["bytes"] for kind, count in of.items()} for of in (counts, read))
    return {"rate": rate, "mb_per_s": produced["bytes"] / 1e6 / produced["seconds"], "seconds": produced["seconds"],
            "counts": counts, "per_gib": per_gib, "usd_per_gib": priced(per_gib),
            "read": read, "read_per_gib": read_per_gib, "usd_per_gib_read": priced(read_per_gib)}


def priced(per_gib):
    """What these requests cost at each provider."""
    return {profile["profile"]: sum(per_gib[kind] / 1000 * profile["usd_per_1000"][kind] for kind in KINDS)
            for profile in profiles()}


def profiles():
    command = [setup("kafscale-release"), "storage", "profiles", "-o", "json"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def table(rows):
    """Counts per GiB, then a line for each price that some provider has."""
    head = ["", *(f"{row['rate']} MB/s asked for" for row in rows)]
    lines = [["came to MB/s", *(f"{row['mb_per_s']:.1f}" for row in rows)]]
    lines += [[f"{kind.upper()[:-1]} per GiB", *(f"{row['per_gib'][kind]:.1f}" for row in rows)] for kind in KINDS]
    lines += price_lines(rows, "usd_per_gib", "$ per GiB")
    lines.append(["GET per GiB that is read from the bucket", *(f"{row['read_per_gib']['gets']:.1f}" for row in rows)])
    return head, lines + price_lines(rows, "usd_per_gib_read", "$ per GiB that is read from the bucket")


def price_lines(rows, key, what):
    """A line for each price that some provider has."""
    by_price = {}
    for profile in rows[0][key]:
        by_price.setdefault(tuple(row[key][profile] for row in rows), []).append(f"`{profile}`")
    return [[f"{what}: {', '.join(names)}", *(f"{usd:.5f}" if usd else "0" for usd in prices)]
            for prices, names in sorted(by_price.items(), reverse=True)]
