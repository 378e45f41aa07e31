/** Distinguished names as text (RFC 4514): the most specific part first. For showing, not comparing. */

import { encodeHex } from "../base/bytes.ts";
import { type NameAttribute, parseName } from "./distinguished_names.ts";
import { ATTRIBUTE_NAMES, nameOfOid } from "./oid_names.ts";

/** RFC 4514, section 2.4: what would be read as something else has a backslash in front. */
function escapeText(text: string): string {
  return text.replace(/["+,;<>\\]|^[ #]| $/g, "\\$&").replaceAll("\0", "\\00");
}

function formatAttribute({ oid, text, value }: NameAttribute): string {
  const shown = text === undefined ? `#${encodeHex(value.whole)}` : escapeText(text);
  return `${nameOfOid(ATTRIBUTE_NAMES, oid)}=${shown}`;
}

/**
 * Text of a Name's DER. Control characters stay what they are: whoever prints it takes care of them.
 * @throws {PkiError} `malformed`
 */
export function formatName(name: Uint8Array): string {
  return parseName(name).toReversed()
    .map((attributes) => attributes.map(formatAttribute).join("+"))
    .join(",");
}
