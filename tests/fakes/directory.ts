/**
 * A directory in memory: a CA, a real state, a signed log over a list that can fail, a clock that
 * tests set, and logins that cost milliseconds.
 */

import assert from "node:assert/strict";
import { type KeyObject, randomBytes } from "node:crypto";
import * as opaque from "@serenity-kit/opaque";
import { type Bytes, encodeBase64, parseHex, utf8 } from "../../lib/base/bytes.ts";
import { type ErrorKind, PkiError } from "../../lib/base/errors.ts";
import { createAuthority, type Issuer } from "../../lib/ca/authority.ts";
import { issueCertificate, prepareCertificate } from "../../lib/ca/issue.ts";
import { parseProfiles } from "../../lib/ca/profile_config.ts";
import { encodeLeaf, type Entry, redactEntry } from "../../lib/log/entry.ts";
import { encodeVerifierKey, type NoteKey, parseVerifierKey } from "../../lib/log/note.ts";
import { formatOrigin } from "../../lib/log/origin.ts";
import { hashLeaf } from "../../lib/log/tree.ts";
import { type Answer, WrittenFields } from "../../lib/protocol/answers.ts";
import type { RequestBody, RequestType } from "../../lib/protocol/requests.ts";
import { bindLogin, createServerSetup, loadOpaque } from "../../lib/protocol/opaque.ts";
import { Directory } from "../../lib/server/directory.ts";
import type { DirectorySession } from "../../lib/server/directory_session.ts";
import { keyIdHex } from "../../lib/server/issuers.ts";
import type { LogEvent } from "../../lib/server/log.ts";
import type { Visitor } from "../../lib/server/ports.ts";
import { NO_SESSION_BOUNDS, type SessionBounds } from "../../lib/server/user_sessions.ts";
import { loadSqlite } from "../../lib/store/database.ts";
import type { Appended, Journal } from "../../lib/store/journal.ts";
import { LogIndex } from "../../lib/store/log_index.ts";
import { SignedLog } from "../../lib/store/signed_log.ts";
import { State } from "../../lib/store/state.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../../lib/x509/certificate.ts";
import { encodeTbsCrl, signCrl } from "../../lib/x509/crl.ts";
import { encodeSpki, generatePrivateKey, signLabelled } from "../../lib/x509/keys.ts";
import { makeCertificate } from "../../lib/x509/make.ts";
import { encodeOcspResponse } from "../../lib/x509/ocsp.ts";

export const DOMAIN = "pki.test";
export const NOW_MS = Date.UTC(2026, 6, 31, 12);
export const DAY_MS = 24 * 60 * 60 * 1000;

export interface TestCa {
  readonly root: Certificate;
  readonly rootKey: KeyObject;
  readonly issuing: Certificate;
  readonly issuingKey: KeyObject;
}

/** A root and an issuing CA, made at {@link NOW_MS}. */
export async function makeCa(domain = DOMAIN): Promise<TestCa> {
  const [rootKey, issuingKey] = await Promise.all([
    generatePrivateKey("p256"),
    generatePrivateKey("p256"),
  ]);
  const common = { domain, nowMs: NOW_MS };
  const root = parseCertificate(
    await issueCertificate(
      prepareCertificate({
        ...common,
        profile: "root",
        spki: encodeSpki(rootKey),
        random: randomBytes(20),
      }),
      { key: rootKey },
    ),
  );
  const issuing = parseCertificate(
    await issueCertificate(
      prepareCertificate({
        ...common,
        profile: "issuing",
        spki: encodeSpki(issuingKey),
        random: randomBytes(20),
        issuerNotAfterMs: root.notAfterMs,
      }),
      { key: rootKey, certificate: root },
    ),
  );
  return { root, rootKey, issuing, issuingKey };
}

/** A CA of the same root: another issuing CA, or one for these names outside of the domain. */
export async function makeOtherIssuer(
  ca: TestCa,
  { outside, number = 2 }: { readonly outside?: readonly string[]; readonly number?: number } = {},
): Promise<Issuer> {
  const key = await generatePrivateKey("p256");
  const template = prepareCertificate({
    domain: DOMAIN,
    nowMs: NOW_MS + number,
    number,
    ...(outside
      ? { profile: "outside", permitted: { dns: outside, addresses: ["10.0.0.0/8"] } }
      : { profile: "issuing" }),
    spki: encodeSpki(key),
    random: randomBytes(20),
    issuerNotAfterMs: ca.root.notAfterMs,
  });
  const der = issueCertificate(template, { key: ca.rootKey, certificate: ca.root });
  return { key, certificate: parseCertificate(der) };
}

