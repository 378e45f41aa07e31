/** Fields that messages of more than one protocol have, as schemas. */

import * as v from "valibot";
import { parseBase64 } from "../base/bytes.ts";

/** How many bytes base64 stands for; characters alone do not tell 31 from 33. */
function bytesOfBase64(text: string): number | undefined {
  try {
    return parseBase64(text).length;
  } catch {
    return undefined; // the schema says what is wrong
  }
}

/** Canonical base64 of so many bytes; more characters than that are not even decoded. */
export const base64 = (bytesMin: number, bytesMax: number) =>
  v.pipe(
    v.string(),
    v.maxLength(Math.ceil(bytesMax / 3) * 4),
    v.check((text) => {
      const bytes = bytesOfBase64(text);
      return bytes !== undefined && bytes >= bytesMin && bytes <= bytesMax;
    }, "not base64 of the right length"),
  );
