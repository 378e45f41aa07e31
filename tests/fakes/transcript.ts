/** A talk of alice, who called, and bob, with a transcript of it that one of them has kept. */

import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { type Bytes, encodeHex, sha256, utf8 } from "../../lib/base/bytes.ts";
import {
  reserveFile,
  type TranscriptNotes,
  TranscriptWriter,
  type WriteSync,
} from "../../lib/peer/transcript_file.ts";
import { encodeMessage } from "../../lib/protocol/peer_text.ts";
import { deriveSecrets, type PeerRole } from "../../lib/protocol/safety_words.ts";
import { signLabelled } from "../../lib/x509/keys.ts";
import { encodeCertificatesPem, encodePem } from "../../lib/x509/pem.ts";
import { DOMAIN, type Holder, makeTestCa, makeUser, NOW_MS, type TestCa } from "./ca.ts";

export interface Talk {
  readonly ca: TestCa;
  readonly users: Readonly<Record<PeerRole, Holder>>;
  readonly nonces: Readonly<Record<PeerRole, Bytes>>;
  readonly session: Bytes;
}

/** Two users, and what their conversation is called. */
export async function makeTalk(ca?: TestCa): Promise<Talk> {
  const ofCa = ca ?? await makeTestCa();
  const users = {
    caller: await makeUser(ofCa, { id: "alice" }),
    listener: await makeUser(ofCa, { id: "bob", keyType: "ed25519" }),
  };
  const nonces = {
    caller: new Uint8Array(randomBytes(32)),
    listener: new Uint8Array(randomBytes(32)),
  };
  const shown = (role: PeerRole) => ({
    certificate: users[role].certificate.der,
    nonce: nonces[role],
  });
  return { ca: ofCa, users, nonces, ...deriveSecrets(shown("caller"), shown("listener")) };
}

export interface Kept {
  readonly keeper?: PeerRole;
  readonly write?: WriteSync;
  readonly ids?: Readonly<Record<PeerRole, string>>;
  readonly session?: Bytes;
  readonly startedMs?: number;
}

/** Begins a transcript in a file. */
export function keep(
  { ca, users, nonces, session }: Talk,
  path: string,
  { keeper = "caller", write, ids = { caller: "alice", listener: "bob" }, ...more }: Kept = {},
): TranscriptWriter {
  const party = (role: PeerRole) => ({
    id: ids[role],
    nonce: encodeHex(nonces[role]),
    signs: true,
    certificates: encodeCertificatesPem([users[role].certificate.der, ca.issuing.certificate.der]),
  });
  let nowMs = more.startedMs ?? NOW_MS;
  return new TranscriptWriter(
    {
      file: reserveFile(path),
      now: () => nowMs++,
      seal: (running) => signLabelled(users[keeper].key, "pki/1 transcript file", running),
    },
    {
      session: more.session ?? session,
      opening: {
        keeper,
        domain: DOMAIN,
        caller: party("caller"),
        listener: party("listener"),
        root: encodePem("CERTIFICATE", ca.root.certificate.der),
      },
    },
    write,
  );
}

/** Says something, as it would stand in a chain. */
export function say(
  notes: TranscriptNotes,
  from: PeerRole,
  [text, seen, timeMs = NOW_MS]: readonly [string, number, number?],
): void {
  const message = { timeMs, seen, text };
  notes.message(from, { ...message, bytes: encodeMessage(message) });
}

export function sign({ users }: Talk, writer: TranscriptWriter, by: PeerRole): void {
  const label = "pki/1 transcript signature";
  writer.signature(by, signLabelled(users[by].key, label, writer.toSign()));
}

/** What all tests of a whole transcript are about: eleven lines. */
export function keepWhole(talk: Talk, path: string, kept: Kept = {}): string {
  const writer = keep(talk, path, kept);
  say(writer, "caller", ["hello bob", 0]);
  say(writer, "listener", ["hello alice", 1]);
  say(writer, "caller", ["", 1]);
  writer.file("caller", { path: ["plan", "größe.txt"], size: 5, sha256: sha256(utf8("hello")) });
  say(writer, "caller", ["five million \u202e\u001b[2J👋", 1]);
  say(writer, "listener", ["agreed", 3]);
  sign(talk, writer, "caller");
  sign(talk, writer, "listener");
  writer.end(undefined);
  return fs.readFileSync(path, "utf8");
}