/** A certificate of the issuing CA for any key and domain; without the lint that would refuse another one. */
export function issueUser(
  ca: TestCa,
  { id, key, nowMs = NOW_MS, domain = DOMAIN }: {
    readonly id: string;
    readonly key: KeyObject;
    readonly nowMs?: number;
    readonly domain?: string;
  },
): Bytes {
  return makeCertificate(
    prepareCertificate({
      profile: "user",
      domain,
      id,
      spki: encodeSpki(key),
      nowMs,
      random: randomBytes(20),
      issuerNotAfterMs: ca.issuing.notAfterMs,
    }),
    { key: ca.issuingKey, certificate: ca.issuing },
  );
}

export const LEAF_HASH = new Uint8Array(32).fill(1);
export const OTHER_LEAF_HASH = new Uint8Array(32).fill(2);

export interface TestDirectory {
  readonly directory: Directory;
  readonly state: State;
  readonly ca: TestCa;
  /** What was appended, in order. */
  readonly entries: Entry[];
  /** Copies that were saved, by id, the newest only. */
  readonly copies: Map<string, readonly Uint8Array[]>;
  /** `elapsedMs` where it shall go on otherwise than the time of day. */
  readonly clock: { nowMs: number; elapsedMs?: number };
  /** What the log does before it has an entry; may throw or wait. */
  readonly log: { before: (entry: Entry) => void | Promise<void> };
  readonly signedLog: SignedLog;
  /** What the log's checkpoints are verified with, and signed with. */
  readonly verifier: NoteKey;
  readonly logKey: KeyObject;
  /** The root's signature over the log's key, in base64. */
  readonly logSignature: string;
  /** How often the directory said that something was logged. */
  readonly changes: { count: number };
  /** What the directory told whoever runs the server. */
  readonly told: LogEvent[];
  /** Why the directory said that nothing may go on. */
  readonly faults: readonly string[];
  /** What the directory said was lost, with the checkpoint that shows it. */
  readonly losses: (readonly [loss: string, checkpoint: string])[];
  /** Whose certificates were revoked: key identifiers of CAs, one a revocation. */
  readonly revoked: readonly string[];
  open(visitor?: Partial<Visitor>): DirectorySession;
}

/** As another thread would answer: later, also with what it throws. */
async function settle<T>(work: () => T): Promise<T> {
  await Promise.resolve();
  return work();
}

/** A record of the log takes some space; how much does not matter here. */
const RECORD_BYTES = 100;

/** A log in memory with real checkpoints and proofs; the entries are the list that is given. */
function makeLog(
  entries: Entry[],
  { key, verifier, before }: {
    readonly key: KeyObject;
    readonly verifier: NoteKey;
    readonly before: (entry: Entry) => void | Promise<void>;
  },
): SignedLog {
  const index = new LogIndex();
  index.startSegment();
  const log = new SignedLog({ index, signer: { key, verifier }, warn: assert.fail });
  const journal: Pick<Journal, "append" | "read" | "redact"> = {
    redact: (indices) => {
      for (const at of indices) {
        const entry = entries[at];
        assert.ok(entry);
        entries[at] = redactEntry(entry) as Entry; // who looks for private parts meets "redacted"
      }
      return Promise.resolve();
    },
    append: async (entry): Promise<Appended> => {
      assert.ok(entry.private !== "redacted");
      await before(entry);
      const leafHash = hashLeaf(encodeLeaf(entry));
      index.append(leafHash, RECORD_BYTES);
      log.onSynced();
      return { index: entries.push(entry) - 1, leafHash };
    },
    read: (at) => {
      const entry = entries[at];
      if (!entry) throw new PkiError("not-found", `cannot find entry ${at}`);
      return entry;
    },
  };
  log.attach(journal as Journal, []);
  return log;
}

export interface TestDirectoryOptions {
  /** CAs that were current before, and those for names outside of the domain. */
  readonly earlier?: readonly Issuer[];
  readonly outside?: readonly Issuer[];
  readonly sessionBounds?: SessionBounds;
}

