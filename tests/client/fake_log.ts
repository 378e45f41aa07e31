/** A server that has nothing but a log, which a test may make grow, fork, shrink or lie. */

import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { type Bytes, encodeBase64, utf8 } from "../../lib/base/bytes.ts";
import { PkiError, reportError } from "../../lib/base/errors.ts";
import type { ShownLogKey } from "../../lib/client/log_key.ts";
import type { ProofAnswer } from "../../lib/client/log_proof.ts";
import type { ServerConnection } from "../../lib/client/server_connection.ts";
import { signCheckpoint } from "../../lib/log/checkpoint.ts";
import { encodeLeaf, type EntryType, type JsonObject } from "../../lib/log/entry.ts";
import { encodeVerifierKey } from "../../lib/log/note.ts";
import { formatOrigin } from "../../lib/log/origin.ts";
import { hashLeaf, MerkleTree } from "../../lib/log/tree.ts";
import { type Answer, encodeAnswer, encodeError } from "../../lib/protocol/answers.ts";
import { PROTOCOL } from "../../lib/protocol/message_fields.ts";
import type { Request, RequestBody } from "../../lib/protocol/requests.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import { signLabelled } from "../../lib/x509/keys.ts";
import { DOMAIN, type Holder, NOW_MS } from "../fakes/ca.ts";
import { connect } from "./fake_socket.ts";

export function makeLogKey(): KeyObject {
  return generateKeyPairSync("ed25519").privateKey;
}

/** A log's key as a root shows it, with whatever name. */
export function showKey(name: string, key: KeyObject, root: Holder): ShownLogKey {
  const text = encodeVerifierKey(name, createPublicKey(key));
  const signature = signLabelled(root.key, "pki/1 log key", utf8(text));
  return { key: text, signature: encodeBase64(signature) };
}

export interface FakeLogOptions {
  readonly root: Holder;
  readonly domain?: string;
  readonly generation?: number;
  readonly key?: KeyObject;
  /** The issuing CA, where it signs the log's key instead of the root. */
  readonly issuing?: Holder;
}

export class FakeLog {
  readonly origin: string;
  readonly key: KeyObject;
  readonly shown: ShownLogKey;
  readonly root: Holder;
  readonly issuing: Holder | undefined;
  readonly #tree = new MerkleTree();
  readonly #leaves: Bytes[] = [];

  constructor(options: FakeLogOptions) {
    const { root, domain = DOMAIN, generation = 1, key = makeLogKey(), issuing } = options;
    const rootFingerprint = fingerprintOf(root.certificate.der);
    this.origin = formatOrigin({ domain, rootFingerprint, generation });
    this.root = root;
    this.key = key;
    this.issuing = issuing;
    this.shown = {
      ...showKey(this.origin, key, issuing ?? root),
      ...(issuing ? { issuer: encodeBase64(issuing.certificate.der) } : {}),
    };
  }

  get size(): number {
    return this.#tree.size;
  }

  leaf(index: number): Bytes {
    return this.#leaves[index]!;
  }

  /** Appends an entry; returns its index. */
  append(type: EntryType, shown: JsonObject): number {
    return this.appendLeaf(
      encodeLeaf({ type, timeMs: NOW_MS, public: shown, private: null, salt: null }),
    );
  }

  /** Appends any bytes as if they were an entry. */
  appendLeaf(leaf: Bytes): number {
    this.#leaves.push(leaf);
    this.#tree.append(hashLeaf(leaf));
    return this.size - 1;
  }

  issue(id: string, certificate: Uint8Array): number {
    return this.append("issued", { profile: "user", id, certificate: encodeBase64(certificate) });
  }

  /** Entries that nobody asks about. */
  grow(count: number): void {
    for (let i = 0; i < count; i++) this.append("published", { serial: `${this.size}` });
  }

  /** The same log, as long as it is now or shorter; what is appended to one is not in the other. */
  copy(size = this.size): FakeLog {
    const copy = new FakeLog(this.#options());
    for (const leaf of this.#leaves.slice(0, size)) copy.appendLeaf(leaf);
    return copy;
  }

  #options(): FakeLogOptions {
    const [domain = "", , generation] = this.origin.split("/");
    return { root: this.root, domain, generation: Number(generation), key: this.key };
  }

  checkpoint(size = this.size): string {
    return signCheckpoint({ origin: this.origin, size, root: this.#tree.root(size) }, this);
  }

  /** What an honest server answers. @throws {PkiError} `not-found` */
  prove({ from, index }: RequestBody<"PROOF">): ProofAnswer {
    const size = this.size;
    if ((from ?? 0) > size || (index ?? -1) >= size) {
      throw new PkiError("not-found", `cannot prove: the log has ${size} entries`);
    }
    const encode = (hashes: readonly Bytes[]) => hashes.map(encodeBase64);
    return {
      checkpoint: this.checkpoint(),
      ...(from === undefined
        ? {}
        : { consistency: from === 0 ? [] : encode(this.#tree.consistencyProof(from, size)) }),
      ...(index === undefined ? {} : {
        leaf: encodeBase64(this.leaf(index)),
        inclusion: encode(this.#tree.inclusionProof(index, size)),
      }),
    };
  }
}

/** What a server of one log does with each request; a test replaces what it wants to go wrong. */
export interface FakeServer {
  log: FakeLog;
  answer: (request: Request) => Answer | Promise<Answer>;
  /** Every `PROOF` that was asked for. */
  readonly asked: RequestBody<"PROOF">[];
  /** Another connection to it, greeted. */
  connect(): Promise<ServerConnection>;
}

/** @param current its issuing CA; which one it is does not matter to a log that the root has signed */
export function makeServer(log: FakeLog, current: Holder = log.root): FakeServer {
  const hello = (): Answer => ({
    root: encodeBase64(log.root.certificate.der),
    domain: DOMAIN,
    versions: [PROTOCOL],
    time: new Date(NOW_MS).toISOString(),
    log: server.log.shown,
  });
  const server: FakeServer = {
    log,
    answer: (request) => {
      if (request.type === "PROOF") return { ...server.log.prove(request) };
      throw new PkiError("refused", `no ${request.type} here`);
    },
    asked: [],
    connect: async () => {
      const { socket, connection } = connect(utf8("leaf"));
      socket.onRequest = async (request) => {
        const { seq, type } = request;
        if (type === "PROOF") server.asked.push({ from: request.from, index: request.index });
        try {
          socket.say(
            encodeAnswer(seq, type === "HELLO" ? hello() : await server.answer(request)),
          );
        } catch (error) {
          socket.say(encodeError(seq, reportError(error)));
        }
      };
      await connection.greet(
        { root: log.root.certificate, domain: DOMAIN },
        { current: current.certificate, nowMs: NOW_MS },
      );
      return connection;
    },
  };
  return server;
}
