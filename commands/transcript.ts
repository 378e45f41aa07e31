/**
 * Transcripts of the talks of `listen` and `connect`: who wants one, who agrees to sign, and what is
 * noted while they talk. The file is written by `lib/peer/transcript_file.ts`; what one proves is in
 * `docs/transcript.md`.
 */

import { createPrivateKey, type KeyObject } from "node:crypto";
import * as fs from "node:fs";
import { dirname, extname } from "node:path";
import { type Bytes, encodeHex, parseBase64 } from "../lib/base/bytes.ts";
import { messageOf, PkiError } from "../lib/base/errors.ts";
import type { Line, LineHandlers } from "../lib/peer/line.ts";
import type { Peer } from "../lib/peer/ports.ts";
import {
  fileIsThere,
  releaseFile,
  type ReservedFile,
  reserveFile,
  type TranscriptNotes,
  TranscriptWriter,
  UnwrittenTranscript,
  type WriteSync,
} from "../lib/peer/transcript_file.ts";
import type { TranscriptParty } from "../lib/peer/transcript_lines.ts";
import type { FileControl } from "../lib/protocol/peer_messages.ts";
import { otherRole, type PeerRole } from "../lib/protocol/safety_words.ts";
import { parseCertificate } from "../lib/x509/certificate.ts";
import { isLabelledSignatureValid, parsePublicKey, signLabelled } from "../lib/x509/keys.ts";
import { encodeCertificatesPem, encodePem } from "../lib/x509/pem.ts";
import type { Conversing } from "./converse.ts";
import { type Surroundings, textFlag } from "./globals.ts";
import type { Participant } from "./participant.ts";
import { askAbout } from "./waiting_line.ts";

export const TRANSCRIPT_FLAG = textFlag(
  "Keep a transcript of the talk here, to be signed by both sides",
  "FILE",
);

/** What the help of both commands says about it. */
export const TRANSCRIPT_DESCRIPTION =
  "With --transcript a talk is kept in FILE, and the other side is asked to sign it,\n" +
  "so that it can be proven: see pki transcript verify --help.\n\n";

const LABEL = "pki/1 transcript signature";
/** Files of one listener, by their number; nobody talks so often. */
const FILES_MAX = 100_000;

export interface TranscriptsOptions {
  readonly surroundings: Surroundings;
  readonly participant: Pick<Participant, "identity">;
  readonly conversing: Pick<Conversing, "mode" | "tell">;
  /** What files are written with, where a test wants that to fail. */
  readonly write?: WriteSync;
}

/**
 * Before anything is asked or opened.
 * @throws {PkiError} `usage` in a pipe, `conflict` if the file is there, `not-found` without its folder
 */
export function checkTranscript(
  { context }: Surroundings,
  path: string | undefined,
): void {
  if (path === undefined) return;
  const { stdin, stderr } = context.process;
  if (!stdin.isTTY || !stderr.isTTY) {
    throw new PkiError("usage", "cannot keep a transcript of a pipe: stdin is not a terminal", {
      hint: "a transcript is of a talk: run this at a terminal, and redirect nothing",
    });
  }
  if (fs.existsSync(path)) throw fileIsThere(path);
  if (!fs.existsSync(dirname(path))) {
    throw new PkiError("not-found", `cannot write the transcript to "${path}": no such folder`, {
      hint: "make the folder first, or name another",
    });
  }
}

/** The transcripts of one command, one for each talk. */
export class Transcripts {
  /** Where the first is kept; without it none is, but others' may be signed. */
  readonly #path: string | undefined;
  readonly #options: TranscriptsOptions;
  #files = 0;
  #failure: PkiError | undefined;

  constructor(path: string | undefined, options: TranscriptsOptions) {
    this.#path = path;
    this.#options = options;
  }

  /** What our HELLO says. */
  get greeting(): { readonly transcript?: boolean } {
    return this.#path === undefined ? {} : { transcript: true };
  }

  /** Why a transcript is not whole, if one is not. */
  get failure(): PkiError | undefined {
    return this.#failure;
  }

