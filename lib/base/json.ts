/**
 * JSON that somebody else has written. The engine's own parser decides what is JSON and what it says;
 * here is refused what different readers would understand differently: an object that has a name
 * twice. For `JSON.parse` the last one counts, for a proxy, a log or a client in another language it
 * may be the first (RFC 8259, section 4); RFC 7493, section 2.3, forbids it.
 */

import { messageOf } from "./errors.ts";
import { printable } from "./printable.ts";

/** Of what is wrong with a text; some of it may be the text's own, and long. */
const WHY_CHARACTERS_MAX = 200;

/** An object has a name twice; the message says which, behind the names that lead there. */
export class RepeatedName extends SyntaxError {}

/**
 * The value of a JSON text. What it throws says why in words that may be shown.
 * @throws {SyntaxError} where it is not JSON
 * @throws {RepeatedName} where an object in it, however deep, has a name twice
 */
export function parseJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new SyntaxError(`not JSON: ${shorten(messageOf(cause))}`, { cause });
  }
  // Each member was written with a colon. Where an object has as many members as the text has colons,
  // none of them hides another, and none is deeper: mostly the text need not be looked at more closely.
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    const parts = Object.keys(value).length + 1;
    if (text.split(":", parts + 1).length === parts) return value;
  }
  const path = findRepeatedName(text);
  if (path !== undefined) throw new RepeatedName(`${shorten(path)} stands twice`);
  return value;
}

function shorten(text: string): string {
  return printable(text).slice(0, WHY_CHARACTERS_MAX);
}

/** What opens or closes something that matters here: in arrays nothing has a name. */
const SIGN = /["{}]/g;
const SPACE = " \t\n\r";

/** @param json good JSON; it may be deeper than a call may go */
function findRepeatedName(json: string): string | undefined {
  const open: { readonly names: Set<string>; last: string }[] = [];
  SIGN.lastIndex = 0;
  for (let sign = SIGN.exec(json); sign; sign = SIGN.exec(json)) {
    if (sign[0] === "{") {
      open.push({ names: new Set(), last: "" });
      continue;
    }
    if (sign[0] === "}") {
      open.pop();
      continue;
    }
    const end = endOfString(json, sign.index);
    SIGN.lastIndex = end;
    const object = open.at(-1);
    if (!object || !isColonNext(json, end)) continue;
    const name = nameOf(json.slice(sign.index, end));
    object.last = name;
    if (object.names.has(name)) return open.map(({ last }) => last).join(".");
    object.names.add(name);
  }
  return undefined;
}

/** Where what follows the string begins that begins there. */
function endOfString(json: string, start: number): number {
  let quote = start;
  do quote = json.indexOf('"', quote + 1); while (isEscaped(json, quote));
  return quote + 1;
}

function isEscaped(json: string, at: number): boolean {
  let first = at;
  while (json[first - 1] === "\\") first--;
  return (at - first) % 2 === 1;
}

function isColonNext(json: string, at: number): boolean {
  let next = at;
  while (SPACE.includes(json[next] ?? ":")) next++;
  return json[next] === ":";
}

/** @param text with its quotes; `"\u0061"` is the same name as `"a"` */
function nameOf(text: string): string {
  return text.includes("\\") ? String(JSON.parse(text)) : text.slice(1, -1);
}
