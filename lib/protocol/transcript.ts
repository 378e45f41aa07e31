/**
 * What both sides of a conversation sign at its end: a chain of hashes for each direction, over what
 * was said in it, in its order. See "Transcripts" in `docs/protocol.md`; what that proves, and what it
 * does not, is in `docs/transcript.md`. No I/O, no keys.
 */

import { type Bytes, concatBytes, sha256, utf8 } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { NAME_BYTES_MAX, PATH_NAMES_MAX } from "./peer_messages.ts";
import { type PeerRole, roleByte, SESSION_BYTES } from "./safety_words.ts";

const KIND_BYTE = { message: 1, file: 2 } as const;

export type EntryKind = keyof typeof KIND_BYTE;

export const HASH_BYTES = 32;

/** A file as the chain has it: that it was sent whole, and which bytes. */
export interface TranscriptFile {
  readonly path: readonly string[];
  readonly size: number;
  /** SHA-256 over all of it. */
  readonly sha256: Uint8Array;
}

function encodeNumber(value: number, bytes: 4 | 8): Bytes {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new PkiError("internal", `cannot write down ${value}: it is not a count`);
  }
  const number = new Uint8Array(bytes);
  const view = new DataView(number.buffer);
  if (bytes === 4) view.setUint32(0, value);
  else view.setBigUint64(0, BigInt(value));
  return number;
}

/**
 * A file: size (64 bits), SHA-256, and for each name of its path the length (8 bits) and UTF-8. Not
 * the JSON that said so on the line, which each program may write in its own way.
 * @throws {PkiError} `internal` for a path that the protocol has no room for
 */
export function encodeFileEntry({ path, size, sha256 }: TranscriptFile): Bytes {
  const names = path.map(utf8);
  const isPath = names.length >= 1 && names.length <= PATH_NAMES_MAX &&
    names.every(({ length }) => length >= 1 && length <= NAME_BYTES_MAX);
  if (!isPath || sha256.length !== HASH_BYTES) {
    throw new PkiError("internal", "a file in a transcript without a path or a hash");
  }
  const parts = names.flatMap((name) => [Uint8Array.of(name.length), name]);
  return concatBytes(encodeNumber(size, 8), sha256, ...parts);
}

/** One direction of a conversation: how much of it there is, and the hash that stands for all of it. */
interface Chain {
  entries: number;
  hash: Bytes;
}

/** Both directions of one conversation. */
export class TranscriptChains {
  readonly #session: Bytes;
  readonly #chains: Readonly<Record<PeerRole, Chain>>;

  /** @param session the 32 bytes that stand for the conversation */
  constructor(session: Uint8Array) {
    if (session.length !== SESSION_BYTES) {
      throw new PkiError("internal", "a transcript of a conversation without a session");
    }
    this.#session = new Uint8Array(session);
    const first = (role: PeerRole): Chain => ({
      entries: 0,
      hash: sha256(utf8("pki/1 transcript\0"), this.#session, roleByte(role)),
    });
    this.#chains = { caller: first("caller"), listener: first("listener") };
  }

  /**
   * Adds what a side has said next; returns the hash after it.
   * @param entry the bytes of a message, or of a file as {@link encodeFileEntry} writes them down
   */
  add(role: PeerRole, kind: EntryKind, entry: Uint8Array): Bytes {
    const chain = this.#chains[role];
    const head = concatBytes(Uint8Array.of(KIND_BYTE[kind]), encodeNumber(entry.length, 4));
    chain.hash = sha256(chain.hash, head, entry);
    chain.entries++;
    return chain.hash;
  }

  entries(role: PeerRole): number {
    return this.#chains[role].entries;
  }

  hash(role: PeerRole): Bytes {
    return this.#chains[role].hash;
  }

  /**
   * What both sides sign, behind the label `pki/1 transcript signature` and a zero byte: session, then
   * for the caller and for the listener the number of entries (64 bits) and the last hash.
   */
  toSign(): Bytes {
    const { caller, listener } = this.#chains;
    return concatBytes(
      this.#session,
      ...[caller, listener].flatMap(({ entries, hash }) => [encodeNumber(entries, 8), hash]),
    );
  }
}
