/**
 * An archive of several files in one: POSIX tar, so that `tar tf` lists it and `tar xf` takes it
 * apart. Its last member, `SHA256SUMS`, has the digest of each other one in the form that
 * `sha256sum -c` reads, since tar itself would not notice a flipped bit.
 *
 * Contents pass through in portions: memory does not grow with them. What the names and contents
 * mean is the caller's business; nothing that is read here is a path yet.
 */

import { createHash, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type Extract, extract, type Pack, pack } from "tar-stream";
import { concatBytes, encodeHex } from "../base/bytes.ts";
import { messageOf, PkiError, systemCodeOf } from "../base/errors.ts";
import { SECRET_MODE, storageError, syncFolder } from "../base/files.ts";

const SUMS_NAME = "SHA256SUMS";
const BLOCK_BYTES = 512;
/** An archive ends with two blocks of zeros; programs that pack anew may fill up with more. */
const END_BYTES_MIN = 2 * BLOCK_BYTES;
const READ_BYTES = 256 * 1024;
/** What the header of a member has room for without an extension (POSIX ustar). */
const MEMBER_BYTES_MAX = 0o77777777777;
const NAME_PATTERN = /^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/;
const NAME_CHARACTERS_MAX = 100;
/** Bounds the memory for names and digests: about 250 bytes each. */
const MEMBERS_MAX = 1_000_000;
/** A line of the sums: 64 digits, two spaces, name, line feed. */
const SUMS_LINE_BYTES_MAX = 64 + 2 + NAME_CHARACTERS_MAX + 1;

type Entry = Extract extends AsyncIterable<infer E> ? E : never;
type Content = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** One file in an archive. */
export interface Member {
  /** Letters, digits, `.`, `_`, `-`, in parts divided by `/`; at most 100. */
  readonly name: string;
  /** How many bytes the content has, exactly. */
  readonly bytes: number;
  readonly content: Content;
}

function isMemberName(name: string): boolean {
  return name.length <= NAME_CHARACTERS_MAX && NAME_PATTERN.test(name) &&
    !name.split("/").some((part) => part === "." || part === "..");
}

function encodeSums(sums: ReadonlyMap<string, string>): string {
  return [...sums].map(([name, digest]) => `${digest}  ${name}\n`).join("");
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    at += (await file.write(bytes, at, bytes.length - at, null)).bytesWritten;
  }
}

/** What the streams of tar-stream have in common, as far as bytes are given to them. */
interface Sink {
  write(chunk: Uint8Array): boolean;
  once(event: "drain" | "close", listener: () => void): unknown;
  off(event: "drain" | "close", listener: () => void): unknown;
  readonly destroying: boolean;
}

/** Gives bytes to a stream and waits until it wants more or is broken; whose break tells elsewhere. */
async function feed(sink: Sink, chunk: Uint8Array): Promise<void> {
  if (sink.write(chunk) || sink.destroying) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      sink.off("drain", done);
      sink.off("close", done);
      resolve();
    };
    sink.once("drain", done);
    sink.once("close", done);
  });
}

/** What comes out of a stream; its types leave open what that is. */
function bytesOf(stream: AsyncIterable<unknown>): AsyncIterable<Uint8Array> {
  return stream as AsyncIterable<Uint8Array>;
}

/** Runs both ends of a stream; the first fault ends it and is thrown when both have ended. */
async function runBoth(
  stream: { destroy(error: Error): void },
  ends: readonly (() => Promise<void>)[],
): Promise<void> {
  const faults: unknown[] = [];
  await Promise.all(ends.map((end) =>
    end().catch((error) => {
      faults.push(error);
      stream.destroy(error instanceof Error ? error : new Error(messageOf(error)));
    })
  ));
  if (faults.length > 0) throw faults[0];
}

/**
 * Writes an archive atomically and durably, for its owner alone: beside it, synced, renamed, folder
 * synced. After an error nothing is left of it, and what was there before is there still.
 * @param onBytes is told how many bytes of content have been taken so far
 * @throws {PkiError} `storage`, also where a content is not as long as its member says
 * @throws what a content throws
 */
