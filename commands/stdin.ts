/** The standard input of a command: it has one reader, which is told apart here from a second one. */

import { PkiError } from "../lib/base/errors.ts";
import type { InputStream, PkiContext } from "./context.ts";

/** What stands for stdin where a file is named. */
export const STDIN = "-";

const claims = new WeakMap<InputStream, string>();

/**
 * Says what stdin is for.
 * @param what in words of a message: `what goes to the peer`
 * @throws {PkiError} `usage` if it is for something else already
 */
export function claimStdin({ stdin }: PkiContext["process"], what: string): void {
  const first = claims.get(stdin);
  if (first !== undefined) {
    throw new PkiError(
      "usage",
      `cannot read ${what} from standard input: ${first} comes from there`,
      { hint: "name a file for one of the two" },
    );
  }
  claims.set(stdin, what);
}
