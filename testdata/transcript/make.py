"""Vectors for the chains of docs/protocol.md ("Transcripts"), by hashlib alone: python3 make.py > vectors.json"""

import hashlib
import json
import struct


def sha256(data):
    return hashlib.sha256(data).digest()


def message(time, seen, text):
    return struct.pack(">QQ", time, seen) + text.encode()


def file(size, content_hash, path):
    names = b"".join(struct.pack(">B", len(name.encode())) + name.encode() for name in path)
    return struct.pack(">Q", size) + content_hash + names


def chain(session, entries):
    roles = {"caller": 1, "listener": 2}
    chains = {
        role: [0, sha256(b"pki/1 transcript\0" + session + bytes([byte]))]
        for role, byte in roles.items()
    }
    first = {role: hash.hex() for role, (_, hash) in chains.items()}
    rows = []
    for role, kind, said in entries:
        if kind == 1:
            entry = message(*said)
            shown = dict(zip(("timeMs", "seen", "text"), said))
        else:
            size, content, path = said
            entry = file(size, sha256(content), path)
            shown = {"size": size, "sha256": sha256(content).hex(), "path": path}
        count, before = chains[role]
        after = sha256(before + struct.pack(">BI", kind, len(entry)) + entry)
        chains[role] = [count + 1, after]
        rows.append({"role": role, "kind": {1: "message", 2: "file"}[kind], **shown,
                     "entry": entry.hex(), "hash": after.hex()})
    to_sign = session
    for role in ("caller", "listener"):
        count, last = chains[role]
        to_sign += struct.pack(">Q", count) + last
    return {"session": session.hex(), "first": first, "entries": rows, "toSign": to_sign.hex()}


CONVERSATIONS = [
    (bytes(32), []),
    (bytes(range(32)), [("caller", 1, (1_795_000_000_000, 0, "hello"))]),
    (bytes(range(32)), [("listener", 1, (1_795_000_000_000, 0, "hello"))]),
    (sha256(b"a conversation"), [
        ("caller", 1, (1_795_000_000_123, 0, "Grüße, 世界 👋")),
        ("listener", 1, (1_795_000_001_000, 1, "")),
        ("listener", 2, (11, b"hello world", ["folder", "größe.txt"])),
        ("caller", 1, (0, 2, "\ufeffline\nanother\x00\x1b[31m")),
        ("caller", 2, (2**53 - 1, b"", ["n" * 255] + ["d"] * 63)),
        ("listener", 1, (8_640_000_000_000_000, 2**53 - 1, "x" * 1000)),
    ]),
]

print(json.dumps([chain(*one) for one in CONVERSATIONS], indent=1))