export async function writeArchive(
  path: string,
  members: Iterable<Member> | AsyncIterable<Member>,
  { onBytes = () => {} }: { readonly onBytes?: (bytes: number) => void } = {},
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  const what = `cannot write "${path}"`;
  const toStorage = (cause: unknown): never => {
    throw storageError(what, cause);
  };
  const file = await open(temporary, "wx", SECRET_MODE).catch(toStorage);
  try {
    try {
      const packer = pack();
      packer.on("error", () => {}); // whoever broke it tells
      await runBoth(packer, [
        () => packMembers(packer, { what, members, onBytes }),
        async () => {
          for await (const chunk of bytesOf(packer)) await writeAll(file, chunk).catch(toStorage);
        },
      ]);
      await file.sync().catch(toStorage);
    } finally {
      await file.close();
    }
    try {
      fs.renameSync(temporary, path);
      syncFolder(dirname(path));
    } catch (error) {
      toStorage(error);
    }
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}

async function packMembers(packer: Pack, { what, members, onBytes }: {
  readonly what: string;
  readonly members: Iterable<Member> | AsyncIterable<Member>;
  readonly onBytes: (bytes: number) => void;
}): Promise<void> {
  const mtime = new Date();
  const sums = new Map<string, string>();
  let done = 0;
  for await (const { name, bytes, content } of members) {
    if (!isMemberName(name) || name === SUMS_NAME || sums.has(name)) {
      throw new PkiError("internal", `${what}: ${JSON.stringify(name)} cannot be a member's name`);
    }
    if (!(bytes >= 0 && bytes <= MEMBER_BYTES_MAX)) {
      throw new PkiError("storage", `${what}: "${name}" has ${bytes} bytes, which is too many`);
    }
    const sink = packer.entry({ name, size: bytes, mode: SECRET_MODE, mtime });
    sink.on("error", () => {}); // as the packer's
    const hash = createHash("sha256");
    let taken = 0;
    for await (const chunk of content) {
      taken += chunk.length;
      if (taken > bytes) break;
      hash.update(chunk);
      await feed(sink, chunk);
      if (packer.destroying) return;
      onBytes(done += chunk.length);
    }
    if (taken !== bytes) {
      const found = taken > bytes ? "more than" : `${taken} instead of`;
      throw new PkiError("storage", `${what}: "${name}" has ${found} ${bytes} bytes`);
    }
    sink.end(null);
    sums.set(name, encodeHex(hash.digest()));
  }
  packer.entry({ name: SUMS_NAME, mode: SECRET_MODE, mtime }, encodeSums(sums));
  packer.finalize();
}

/** What is done with each member; a content that is not read to its end is passed over. */
export type OnMember = (
  name: string,
  bytes: number,
  content: AsyncIterable<Uint8Array>,
) => Promise<void>;

export interface ReadArchiveOptions {
  /** Which names may be there at all. */
  readonly isAllowed: (name: string) => boolean;
  /** The largest content of one member, in bytes. */
  readonly memberBytesMax?: number;
  /** Told how many bytes of content have been read so far. */
  readonly onBytes?: (bytes: number) => void;
}

/**
 * Reads an archive that {@link writeArchive} made, member by member, in order. Only when this has
 * returned is it known that all of them were there, whole and unchanged: what was made of them
 * before is to be thrown away if it throws.
 * @throws {PkiError} `malformed` where it is not such an archive, is cut off or damaged; `storage`,
 *   `not-found` where it cannot be read
 * @throws what `onMember` throws
 */
export async function readArchive(
  path: string,
  onMember: OnMember,
  options: ReadArchiveOptions,
): Promise<void> {
  const what = `cannot read "${path}"`;
  const toPkiError = (cause: unknown): never => {
    if (systemCodeOf(cause) === "ENOENT") {
      throw new PkiError("not-found", `${what}: there is no such file`, { cause });
    }
    throw storageError(what, cause);
  };
  const file = await open(path, "r").catch(toPkiError);
  try {
    const unpacker = extract();
    const reader = new ArchiveReader(what, onMember, options);
    let length = 0;
    await runBoth(unpacker, [
      async () => {
        for (;;) {
          const chunk = new Uint8Array(READ_BYTES);
          const { bytesRead } = await file.read(chunk, 0, READ_BYTES, length).catch(toPkiError);
          if (bytesRead === 0) break;
          length += bytesRead;
          await feed(unpacker, chunk.subarray(0, bytesRead));
          if (unpacker.destroying) return;
        }
        unpacker.end(null);
      },
      () => reader.readAll(unpacker),
    ]);
    reader.checkEnd(length);
  } finally {
    await file.close();
  }
}

/** The strict part of reading: what tar allows and {@link writeArchive} does not make is refused. */
class ArchiveReader {
  readonly #what: string;
  readonly #onMember: OnMember;
  readonly #options: ReadArchiveOptions;
  readonly #sums = new Map<string, string>();
  /** The list of digests, once it has come: nothing comes after it. */
  #list: string | undefined;
  /** The member that is read, for messages. */
  #name: string | undefined;
  #isInside = false;
  /** Where the next header has to begin. */
  #at = 0;
  #done = 0;

  constructor(what: string, onMember: OnMember, options: ReadArchiveOptions) {
    this.#what = what;
    this.#onMember = onMember;
    this.#options = options;
  }

  #malformed(why: string, cause?: unknown): PkiError {
    return new PkiError("malformed", `${this.#what}: ${why}`, {
      cause,
      hint: "see whether it is a whole file that pki backup has written; else take an earlier one",
    });
  }

  async readAll(unpacker: Extract): Promise<void> {
    const entries = unpacker[Symbol.asyncIterator]();
    for (;;) {
      let next: IteratorResult<Entry>;
      try {
        next = await entries.next();
      } catch (cause) {
        throw this.#brokenOff(cause);
      }
      if (next.done) return;
      await this.#readMember(next.value);
    }
  }

  /** What went wrong where tar-stream gives up: it cannot read a header, or the file ended. */
  #brokenOff(cause: unknown): PkiError {
    const isCut = messageOf(cause) === "Unexpected end of data";
    return this.#malformed(
      `it is ${isCut ? "cut off" : "not an archive, or damaged"}${this.#where()}`,
      cause,
    );
  }

  #where(): string {
    if (this.#name === undefined) return "";
    return `${this.#isInside ? " in" : " behind"} "${this.#name}"`;
  }

  async #readMember(entry: Entry): Promise<void> {
    const { name, size } = entry.header;
    this.#checkHeader(entry.header);
    this.#name = name;
    this.#isInside = true;
    const hash = createHash("sha256");
    const chunks = bytesOf(entry)[Symbol.asyncIterator]();
    const read = async (): Promise<Uint8Array | undefined> => {
      let next: IteratorResult<Uint8Array>;
      try {
        next = await chunks.next();
      } catch (cause) {
        throw this.#brokenOff(cause);
      }
      if (next.done) return undefined;
      hash.update(next.value);
      return next.value;
    };
    if (name === SUMS_NAME) {
      const parts: Uint8Array[] = [];
      for (let chunk = await read(); chunk; chunk = await read()) parts.push(chunk);
      this.#list = new TextDecoder("latin1").decode(concatBytes(...parts)); // ASCII, or damaged
    } else {
      await this.#onMember(name, size, this.#content(read));
      for (let chunk = await read(); chunk; chunk = await read()) this.#count(chunk);
      this.#sums.set(name, encodeHex(hash.digest()));
    }
    this.#isInside = false;
    this.#at += BLOCK_BYTES + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
  }

  async *#content(read: () => Promise<Uint8Array | undefined>): AsyncGenerator<Uint8Array> {
    for (let chunk = await read(); chunk; chunk = await read()) {
      this.#count(chunk);
      yield chunk;
    }
  }

  #count(chunk: Uint8Array): void {
    this.#done += chunk.length;
    this.#options.onBytes?.(this.#done);
  }

  #checkHeader(header: Entry["header"]): void {
    const { name, size, type } = header;
    const shown = JSON.stringify(name);
    // An extension header, or a block of zeros, was passed over unseen: what follows is not ours.
    if ((header as { byteOffset?: unknown }).byteOffset !== this.#at + BLOCK_BYTES) {
      throw this.#malformed(
        this.#name === undefined
          ? "it does not begin with a plain member"
          : `it is damaged${this.#where()}`,
      );
    }
    if (this.#list !== undefined) throw this.#malformed(`${shown} comes behind "${SUMS_NAME}"`);
    if (type !== "file") throw this.#malformed(`${shown} is no plain file`);
    if (name === SUMS_NAME) {
      if (size <= this.#sums.size * SUMS_LINE_BYTES_MAX) return;
      throw this.#malformed(`"${SUMS_NAME}" has ${size} bytes, which is too many`);
    }
    if (!isMemberName(name) || !this.#options.isAllowed(name)) {
      throw this.#malformed(`${shown} does not belong into it`);
    }
    if (this.#sums.has(name)) throw this.#malformed(`${shown} is in it twice`);
    const bytesMax = this.#options.memberBytesMax ?? MEMBER_BYTES_MAX;
    if (size > bytesMax) {
      throw this.#malformed(`${shown} has ${size} bytes, at most ${bytesMax} allowed`);
    }
    if (this.#sums.size >= MEMBERS_MAX) {
      throw this.#malformed(`it has more than ${MEMBERS_MAX} members`);
    }
  }

  /** @param length how many bytes the archive has */
  checkEnd(length: number): void {
    if (length === 0) throw this.#malformed("it is empty");
    if (this.#list === undefined || length < this.#at + END_BYTES_MIN) {
      throw this.#malformed(`it is cut off${this.#where()}`);
    }
    if (this.#list === encodeSums(this.#sums)) return;
    const found = new Map(
      this.#list.split("\n").map((line) => [line.slice(66), line.slice(0, 64)]),
    );
    for (const [name, digest] of this.#sums) {
      if (found.get(name) !== digest) {
        throw this.#malformed(`"${name}" is not what "${SUMS_NAME}" says of it`);
      }
    }
    throw this.#malformed(`"${SUMS_NAME}" does not list what is in it`);
  }
}