  /** Has a line keep, and sign, what was agreed upon. */
  keep(
    { role, line }: { readonly role: PeerRole; readonly line: () => Line },
    handlers: LineHandlers,
  ): LineHandlers {
    if (this.#options.conversing.mode !== "talk") return handlers;
    const talk = new KeptTalk(this.#options, {
      role,
      line,
      isKeeping: this.#path !== undefined,
      reserve: () => this.#reserve(),
      onFailure: (error) => {
        this.#failure ??= error;
      },
    });
    return {
      ...handlers,
      admit: async (peer) => {
        const admission = await handlers.admit(peer);
        return { ...admission, signs: await talk.admit(peer) };
      },
      onOpen: (peer, opening) => {
        talk.open(peer, opening);
        // A warning does not go through the talk, which begins with `onOpen`.
        const { quiet } = this.#options.surroundings.flags;
        if (quiet) talk.tellOpen(peer, opening);
        handlers.onOpen(peer, opening);
        if (!quiet) talk.tellOpen(peer, opening);
      },
      onText: (message) => {
        talk.notes?.message(otherRole(role), message);
        talk.look();
        return handlers.onText(message);
      },
      onFileControl: (control) => {
        talk.file(otherRole(role), control);
        return handlers.onFileControl?.(control);
      },
      onSent: (sent) => {
        if ("text" in sent) talk.notes?.message(role, sent);
        else talk.file(role, sent);
        talk.look();
        handlers.onSent?.(sent);
      },
      sign: () => talk.sign(),
      onSignature: (signature) => talk.checkSignature(signature),
    };
  }

  /** The file of the next talk: the one that was named, then others with numbers. */
  #reserve(): ReservedFile | undefined {
    const path = this.#path;
    if (path === undefined) return undefined;
    this.#files++;
    if (this.#files === 1) return reserveFile(path);
    const end = extname(path);
    const stem = path.slice(0, path.length - end.length);
    for (; this.#files < FILES_MAX; this.#files++) {
      try {
        return reserveFile(`${stem}-${this.#files}${end}`);
      } catch (error) {
        if (!(error instanceof PkiError) || error.kind !== "conflict") throw error;
      }
    }
    throw fileIsThere(path);
  }
}

interface KeptTalkOptions {
  readonly role: PeerRole;
  readonly line: () => Line;
  readonly isKeeping: boolean;
  readonly reserve: () => ReservedFile | undefined;
  readonly onFailure: (error: PkiError) => void;
}

/** One talk, of which something is kept, signed, or neither. */
class KeptTalk {
  readonly #shared: TranscriptsOptions;
  readonly #own: KeptTalkOptions;
  readonly #key: KeyObject;
  #reserved: ReservedFile | undefined;
  #notes: TranscriptNotes | undefined;
  #peer: Peer | undefined;
  #signs = false;
  #isAlarmed = false;
  #hasPeerSigned = false;

  constructor(shared: TranscriptsOptions, own: KeptTalkOptions) {
    this.#shared = shared;
    this.#own = own;
    this.#key = createPrivateKey(shared.participant.identity.tls.key);
  }

  /** What is noted of it, while it is noted. */
  get notes(): TranscriptNotes | undefined {
    return this.#notes;
  }

