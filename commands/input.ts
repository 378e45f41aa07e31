/** What a command reads that may come from a file or, as `-`, from stdin: PEM or DER. */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { type Bytes, concatAll, parseUtf8 } from "../lib/base/bytes.ts";
import { PkiError, systemCodeOf } from "../lib/base/errors.ts";
import { CHECK_PATH, storageError } from "../lib/base/files.ts";
import { LIMITS } from "../lib/base/limits.ts";
import { parsePem } from "../lib/x509/pem.ts";
import type { PkiContext } from "./context.ts";
import { claimStdin, STDIN } from "./stdin.ts";

/** The largest revocation list in PEM: four characters for three bytes, an end for each line of 64. */
export const LIST_FILE_BYTES_MAX = Math.ceil(LIMITS.crlBytesMax * 4 / 3 * 66 / 64) + 1024;

/** What a message calls an input. */
export function inputName(path: string): string {
  return path === STDIN ? "standard input" : `"${path}"`;
}

function tooLarge(path: string, bytesMax: number): PkiError {
  return new PkiError("malformed", `cannot read ${inputName(path)}: more than ${bytesMax} bytes`, {
    hint: "see whether it is the right file",
  });
}

/**
 * A file, or stdin, piece by piece.
 * @throws {PkiError} `not-found`, `storage`, `interrupted`
 */
export async function* readPieces(
  { process, signal }: Pick<PkiContext, "process" | "signal">,
  path: string,
): AsyncGenerator<Uint8Array> {
  if (path === STDIN) claimStdin(process, "a file");
  const { stdin } = process;
  const stream = path === STDIN ? stdin : fs.createReadStream(path);
  const onAbort = () => void stream.destroy(new PkiError("interrupted", "interrupted"));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    yield* stream as AsyncIterable<Uint8Array>;
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") {
      throw new PkiError("not-found", `cannot read ${inputName(path)}: there is no such file`, {
        hint: CHECK_PATH,
      });
    }
    throw storageError(`cannot read ${inputName(path)}`, error);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/**
 * Reads a file, or stdin, whole.
 * @throws {PkiError} `not-found`, `storage`, `malformed` if it is too large, `interrupted`
 */
export async function readInput(
  context: Pick<PkiContext, "process" | "signal">,
  path: string,
  bytesMax: number = LIMITS.fileBytesMax,
): Promise<Bytes> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of readPieces(context, path)) {
    length += part.length;
    if (length > bytesMax) throw tooLarge(path, bytesMax);
    parts.push(part);
  }
  return concatAll(parts);
}

/** Reads text from a file, or stdin. @throws {PkiError} as {@link readInput}, `malformed` also if it is not UTF-8 */
export async function readInputText(
  context: Pick<PkiContext, "process" | "signal">,
  path: string,
): Promise<string> {
  return parseUtf8(await readInput(context, path));
}

/** DER begins with the tag of a SEQUENCE; no text does. */
function isDer(bytes: Uint8Array): boolean {
  return bytes[0] === 0x30;
}

/**
 * The blocks of a PEM file that have one of these labels, or the one thing that is there as DER.
 * @throws {PkiError} `malformed` if there is none
 */
export function readBlocks(
  bytes: Bytes,
  { labels, what, path }: {
    readonly labels: readonly string[];
    /** In the words of a message: `certificate`. */
    readonly what: string;
    readonly path: string;
  },
): readonly Bytes[] {
  if (isDer(bytes)) return [bytes];
  // What stands around the blocks may be in any character set.
  const text = Buffer.from(bytes).toString("latin1");
  const blocks = parsePem(text).filter(({ label }) => labels.includes(label));
  if (blocks.length > 0) return blocks.map(({ der }) => der);
  throw new PkiError("malformed", `cannot read ${inputName(path)}: there is no ${what} in it`, {
    hint: `PEM or DER of a ${what} is needed; pki inspect says what a file holds`,
  });
}
