#!/usr/bin/env python3
"""seeds.py FOLDER: writes the seeds of the fuzz targets for requests and responses from kafka.txt, of every API the lowest
version, and the highest with and without nulls. The first byte of a seed is the API's key, the second counts versions from
the lowest."""

import sys
from pathlib import Path

here = Path(__file__).resolve().parent
folder = Path(sys.argv[1])
keys = {}
for line in (here / "../../src/messages/mod.rs").read_text().splitlines():
    words = line.split()
    if words[1:2] == ["="] and words[3:4] == ["in"] and words[2].isdigit():
        keys[words[0]] = int(words[2])

messages = {}
for line in (here / "kafka.txt").read_text().splitlines():
    api, direction, version, body, _ = line.split(" ", 4)
    messages.setdefault((api, direction), {}).setdefault(int(version), []).append(bytes.fromhex(body))

for target in ("requests", "responses"):
    (folder / target).mkdir(parents=True, exist_ok=True)
for (api, direction), versions in messages.items():
    low, high = min(versions), max(versions)
    chosen = {f"{low}-full": (low, 0), f"{high}-full": (high, 0), f"{high}-sparse": (high, 1)}
    for name, (version, variant) in chosen.items():
        head = bytes([keys[api], version - low])
        (folder / f"{direction.lower()}s" / f"{api}-{name}").write_bytes(head + versions[version][variant])