  /**
   * Makes the file, and asks whether to sign where only the peer keeps one.
   * @returns whether we sign
   */
  async admit(peer: Peer): Promise<boolean> {
    if (peer.mode !== "talk") return false;
    const line = this.#own.line();
    this.#reserved = this.#own.reserve();
    line.over.then(() => this.#over(undefined), (error) => this.#over(messageOf(error)));
    if (this.#reserved) return true;
    const { terminal } = this.#shared.surroundings.context;
    if (!peer.transcript || !terminal) return false;
    const question =
      `${peer.id} keeps a transcript of this talk and asks you to sign it at the end,\n` +
      `so that ${peer.id} can prove what you said. Sign it?`;
    return await askAbout(line, (signal) => terminal.confirm(question, signal));
  }

  open(peer: Peer, { signs }: { readonly signs: boolean }): void {
    this.#peer = peer;
    this.#signs = signs;
    if (this.#reserved) this.#notes = this.#begin(this.#reserved, { peer, signs });
    else if (signs) this.#notes = new UnwrittenTranscript(peer.session);
    this.look();
  }

  #begin(
    file: ReservedFile,
    { peer, signs }: { readonly peer: Peer; readonly signs: boolean },
  ): TranscriptNotes {
    const { participant: { identity }, surroundings } = this.#shared;
    const { role } = this.#own;
    const parties: Readonly<Record<"own" | "peer", TranscriptParty>> = {
      own: {
        id: identity.id,
        nonce: encodeHex(peer.nonces[role]),
        signs: true,
        certificates: encodeCertificatesPem([identity.certificateDer, identity.issuingDer]),
      },
      peer: {
        id: peer.id,
        nonce: encodeHex(peer.nonces[otherRole(role)]),
        signs,
        certificates: encodeCertificatesPem([peer.certificate, peer.issuing]),
      },
    };
    const { root, domain } = identity.anchor;
    return new TranscriptWriter({
      file,
      now: surroundings.context.now,
      seal: (running) => signLabelled(this.#key, "pki/1 transcript file", running),
    }, {
      session: peer.session,
      opening: {
        keeper: role,
        domain,
        ...(role === "caller"
          ? { caller: parties.own, listener: parties.peer }
          : { caller: parties.peer, listener: parties.own }),
        root: encodePem("CERTIFICATE", root.der),
      },
    }, this.#shared.write);
  }

  /** A file is in a transcript when it was sent whole. */
  file(from: PeerRole, control: FileControl): void {
    if (control.type !== "FILE_END") return;
    const { path, size, sha256 } = control;
    this.#notes?.file(from, { path, size, sha256: parseBase64(sha256) });
    this.look();
  }

  /** Says it at once where nothing more can be written: the talk goes on, and is signed. */
  look(): void {
    const error = this.#notes?.failure;
    if (!error || this.#isAlarmed) return;
    this.#isAlarmed = true;
    this.#own.onFailure(error);
    this.#say(
      { event: "transcript-failed", kind: error.kind, message: error.message },
      `the transcript ends here, and what is said from now on is not in it: ${error.message}`,
    );
  }

  sign(): Bytes {
    if (!this.#notes) throw new PkiError("internal", "signing a talk that was not noted");
    const signature = signLabelled(this.#key, LABEL, this.#notes.toSign());
    this.#notes.signature(this.#own.role, signature);
    return signature;
  }

  /** @throws {PkiError} `protocol` if it is not the peer's, of what was said here */
  checkSignature(signature: Bytes): void {
    const peer = this.#peer;
    if (!this.#notes || !peer) throw new PkiError("internal", "a signature that nobody asked for");
    const isGood = isLabelledSignatureValid({
      key: parsePublicKey(parseCertificate(peer.certificate).spki),
      label: LABEL,
      parts: [this.#notes.toSign()],
      signature,
    });
    if (!isGood) {
      throw new PkiError(
        "protocol",
        "the peer broke the protocol: a signature that does not fit what was said",
        { hint: "the transcript has what this side saw; the other side has not signed that" },
      );
    }
    this.#hasPeerSigned = true;
    this.#notes.signature(otherRole(this.#own.role), signature);
  }

  /** Says what is kept, and who will sign it: nobody shall be recorded without knowing. */
  tellOpen(peer: Peer, { signs }: { readonly signs: boolean }): void {
    const file = this.#reserved?.path ?? null;
    if (this.#own.isKeeping && peer.mode !== "talk") {
      return this.#say(
        { event: "transcript", peer: peer.id, file: null, peerKeeps: false, signed: false },
        `no transcript is kept: ${peer.id} does not talk, but sends data`,
      );
    }
    if (file === null && !peer.transcript) return;
    const event = {
      event: "transcript",
      peer: peer.id,
      file,
      peerKeeps: peer.transcript,
      signed: signs,
    };
    this.#say(event, sayKept(peer, { file, signs }));
  }

  /** With `--quiet` too. */
  #say(event: Readonly<Record<string, unknown>>, text: string): void {
    const { surroundings, conversing } = this.#shared;
    if (surroundings.flags.quiet && !surroundings.flags.json) surroundings.warn(text);
    else conversing.tell(event, text);
  }

  #over(why: string | undefined): void {
    const [notes, reserved, peer] = [this.#notes, this.#reserved, this.#peer];
    if (!notes || !peer) {
      if (reserved) releaseFile(reserved);
      return;
    }
    notes.end(why);
    this.look();
    this.#notes = undefined;
    if (!reserved || notes.failure) return;
    const signed = this.#hasPeerSigned;
    const outcome = signed
      ? `signed by both: pki transcript verify ${reserved.path}`
      : this.#signs
      ? `not signed by ${peer.id}, since the talk broke off`
      : `not signed by ${peer.id}`;
    this.#shared.conversing.tell(
      { event: "transcript-kept", peer: peer.id, file: reserved.path, signed },
      `the transcript is in ${reserved.path}, ${outcome}`,
    );
  }
}

function sayKept(
  { id, transcript: peerKeeps }: Peer,
  { file, signs }: { readonly file: string | null; readonly signs: boolean },
): string {
  if (file === null) {
    return signs
      ? `${id} keeps a transcript of this talk, and you both sign it at the end`
      : `${id} keeps a transcript of this talk; you do not sign it`;
  }
  const who = peerKeeps ? `you and ${id} keep transcripts` : `you keep a transcript`;
  return signs
    ? `${who} of this talk (${file}), and both sign at the end`
    : `${who} of this talk (${file}), but ${id} does not sign: it proves nothing to others`;
}