export async function makeDirectory(
  ca: TestCa,
  { earlier = [], outside = [], sessionBounds = NO_SESSION_BOUNDS }: TestDirectoryOptions = {},
): Promise<TestDirectory> {
  await Promise.all([loadOpaque(), loadSqlite()]);
  const state = State.empty();
  const entries: Entry[] = [];
  const copies = new Map<string, readonly Uint8Array[]>();
  const clock: TestDirectory["clock"] = { nowMs: NOW_MS };
  const log: TestDirectory["log"] = { before: () => {} };
  const changes = { count: 0 };
  const losses: TestDirectory["losses"] = [];
  const told: LogEvent[] = [];
  const faults: string[] = [];
  const logKey = await generatePrivateKey("ed25519");
  const rootFingerprint = fingerprintOf(ca.root.der);
  const verifierText = encodeVerifierKey(
    formatOrigin({ domain: DOMAIN, rootFingerprint, generation: 1 }),
    logKey,
  );
  const verifier = parseVerifierKey(verifierText);
  const logSignature = encodeBase64(signLabelled(ca.rootKey, "pki/1 log key", utf8(verifierText)));
  const signedLog = makeLog(entries, {
    key: logKey,
    verifier,
    before: (entry) => log.before(entry),
  });
  const issuing = { certificate: ca.issuing, key: ca.issuingKey };
  const others = [...earlier, ...outside];
  const find = (keyId: string) =>
    [issuing, ...others].find(({ certificate }) => keyIdHex(certificate) === keyId) ??
      assert.fail();
  const certificatesOf = (issuers: readonly Issuer[]) =>
    issuers.map(({ certificate }) => certificate);
  const revoked: string[] = [];
  const authority = createAuthority({
    issuing,
    others,
    domain: DOMAIN,
    profiles: parseProfiles(undefined, DOMAIN),
    now: () => clock.nowMs,
  });
  const directory = new Directory({
    registration: "open",
    sessionBounds,
    removeCopy: (id) => void copies.delete(id),
    root: ca.root,
    issuers: {
      current: ca.issuing,
      earlier: certificatesOf(earlier),
      outside: certificatesOf(outside),
      revoked: new Set(),
    },
    domain: DOMAIN,
    secrets: { setup: createServerSetup(), unknown: "unknown ids" },
    state,
    log: signedLog,
    logStatement: { key: verifierText, signature: logSignature },
    authority: {
      certify: (certification) => settle(() => authority.certify(certification)),
      certifyServer: (spki) => settle(() => authority.certifyServer(spki)),
      signStatus: ({ issuerKeyId, answers, nonce }) =>
        settle(() =>
          encodeOcspResponse({
            responderKeyId: parseHex(issuerKeyId),
            producedAtMs: clock.nowMs,
            answers,
            ...(nonce === undefined ? {} : { nonce }),
          }, find(issuerKeyId).key)
        ),
      signList: ({ issuerKeyId, ...list }) =>
        settle(() => {
          const issuer = find(issuerKeyId);
          return signCrl(encodeTbsCrl({ issuer: issuer.certificate, ...list }), issuer);
        }),
      prepareReload: () => Promise.resolve(),
      reload: () => Promise.resolve(),
    },
    saveCopy: (id, certificates) => void copies.set(id, certificates),
    onChange: () => void changes.count++,
    onRevoked: (issuerKeyId) => void revoked.push(issuerKeyId),
    onFault: (error) => void faults.push(error.message),
    onLoss: (loss, checkpoint) => void losses.push([loss, checkpoint]),
    now: () => clock.nowMs,
    elapsed: () => clock.elapsedMs ?? clock.nowMs,
    events: { isLogged: () => true, log: (event) => void told.push(event) },
  });
  return {
    directory,
    state,
    ca,
    entries,
    copies,
    clock,
    log,
    signedLog,
    verifier,
    logKey,
    logSignature,
    changes,
    losses,
    revoked,
    told,
    faults,
    open: (visitor = {}) =>
      directory.openSession({ address: "192.0.2.1", leafHash: LEAF_HASH, shown: [], ...visitor }),
  };
}

let lastSeq = 0;

/** Has a session do one request. */
export async function ask<T extends RequestType>(
  session: DirectorySession,
  type: T,
  body: RequestBody<T>,
): Promise<Answer> {
  const answer = await session.handle({ seq: ++lastSeq, type, ...body } as never);
  return answer instanceof WrittenFields ? JSON.parse(answer.json) : answer;
}

