/**
 * What this client remembers of the server's log, so that the server cannot forget or change what it
 * showed without being caught: the newest checkpoint and the log's key, in the home.
 *
 * Every certificate that is believed is in a log that goes on from the checkpoint remembered, and
 * the checkpoint that proves it is saved before the certificate is: after a crash between the two
 * too much is remembered, never too little. What does not fit is kept as evidence.
 *
 * Start reading at {@link LogMemory.prove}.
 */

import { encodeBase64 } from "../base/bytes.ts";
import { messageOf, PkiError } from "../base/errors.ts";
import { type Checkpoint, openCheckpoint, readOrigin } from "../log/checkpoint.ts";
import { parseOrigin } from "../log/origin.ts";
import type { TrustAnchor } from "../x509/chain.ts";
import { type Address, formatAddress } from "./address.ts";
import type { Home } from "./home.ts";
import { distrustLog, encodeLogKey, isOriginOf, type LogKey, parseLogKey } from "./log_key.ts";
import { type Claim, judgeProof, type ProofAnswer } from "./log_proof.ts";
import type { ServerConnection } from "./server_connection.ts";

export interface LogMemoryOptions {
  readonly home: Home;
  /** Greeted: its log key was judged. */
  readonly connection: ServerConnection;
  readonly anchor: TrustAnchor;
  /** Where the server was reached, for evidence. */
  readonly address: Address;
  readonly now: () => number;
  /** Tells a person what must not be missed. */
  readonly warn: (text: string) => void;
}

/** What is remembered from an earlier visit. */
interface Known {
  /** The checkpoint, as it was signed. */
  readonly note: string;
  readonly generation: number;
  readonly key: LogKey | undefined;
  /** Absent if it is of an older generation than the log is now: no proof leads from one to the next. */
  readonly checkpoint: Checkpoint | undefined;
}

/** What was on the table when something did not fit. */
interface Facts {
  readonly known?: Omit<Known, "checkpoint"> | undefined;
  readonly answer?: ProofAnswer;
  readonly claim?: Claim | undefined;
}

export class LogMemory {
  readonly #options: LogMemoryOptions;
  readonly #key: LogKey;

  constructor(options: LogMemoryOptions) {
    this.#options = options;
    this.#key = options.connection.logKey;
  }

  /**
   * The newest checkpoint known of this very log, for the login.
   * @throws {PkiError} `untrusted` if it cannot be this log's past, `malformed` if it is damaged
   */
  knownNote(): string | undefined {
    const known = this.#loadKnown();
    return known?.checkpoint && known.note;
  }

  /**
   * Has the log prove that it has only grown since the last time and, with a claim, that it holds a
   * certificate; then remembers it. Nothing that depends on the log is to be shown or saved before.
   * @throws {PkiError} `untrusted`, with the evidence kept; `malformed` if what is remembered is damaged
   */
  async prove(claim?: Claim): Promise<void> {
    // Another command may remember something newer meanwhile: then the log must prove that, too.
    while (!await this.#proveOnce(claim));
  }

  /** Returns whether what was proven is remembered. */
  async #proveOnce(claim: Claim | undefined): Promise<boolean> {
    const { home } = this.#options;
    const known = this.#loadKnown();
    const answer = await this.#ask(known?.checkpoint?.size, claim?.index);
    const newest = this.#orKeepEvidence(
      { known, answer, claim },
      () => judgeProof(answer, { key: this.#key, known: known?.checkpoint, claim }),
    );
    if (newest.size === known?.checkpoint?.size) return home.loadCheckpoint() === known.note;
    const isStartedAnew = known !== undefined && known.generation < this.#key.generation;
    const kept = isStartedAnew &&
      this.#keepEvidence("the log was started anew", { known, answer, claim });
    // The key first: a checkpoint without its key could not accuse anybody.
    const keyText = encodeLogKey(this.#key);
    if (!known?.key || encodeLogKey(known.key) !== keyText) home.saveLogKey(keyText);
    if (!home.replaceCheckpoint(answer.checkpoint, known?.note)) return false;
    if (isStartedAnew) {
      this.#options.warn(
        `the server's log was started anew (generation ${this.#key.generation}) after a loss: ` +
          "entries that it showed before may be gone; " +
          `its last checkpoint of generation ${known.generation} is kept in "${kept}"`,
      );
    }
    return true;
  }

  /**
   * What the log says; it is judged elsewhere. To say that it has no such entry saves no server from
   * that: then it is asked for less, down to a checkpoint, which is signed and tells how long it is.
   */
  async #ask(from: number | undefined, index: number | undefined): Promise<ProofAnswer> {
    const { connection } = this.#options;
    for (const question of [{ from, index }, { from }]) {
      try {
        return await connection.request("PROOF", question);
      } catch (error) {
        if (!(error instanceof PkiError && error.kind === "not-found")) throw error;
      }
    }
    return await connection.request("PROOF", {});
  }

