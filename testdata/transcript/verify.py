"""Verifies a transcript from docs/transcript.md and docs/protocol.md alone, by hashlib and openssl.

python3 verify.py FILE: prints who has signed and who has sealed. The certificates' keys must be
ECDSA P-256; whether to trust the certificates is not looked at.
"""

import base64
import hashlib
import hmac
import json
import re
import struct
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta, timezone


def once(pairs):
    """An object in which no name stands twice: another reader might go by the other one."""
    assert len({name for name, _ in pairs}) == len(pairs), "a name twice"
    return dict(pairs)


def sha256(data):
    return hashlib.sha256(data).digest()


def hkdf(ikm, salt, info, length):
    """RFC 5869."""
    key = hmac.new(salt, ikm, hashlib.sha256).digest()
    out, block, counter = b"", b"", 1
    while len(out) < length:
        block = hmac.new(key, block + info + bytes([counter]), hashlib.sha256).digest()
        out, counter = out + block, counter + 1
    return out[:length]


def milliseconds(time):
    moment = datetime.strptime(time, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return (moment - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(milliseconds=1)


def is_signed(leaf, label, data, signature):
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: f"{folder}/{name}" for name in ("leaf", "key", "data", "signature")}
        contents = {"leaf": leaf.encode(), "data": label + b"\0" + data,
                    "signature": base64.b64decode(signature)}
        for name, content in contents.items():
            with open(paths[name], "wb") as file:
                file.write(content)
        subprocess.run(["openssl", "x509", "-in", paths["leaf"], "-pubkey", "-noout",
                        "-out", paths["key"]], check=True)
        return subprocess.run(["openssl", "dgst", "-sha256", "-verify", paths["key"], "-signature",
                               paths["signature"], paths["data"]], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0


ROLES = {"caller": 1, "listener": 2}
running = sha256(b"pki/1 transcript file\0")
signed, sealed, chains, leaves = [], None, {}, {}
with open(sys.argv[1], "rb") as transcript:
    for number, raw in enumerate(transcript, 1):
        said, tail = re.fullmatch(rb'(.*),"line":"([0-9a-f]{64})"\}\n', raw).groups()
        before, running = running, sha256(running + said)
        assert tail.decode() == running.hex(), f"line {number}"
        line = json.loads(raw, object_pairs_hook=once)
        assert line["n"] == number
        kind = line["type"]
        if kind == "transcript":
            ends = [line[role]["certificates"] for role in ROLES]
            leaves = {role: pem[: pem.index("-----END") + 26] for role, pem in zip(ROLES, ends)}
            ders = [base64.b64decode("".join(pem.split("\n")[1:-2])) for pem in leaves.values()]
            nonces = b"".join(bytes.fromhex(line[role]["nonce"]) for role in ROLES)
            salt = b"".join(sha256(der) for der in ders)
            session = hkdf(nonces, salt, b"pki/1 conversation", 32)
            assert session.hex() == line["session"]
            chains = {role: (0, sha256(b"pki/1 transcript\0" + session + bytes([byte])))
                      for role, byte in ROLES.items()}
        elif kind in ("message", "file"):
            if kind == "message":
                entry = struct.pack(">QQ", milliseconds(line["time"]), line["seen"])
                entry += line["text"].encode()
            else:
                entry = struct.pack(">Q", line["size"]) + bytes.fromhex(line["sha256"])
                for name in line["path"]:
                    entry += bytes([len(name.encode())]) + name.encode()
            count, last = chains[line["from"]]
            byte = 1 if kind == "message" else 2
            last = sha256(last + struct.pack(">BI", byte, len(entry)) + entry)
            assert (count + 1, last.hex()) == (line["number"], line["hash"]), f"line {number}"
            chains[line["from"]] = (count + 1, last)
        elif kind == "signature":
            data = session + b"".join(struct.pack(">Q", count) + last
                                      for count, last in chains.values())
            label = b"pki/1 transcript signature"
            assert is_signed(leaves[line["by"]], label, data, line["signature"]), f"line {number}"
            signed.append(line["by"])
        elif kind == "end":
            for role, (count, last) in chains.items():
                assert line[role] == {"entries": count, "hash": last.hex()}
        elif kind == "seal":
            label = b"pki/1 transcript file"
            assert is_signed(leaves[line["by"]], label, before, line["signature"])
            sealed = line["by"]
print(json.dumps({"signed": sorted(signed), "sealed": sealed}))