/** The server cannot see how a client stretches passwords, so tests do it for next to nothing. */
const CHEAP = { "argon2id-custom": { iterations: 1, memory: 8, parallelism: 1 } } as const;

const identifiers = (id: string, root: Certificate) => ({
  client: id,
  server: fingerprintOf(root.der),
});

function textOf(answer: Answer, field: string): string {
  const value = answer[field];
  assert.ok(typeof value === "string");
  return value;
}

/** The first half of a registration; the second finishes it. */
export async function startRegistering(
  session: DirectorySession,
  { id, password = "correct horse", root, invitation }: {
    readonly id: string;
    readonly password?: string;
    readonly root: Certificate;
    /** Its token, in base64. */
    readonly invitation?: string;
  },
): Promise<() => Promise<Answer>> {
  const { clientRegistrationState, registrationRequest } = opaque.client.startRegistration({
    password,
  });
  const answer = await ask(session, "REGISTER", {
    id,
    request: registrationRequest,
    ...(invitation === undefined ? {} : { invitation }),
  });
  const { registrationRecord } = opaque.client.finishRegistration({
    password,
    registrationResponse: textOf(answer, "response"),
    clientRegistrationState,
    identifiers: identifiers(id, root),
    keyStretching: CHEAP,
  });
  return () => ask(session, "REGISTER_FINISH", { record: registrationRecord });
}

/** The first half of a change of password; the second finishes it. */
export async function startChanging(
  session: DirectorySession,
  { id, password, root }: {
    readonly id: string;
    readonly password: string;
    readonly root: Certificate;
  },
): Promise<() => Promise<Answer>> {
  const { clientRegistrationState, registrationRequest } = opaque.client.startRegistration({
    password,
  });
  const answer = await ask(session, "PASSWD", { request: registrationRequest });
  const { registrationRecord } = opaque.client.finishRegistration({
    password,
    registrationResponse: textOf(answer, "response"),
    clientRegistrationState,
    identifiers: identifiers(id, root),
    keyStretching: CHEAP,
  });
  return () => ask(session, "PASSWD_FINISH", { record: registrationRecord });
}

/** What `LOGIN_FINISH` shall carry, or `undefined` if the client itself sees that it cannot. */
export async function startLoggingIn(
  session: DirectorySession,
  { id, password = "correct horse", root, leafHash = LEAF_HASH }: {
    readonly id: string;
    readonly password?: string;
    readonly root: Certificate;
    readonly leafHash?: Uint8Array;
  },
): Promise<RequestBody<"LOGIN_FINISH"> | undefined> {
  const { clientLoginState, startLoginRequest } = opaque.client.startLogin({ password });
  const answer = await ask(session, "LOGIN", { id, request: startLoginRequest });
  const result = opaque.client.finishLogin({
    password,
    loginResponse: textOf(answer, "response"),
    clientLoginState,
    identifiers: identifiers(id, root),
    keyStretching: CHEAP,
  });
  return result && {
    finish: result.finishLoginRequest,
    binding: encodeBase64(bindLogin(result.sessionKey, leafHash)),
  };
}

/** A session that belongs to a user, who is registered if need be. */
export async function openAs(
  world: TestDirectory,
  id: string,
  { password = "correct horse", ...visitor }: Partial<Visitor> & { readonly password?: string } =
    {},
): Promise<DirectorySession> {
  const session = world.open(visitor);
  const { root } = world.ca;
  if (!world.state.account(id)) await (await startRegistering(session, { id, password, root }))();
  const leafHash = visitor.leafHash ?? LEAF_HASH;
  const finish = await startLoggingIn(session, { id, password, root, leafHash });
  assert.ok(finish);
  assert.deepEqual(await ask(session, "LOGIN_FINISH", finish), { id });
  return session;
}

/** Checks that something fails in exactly this way. */
export async function assertFails(
  work: Promise<unknown>,
  kind: ErrorKind,
  message: string | RegExp,
): Promise<void> {
  const error: unknown = await work.then(() => undefined, (thrown) => thrown);
  assert.ok(error instanceof PkiError, `failed with ${error}`);
  assert.equal(error.kind, kind, error.message);
  if (typeof message === "string") assert.equal(error.message, message);
  else assert.match(error.message, message);
}
