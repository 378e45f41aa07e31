/**
 * Secrets from files that an option or the environment names, or from the first line of stdin: the
 * way in for scripts, since nothing secret is ever an argument.
 */

import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { platform } from "node:os";
import { parseUtf8 } from "../lib/base/bytes.ts";
import { PkiError } from "../lib/base/errors.ts";
import { firstLineOf, readFirstLine, storageError } from "../lib/base/files.ts";
import { LIMITS } from "../lib/base/limits.ts";
import type { InputStream, PkiContext } from "./context.ts";
import { claimStdin, STDIN } from "./stdin.ts";

/**
 * Where files are put by whoever starts services and containers, with modes that are theirs to choose;
 * and devices.
 */
const KEPT_BY_OTHERS = ["/dev/", "/proc/", "/run/credentials/", "/run/secrets/"];
const READABLE_BY_OTHERS = 0o004;

/** Lines that were read from stdin, and what they are. */
const lines = new WeakMap<InputStream, { readonly what: string; readonly line: Promise<string> }>();

/** Reads no further than the end of the line: who writes may keep the stream open. */
async function readLine(
  { process: { stdin }, signal }: Pick<PkiContext, "process" | "signal">,
  what: string,
): Promise<string> {
  const onAbort = () => void stdin.destroy(new PkiError("interrupted", "interrupted"));
  signal.addEventListener("abort", onAbort, { once: true });
  const parts: Uint8Array[] = [];
  let length = 0;
  try {
    for await (const part of stdin as AsyncIterable<Uint8Array>) {
      parts.push(part);
      length += part.length;
      if (length > LIMITS.fileBytesMax) {
        throw new PkiError(
          "malformed",
          `cannot read ${what} from standard input: more than ${LIMITS.fileBytesMax} bytes`,
          { hint: "write only the secret, with an end of line behind it" },
        );
      }
      if (part.includes(0x0a)) break;
    }
  } catch (error) {
    throw storageError(`cannot read ${what} from standard input`, error);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
  return firstLineOf(parseUtf8(new Uint8Array(Buffer.concat(parts))));
}

export interface SecretOptions {
  /** In words of a message: `the password`. */
  readonly what: string;
  /** The option that names the file: `--password-file`. */
  readonly option: string;
  /** Told to a person, and not with `--quiet`. */
  readonly warn: (message: string, hint: string) => void;
}

/**
 * The first line of a file, or of stdin for `-`; asked again for the same, it is the same.
 * @throws {PkiError} `usage` if stdin is a terminal or for something else, `not-found`, `storage`
 */
export async function readSecret(
  context: Pick<PkiContext, "process" | "signal">,
  path: string,
  { what, option, warn }: SecretOptions,
): Promise<string> {
  if (path !== STDIN) {
    const line = readFirstLine(path);
    checkMode(path, what, warn);
    return line;
  }
  const { stdin } = context.process;
  const known = lines.get(stdin);
  if (known?.what === what) return await known.line;
  if (stdin.isTTY) {
    throw new PkiError("usage", `cannot read ${what} from standard input: it is a terminal`, {
      hint: `leave ${option} out to be asked for it, unseen`,
    });
  }
  claimStdin(context.process, what);
  const line = readLine(context, what);
  lines.set(stdin, { what, line });
  return await line;
}

function checkMode(path: string, what: string, warn: SecretOptions["warn"]): void {
  if (platform() === "win32" || KEPT_BY_OTHERS.some((folder) => path.startsWith(folder))) return;
  const stats = fs.statSync(path, { throwIfNoEntry: false });
  if (!stats?.isFile() || (stats.mode & READABLE_BY_OTHERS) === 0) return;
  warn(`everybody on this machine can read ${what} in "${path}"`, `chmod 600 ${path}`);
}
