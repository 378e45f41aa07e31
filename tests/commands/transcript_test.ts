/** Who keeps a transcript, who agrees to sign one, and what is noted: two sides in memory. */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { PkiContext } from "../../commands/context.ts";
import { Surroundings } from "../../commands/globals.ts";
import { checkTranscript, Transcripts } from "../../commands/transcript.ts";
import { encodeBase64, encodeHex, sha256, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import type { Line, LineHandlers, NumberedMessage } from "../../lib/peer/line.ts";
import type { Peer } from "../../lib/peer/ports.ts";
import type { WriteSync } from "../../lib/peer/transcript_file.ts";
import { proveTranscript } from "../../lib/peer/transcript_proof.ts";
import type { FileControl, LineMode } from "../../lib/protocol/peer_messages.ts";
import { encodeMessage } from "../../lib/protocol/peer_text.ts";
import type { PeerRole } from "../../lib/protocol/safety_words.ts";
import { NOW_MS } from "../fakes/ca.ts";
import { makeTalk } from "../fakes/transcript.ts";

const talk = await makeTalk();
const IDS = { caller: "alice", listener: "bob" } as const;

interface SideOptions {
  readonly path?: string;
  readonly mode?: LineMode;
  readonly quiet?: boolean;
  /** What the person at the terminal says; without it there is nobody. */
  readonly says?: boolean;
  readonly write?: WriteSync;
}

/** One side of conversations: its transcripts, what it was told and asked. */
class Side {
  readonly role: PeerRole;
  readonly told: Record<string, unknown>[] = [];
  readonly sentences: string[] = [];
  readonly asked: string[] = [];
  readonly waited: string[] = [];
  readonly stderr = new PassThrough();
  readonly transcripts: Transcripts;
  readonly mode: LineMode;
  handlers!: LineHandlers;
  #over = Promise.withResolvers<void>();

  constructor(role: PeerRole, { path, mode = "talk", quiet = false, says, write }: SideOptions) {
    this.role = role;
    this.mode = mode;
    const stream = new PassThrough();
    const context: PkiContext = {
      process: { stdin: stream, stdout: stream, stderr: this.stderr, env: {} },
      homeFolder: "/nonexistent",
      terminal: says === undefined ? undefined : {
        askPassword: () => Promise.reject(new Error("nobody asks")),
        askText: () => Promise.reject(new Error("nobody asks")),
        confirm: (question) => (this.asked.push(question), Promise.resolve(says)),
      },
      signal: new AbortController().signal,
      now: () => NOW_MS,
    };
    const key = talk.users[role].key.export({ format: "pem", type: "pkcs8" }) as string;
    this.transcripts = new Transcripts(path, {
      surroundings: new Surroundings(context, { quiet }),
      participant: {
        identity: {
          id: IDS[role],
          anchor: talk.ca.judging.anchor,
          certificateDer: talk.users[role].certificate.der,
          issuingDer: talk.ca.issuing.certificate.der,
          tls: { key, cert: "" },
        },
      },
      conversing: {
        mode,
        tell: (event, text) => {
          this.told.push(event);
          this.sentences.push(text);
        },
      },
      ...(write ? { write } : {}),
    });
  }

  /** A new line; returns how the peer sees this side. */
  call(): Peer {
    this.#over = Promise.withResolvers<void>();
    this.#over.promise.catch(() => {});
    const line = {
      over: this.#over.promise,
      sayWait: (reason: string) => void this.waited.push(reason),
    } as unknown as Line;
    this.handlers = this.transcripts.keep({ role: this.role, line: () => line }, {
      askStatus: () => Promise.reject(new Error("nobody asks")),
      admit: () => {},
      onOpen: () => {},
      onText: () => {},
      onData: () => {},
      onPeerEnd: () => {},
    });
    const { certificate } = talk.users[this.role];
    return {
      id: IDS[this.role],
      fingerprint: encodeHex(sha256(certificate.der)),
      certificate: certificate.der,
      issuing: talk.ca.issuing.certificate.der,
      notAfterMs: certificate.notAfterMs,
      mode: this.mode,
      status: "stapled",
      words: [],
      session: talk.session,
      nonces: talk.nonces,
      endorsements: [],
      silenceMs: 60_000,
      wait: false,
      transcript: this.transcripts.greeting.transcript ?? false,
    };
  }

  async over(error?: PkiError): Promise<void> {
    if (error) this.#over.reject(error);
    else this.#over.resolve();
    await this.#over.promise.catch(() => {});
  }
}

/** Both are connected and ready; returns whether both sign. */
async function open(a: Side, b: Side): Promise<boolean> {
  const [peerA, peerB] = [a.call(), b.call()];
  const ready = async (side: Side, peer: Peer) =>
    (await side.handlers.admit(peer) ?? {}).signs ?? false;
  const both = [await ready(a, peerB), await ready(b, peerA)];
  const signs = both.every((one) => one);
  a.handlers.onOpen(peerB, { signs });
  b.handlers.onOpen(peerA, { signs });
  return signs;
}

async function say(from: Side, to: Side, [text, seen]: readonly [string, number]): Promise<void> {
  const said = { timeMs: NOW_MS, seen, text };
  const message: NumberedMessage = { ...said, number: 1, bytes: encodeMessage(said) };
  from.handlers.onSent?.(message);
  await to.handlers.onText(message);
}

const FILE: FileControl = {
  type: "FILE_END",
  file: 1,
  path: ["plan.txt"],
  size: 5,
  sha256: encodeBase64(sha256(utf8("hello"))),
};

async function sign(from: Side, to: Side): Promise<void> {
  const signature = await from.handlers.sign?.();
  assert.ok(signature);
  await to.handlers.onSignature?.(signature);
}

async function inFolder(body: (path: (name: string) => string) => Promise<void>): Promise<void> {
  const folder = fs.mkdtempSync(join(tmpdir(), "pki-transcript-"));
  try {
    await body((name) => join(folder, name));
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

const prove = (path: string) =>
  proveTranscript(fs.createReadStream(path), { anchorAt: () => talk.ca.judging.anchor });

test("a talk with a file, kept by both, signed by both", () =>
  inFolder(async (path) => {
    const a = new Side("caller", { path: path("a.jsonl") });
    const b = new Side("listener", { path: path("b.jsonl") });
    assert.equal(await open(a, b), true);
    await say(a, b, ["here it is", 0]);
    a.handlers.onSent?.({ type: "FILE", file: 1 } as unknown as FileControl);
    a.handlers.onSent?.(FILE);
    await b.handlers.onFileControl?.(FILE);
    await say(b, a, ["thanks", 1]);
    await sign(a, b);
    await sign(b, a);
    for (const side of [a, b]) await side.over();
    for (const name of ["a.jsonl", "b.jsonl"]) {
      const { caller, listener, isSealed, isComplete } = await prove(path(name));
      assert.deepEqual([caller.messages, caller.files, listener.messages], [1, 1, 1]);
      assert.ok(caller.hasSigned && listener.hasSigned && isSealed && isComplete);
    }
    assert.deepEqual(a.told, [
      { event: "transcript", peer: "bob", file: path("a.jsonl"), peerKeeps: true, signed: true },
      { event: "transcript-kept", peer: "bob", file: path("a.jsonl"), signed: true },
    ]);
    assert.deepEqual([...a.asked, ...b.asked, ...a.waited], [], "both have asked for it");
  }));

test("who has not asked for a transcript is asked, and where nobody can be, it is No", () =>
  inFolder(async (path) => {
    for (const [says, isSigned] of [[true, true], [false, false], [undefined, false]] as const) {
      const file = path(`${says}.jsonl`);
      const a = new Side("caller", { path: file });
      const b = new Side("listener", says === undefined ? {} : { says });
      assert.equal(await open(a, b), isSigned);
      assert.equal(b.asked.length, says === undefined ? 0 : 1);
      assert.deepEqual(
        b.waited,
        says === undefined ? [] : ["asked"],
        "alice is told why she waits",
      );
      await say(a, b, ["hello", 0]);
      if (isSigned) {
        await sign(a, b);
        await sign(b, a);
      }
      for (const side of [a, b]) await side.over();
      const { caller, listener } = await prove(file);
      assert.deepEqual([caller.hasSigned, listener.hasSigned], [isSigned, isSigned]);
      assert.equal(listener.wasWilling, isSigned);
      assert.equal(
        b.sentences[0],
        isSigned
          ? "alice keeps a transcript of this talk, and you both sign it at the end"
          : "alice keeps a transcript of this talk; you do not sign it",
      );
    }
  }));

test("where nobody keeps a transcript nobody is asked, told, or signs", async () => {
  const [a, b] = [new Side("caller", { says: true }), new Side("listener", { says: true })];
  assert.equal(await open(a, b), false);
  await say(a, b, ["hello", 0]);
  for (const side of [a, b]) {
    await side.over();
    assert.deepEqual([side.told, side.asked], [[], []]);
    assert.deepEqual(side.transcripts.greeting, {});
  }
});

test("each talk of a listener has a file of its own, and takes nobody's place", () =>
  inFolder(async (path) => {
    const b = new Side("listener", { path: path("talk.jsonl") });
    fs.writeFileSync(path("talk-3.jsonl"), "mine");
    for (let i = 0; i < 3; i++) {
      const a = new Side("caller", { says: false });
      await open(a, b);
      await say(a, b, [`call ${i}`, 0]);
      await b.over();
    }
    for (const [name, text] of [["talk", "call 0"], ["talk-2", "call 1"], ["talk-4", "call 2"]]) {
      assert.ok(fs.readFileSync(path(`${name}.jsonl`), "utf8").includes(`"text":"${text}"`));
    }
    assert.equal(fs.readFileSync(path("talk-3.jsonl"), "utf8"), "mine");
  }));

test("a file that came to be there meanwhile turns the peer away; no talk leaves no file", () =>
  inFolder(async (path) => {
    const a = new Side("caller", { path: path("a.jsonl") });
    const b = new Side("listener", { says: false });
    const peer = b.call();
    a.call();
    await a.handlers.admit(peer);
    assert.equal(fs.statSync(path("a.jsonl")).size, 0);
    await a.over(new PkiError("refused", "the peer refuses"));
    assert.equal(fs.existsSync(path("a.jsonl")), false);
    const other = new Side("caller", { path: path("a.jsonl") });
    fs.writeFileSync(path("a.jsonl"), "mine");
    other.call();
    await assert.rejects(async () => await other.handlers.admit(peer), { kind: "conflict" });
    await other.over(new PkiError("conflict", "there"));
    assert.equal(fs.readFileSync(path("a.jsonl"), "utf8"), "mine");
  }));

test("a signature that does not fit what was said breaks the protocol", () =>
  inFolder(async (path) => {
    const bad: readonly ((a: Side, b: Side) => Promise<Uint8Array>)[] = [
      async (_, b) => (await b.handlers.sign?.() ?? new Uint8Array()).map((byte) => byte ^ 1),
      async (a) => await a.handlers.sign?.() ?? new Uint8Array(), // ours, sent back
      () => Promise.resolve(new Uint8Array(64)),
      () => Promise.resolve(Uint8Array.of(1)),
      async (_, b) => {
        b.handlers.onSent?.({
          timeMs: 0,
          seen: 0,
          text: "x",
          number: 1,
          bytes: new Uint8Array(17),
        });
        return await b.handlers.sign?.() ?? new Uint8Array();
      },
    ];
    for (const [i, make] of bad.entries()) {
      const a = new Side("caller", { path: path(`${i}.jsonl`) });
      const b = new Side("listener", { says: true });
      await open(a, b);
      await say(a, b, ["hello", 0]);
      const signature = new Uint8Array(await make(a, b));
      await assert.rejects(async () => await a.handlers.onSignature?.(signature), {
        kind: "protocol",
        message: "the peer broke the protocol: a signature that does not fit what was said",
      });
      await a.over(new PkiError("protocol", "the peer broke the protocol"));
      const { listener, isSealed, why } = await prove(path(`${i}.jsonl`));
      assert.deepEqual([listener.hasSigned, isSealed], [false, true]);
      assert.equal(why, "the peer broke the protocol");
      assert.equal(a.told.at(-1)?.["signed"], false);
    }
  }));

test("a full disk is told at once, the talk goes on and is signed, and the command fails", () =>
  inFolder(async (path) => {
    let isFull = false;
    const write: WriteSync = (descriptor, bytes) => {
      if (!isFull) return fs.writeSync(descriptor, bytes);
      throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
    };
    const a = new Side("caller", { path: path("a.jsonl"), write });
    const b = new Side("listener", { path: path("b.jsonl") });
    const failure = (): PkiError | undefined => a.transcripts.failure;
    await open(a, b);
    await say(a, b, ["before", 0]);
    assert.equal(failure(), undefined);
    isFull = true;
    await say(b, a, ["after", 1]);
    assert.equal(failure()?.kind, "storage");
    assert.equal(a.told.at(-1)?.["event"], "transcript-failed");
    assert.match(
      a.sentences.at(-1) ?? "",
      /^the transcript ends here, and what is said from now on is not in it: cannot write ".*a\.jsonl": /,
    );
    await say(a, b, ["still there", 1]);
    await sign(a, b);
    await sign(b, a);
    await b.over();
    await a.over();
    assert.equal(a.told.filter(({ event }) => event === "transcript-failed").length, 1, "once");
    assert.equal((await prove(path("b.jsonl"))).caller.hasSigned, true, "the other's is whole");
    assert.match(fs.readFileSync(path("a.jsonl"), "utf8"), /"text":"before".*\n$/);
  }));

test("with --quiet what is kept is a warning all the same", () =>
  inFolder(async (path) => {
    const a = new Side("caller", { path: path("a.jsonl") });
    const b = new Side("listener", { says: true, quiet: true });
    await open(a, b);
    assert.deepEqual(b.told, []);
    assert.equal(
      Buffer.from(b.stderr.read() as Uint8Array).toString(),
      "pki: warning: alice keeps a transcript of this talk, and you both sign it at the end\n",
    );
    for (const side of [a, b]) await side.over();
  }));

test("of a pipe and of somebody who does not talk no transcript is kept", () =>
  inFolder(async (path) => {
    for (const mode of ["pipe", "files"] as const) {
      const a = new Side("caller", { path: path("a.jsonl") });
      const b = new Side("listener", { mode, says: true });
      assert.equal(await open(a, b), false);
      assert.deepEqual(b.asked, []);
      assert.equal(a.sentences[0], "no transcript is kept: bob does not talk, but sends data");
      await a.over();
      assert.equal(fs.existsSync(path("a.jsonl")), false);
    }
  }));

test("checkTranscript() says what cannot be before anything is done", () =>
  inFolder((path) => {
    const surroundings = (isTTY: boolean) => {
      const stream = Object.assign(new PassThrough(), { isTTY });
      return { context: { process: { stdin: stream, stderr: stream } } } as unknown as Surroundings;
    };
    fs.writeFileSync(path("there"), "");
    checkTranscript(surroundings(false), undefined);
    checkTranscript(surroundings(true), path("new"));
    assert.throws(() => checkTranscript(surroundings(false), path("new")), { kind: "usage" });
    assert.throws(() => checkTranscript(surroundings(true), path("there")), { kind: "conflict" });
    assert.throws(() => checkTranscript(surroundings(true), path("no/new")), { kind: "not-found" });
    return Promise.resolve();
  }));