  /** Reads what is remembered and compares it with the key that the server shows now. */
  #loadKnown(): Known | undefined {
    const { home } = this.#options;
    const note = this.#orDamaged(home.checkpointPath, () => home.loadCheckpoint());
    if (note === undefined) return undefined;
    const key = this.#loadKey();
    const generation = this.#judgeKnown(note, key);
    this.#orKeepEvidence(
      { known: { note, generation, key } },
      () => this.#compareKeys(Math.max(generation, key?.generation ?? 0), key),
    );
    const checkpoint = generation === this.#key.generation
      ? this.#orDamaged(home.checkpointPath, () => openCheckpoint(note, this.#key.note))
      : undefined;
    return { note, generation, key, checkpoint };
  }

  /** Whether our own files fit together, before anybody is accused with them; returns the generation. */
  #judgeKnown(note: string, key: LogKey | undefined): number {
    const { home, anchor } = this.#options;
    const path = home.checkpointPath;
    const origin = this.#orDamaged(path, () => readOrigin(note));
    const { generation } = this.#orDamaged(path, () => parseOrigin(origin));
    if (!isOriginOf(origin, anchor)) {
      throw this.#unusable(path, "it is of another CA than the pinned one");
    }
    // A key may be newer, after a crash before its first checkpoint was saved; never older.
    if (key && key.generation < generation) throw this.#unusable(path, "it is damaged");
    if (key?.note.name === origin) this.#orDamaged(path, () => openCheckpoint(note, key.note));
    return generation;
  }

  /** @throws {PkiError} `untrusted` */
  #compareKeys(generation: number, key: LogKey | undefined): void {
    const now = this.#key;
    if (generation > now.generation) {
      throw distrustLog(
        `it is of generation ${now.generation}, but generation ${generation} was seen before`,
      );
    }
    if (key?.signedBy === "root" && now.signedBy !== "root") {
      // Whoever has the issuing CA's key alone must not be able to start the log anew.
      throw distrustLog("its key is not signed by the root, as it was before");
    }
    if (key?.generation === now.generation && key.shown.key !== now.shown.key) {
      throw distrustLog("it has another key than before, and was not started anew");
    }
  }

  /** The key that is remembered, which may be missing where somebody put a checkpoint there. */
  #loadKey(): LogKey | undefined {
    const { home, anchor } = this.#options;
    return this.#orDamaged(home.logKeyPath, () => {
      const text = home.loadLogKey();
      return text === undefined ? undefined : parseLogKey(text, anchor);
    });
  }

  #orDamaged<T>(path: string, read: () => T): T {
    try {
      return read();
    } catch (cause) {
      if (cause instanceof PkiError && cause.kind === "storage") throw cause;
      throw this.#unusable(path, "it is damaged", cause);
    }
  }

  #unusable(path: string, why: string, cause?: unknown): PkiError {
    return new PkiError("malformed", `cannot use "${path}": ${why}`, {
      cause,
      hint: "put it back as it was; or move it away to trust the server's log as it is now, " +
        "without what was remembered of it",
    });
  }

  /** Adds to a distrust of the log where the evidence for it is. */
  #orKeepEvidence<T>(facts: Facts, judge: () => T): T {
    try {
      return judge();
    } catch (error) {
      if (!(error instanceof PkiError && error.kind === "untrusted")) throw error;
      throw new PkiError("untrusted", error.message, {
        cause: error,
        hint: this.#hintAt(error.message, facts),
      });
    }
  }

  #hintAt(what: string, facts: Facts): string {
    try {
      const path = this.#keepEvidence(what, facts);
      return `show whoever runs the server the evidence in "${path}"`;
    } catch (error) {
      // A full disk must not turn a distrust into something else.
      return `the evidence could not be kept: ${messageOf(error)}`;
    }
  }

  /** Keeps all that somebody else needs to come to the same conclusion; returns the file. */
  #keepEvidence(what: string, { known, answer, claim }: Facts): string {
    const { home, anchor, address, now } = this.#options;
    const nowMs = now();
    return home.saveEvidence({
      what,
      time: new Date(nowMs).toISOString(),
      address: formatAddress(address),
      domain: anchor.domain,
      root: encodeBase64(anchor.root.der),
      logKey: this.#key.shown,
      knownLogKey: known?.key?.shown,
      knownCheckpoint: known?.note,
      answer,
      index: claim?.index,
      id: claim?.id,
      certificate: claim && encodeBase64(claim.certificate),
    }, nowMs);
  }
}
