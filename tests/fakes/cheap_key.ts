/**
 * Keys that open with few rounds of PBKDF2: opening one costs a third of a second else, and many tests
 * open keys that are about something else.
 */

import * as fs from "node:fs";
import { LIMITS } from "../../lib/base/limits.ts";
import {
  DerReader,
  encodeOctetString,
  encodeSequence,
  readWhole,
  TAG,
} from "../../lib/x509/der.ts";
import { decryptPbes2, encryptPbes2, OWN_PBES2, parsePbes2 } from "../../lib/x509/pbes2.ts";
import { encodePem, parsePem } from "../../lib/x509/pem.ts";

const CHEAP_ROUNDS = 1000;

/** Has keys encrypted with few rounds from now on, in the test file that calls it. */
export function encryptCheaply(): void {
  Object.assign(LIMITS, { pbkdf2Rounds: CHEAP_ROUNDS });
}

/** The key in this file opens with the same password as before, sooner. */
export async function cheapenKey(path: string, password: string): Promise<void> {
  const [block] = parsePem(fs.readFileSync(path, "utf8"));
  if (!block) throw new Error(`no key in ${path}`);
  const outer = new DerReader(readWhole(block.der, TAG.sequence).content);
  const parameters = parsePbes2(outer.enter(TAG.sequence), { ...OWN_PBES2, what: path, hint: "" });
  const secret = await decryptPbes2(outer.read(TAG.octetString).content, parameters, password);
  if (!secret) throw new Error(`cannot open ${path}`);
  const { algorithm, ciphertext } = await encryptPbes2(secret, password, CHEAP_ROUNDS);
  const der = encodeSequence(algorithm, encodeOctetString(ciphertext));
  fs.writeFileSync(path, encodePem(block.label, der));
}
