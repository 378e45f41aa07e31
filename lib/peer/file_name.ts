/**
 * Names of files as a peer sends them, made into names that can be given to files here: one name in one
 * folder on every system, shown as it is, and not taken for another. What a name may be is decided here
 * alone; whether it is free is for `file_store.ts` to see.
 */

import { utf8 } from "../base/bytes.ts";
import { printable } from "../base/printable.ts";

/** Most file systems allow so many bytes of a name (ext4, APFS, NTFS counts more generously). */
export const NAME_BYTES_MAX = 255;
/** What stands in the place of what a name cannot have. */
const SUBSTITUTE = "_";
/** An extension that is kept when a name is cut, with its dot; a longer one is no extension. */
const EXTENSION_BYTES_MAX = 32;

/** Separators of all systems, and what Windows forbids besides. */
const FORBIDDEN = /[/\\:*?"<>|]/g;
/** Devices of Windows, with any extension; also with superscript digits. */
const RESERVED = /^(?:con|prn|aux|nul|conin\$|conout\$|clock\$|(?:com|lpt)[0-9¹²³])(?=\.|$| )/i;

const GRAPHEMES = new Intl.Segmenter("en", { granularity: "grapheme" });

/** The bytes that a name takes. */
function bytesOf(name: string): number {
  return utf8(name).length;
}

/** The longest beginning of a text that takes at most so many bytes, with whole characters only. */
export function cutToBytes(text: string, bytesMax: number): string {
  if (bytesOf(text) <= bytesMax) return text;
  let kept = "";
  let bytes = 0;
  for (const { segment } of GRAPHEMES.segment(text)) {
    bytes += bytesOf(segment);
    if (bytes > bytesMax) break;
    kept += segment;
  }
  return kept;
}

/** A name without its extension, and that with its dot; `.profile` has none, `a.tar.gz` has `.tar.gz`. */
export function splitExtension(name: string): readonly [stem: string, extension: string] {
  const at = /(?<=[^.])(?:\.tar)?\.[^. ]+$/i.exec(name)?.index ?? name.length;
  return bytesOf(name.slice(at)) <= EXTENSION_BYTES_MAX
    ? [name.slice(0, at), name.slice(at)]
    : [name, ""];
}

/** Stem, something behind it and extension, the stem cut so that all of it is a name. */
function fitName(stem: string, more: string, extension: string): string {
  const room = NAME_BYTES_MAX - bytesOf(more) - bytesOf(extension);
  return `${cutToBytes(stem, room).replace(/[. ]+$/, "") || SUBSTITUTE}${more}${extension}`;
}

/**
 * One name that can be given to a file or folder on every system: in normal form C (Unicode, UAX 15),
 * with nothing in it that a terminal obeys or that separates folders, not hidden by its own dots, no
 * device of Windows, 1 to 255 bytes. A name that is such already stays as it is.
 */
export function sanitizeName(name: string): string {
  const shown = printable(name.normalize("NFC"))
    .replaceAll("\ufffd", SUBSTITUTE)
    .replace(FORBIDDEN, SUBSTITUTE)
    .replace(/^ +/, "")
    // Windows drops trailing dots and spaces, so that "a." would be "a"; "." and ".." are folders.
    .replace(/[. ]+$/, (end) => SUBSTITUTE.repeat(Math.min(end.length, 2)));
  const named = (shown || SUBSTITUTE).replace(RESERVED, (device) => `${SUBSTITUTE}${device}`);
  if (bytesOf(named) <= NAME_BYTES_MAX) return named;
  const [stem, extension] = splitExtension(named);
  return fitName(stem, "", extension);
}

/**
 * The name of what comes first in a path. That folder is one where a person or a program works, who
 * should not find a new `.bashrc` or `.ssh` there: it is not hidden. Nor is it an option for whoever
 * names all files with `*`.
 */
export function sanitizeTopName(name: string): string {
  const sanitized = sanitizeName(name);
  return /^[.-]/.test(sanitized) ? `${SUBSTITUTE}${sanitized.slice(1)}` : sanitized;
}

/** The name for the `n`th try to find a free one: "report.pdf", "report (1).pdf", … */
export function numberName(name: string, n: number): string {
  if (n === 0) return name;
  const [stem, extension] = splitExtension(name);
  return fitName(stem, ` (${n})`, extension);
}

/** Names with the same key are one file on some systems: case (Windows, macOS) and normal form (macOS). */
export function collisionKey(name: string): string {
  // Upper case first: "ß" and "SS", and the two small sigmas, become one.
  return name.normalize("NFKC").toUpperCase().toLowerCase().normalize("NFKC");
}
