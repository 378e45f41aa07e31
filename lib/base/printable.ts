/**
 * Text from elsewhere, made safe for a terminal: no control characters (C0, DEL, C1), no escape
 * sequences, nothing that turns the direction of writing or hides text.
 */

const UNSAFE =
  // deno-lint-ignore no-control-regex -- control characters are what it is about
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e007f}]/gu;

/** Each unsafe character becomes `\ufffd`; tabs become a space. */
export function printable(text: string): string {
  return text.toWellFormed().replaceAll("\t", " ").replace(UNSAFE, "\ufffd");
}

/** JSON of a value in which each unsafe character is escaped: the same value, and safe to show. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(
    UNSAFE,
    (text) =>
      text.replace(/[^]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`),
  );
}
