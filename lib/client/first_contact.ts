/**
 * Which root to trust: the pinned one, or, at the first contact, one that its user or this machine
 * vouches for. Nobody vouches by saying `--yes`.
 */

import { join } from "node:path";
import { isEqualBytes } from "../base/bytes.ts";
import { PkiError } from "../base/errors.ts";
import { readTextIfThere } from "../base/files.ts";
import { fingerprintOf } from "../x509/certificate.ts";
import { checkRoot, type TrustAnchor } from "../x509/chain.ts";
import { isDomain } from "../x509/names.ts";
import { parsePemBlock } from "../x509/pem.ts";
import { type Address, formatAddress } from "./address.ts";
import type { Home } from "./home.ts";
import { greetUnknownServer } from "./server_connection.ts";

export interface FirstContactOptions {
  readonly home: Home;
  readonly address: Address;
  readonly nowMs: number;
  /** From `--fingerprint`: what the root must be. */
  readonly fingerprint: string | undefined;
  /** Asks a person, who compares the fingerprint; absent without a terminal. */
  readonly ask: ((fingerprint: string, where: string) => Promise<boolean>) | undefined;
  readonly note: (text: string) => void;
  /** Ends the waiting. */
  readonly signal?: AbortSignal;
}

/** What to trust, and whether it still has to be pinned. */
export interface FoundAnchor {
  readonly anchor: TrustAnchor;
  readonly isNew: boolean;
}

const FINGERPRINT = /^[0-9a-f]{64}$/;

/** Reads a fingerprint as people write it; colons and capitals are fine. @throws {PkiError} `usage` */
export function parseFingerprint(text: string): string {
  const fingerprint = text.replaceAll(":", "").toLowerCase();
  if (FINGERPRINT.test(fingerprint)) return fingerprint;
  throw new PkiError("usage", "cannot use the fingerprint: 64 hexadecimal digits are needed", {
    hint: "pki serve shows it when it starts, and pki doctor on its machine",
  });
}

/** The root in the server's data folder under the same home, if this machine has one. */
function rootOfThisMachine(home: Home): Uint8Array | undefined {
  const path = join(home.serverFolder, "root.crt");
  try {
    const pem = readTextIfThere(path);
    return pem === undefined ? undefined : parsePemBlock(pem, ["CERTIFICATE"], path);
  } catch {
    return undefined; // not readable: then it vouches for nothing
  }
}

/** The server has another root than it must have. */
export function mismatch(found: string, wanted: string): PkiError {
  return new PkiError("untrusted", `cannot trust the server: its root is ${found}, not ${wanted}`, {
    hint: "ask whoever runs the server for the right fingerprint, on another way than this network",
  });
}

/**
 * The pinned root, or at the first contact one that is vouched for. The trust domain that comes with
 * it is only the server's word: pin both once a certificate under them was judged good.
 * @throws {PkiError} `untrusted`, `unreachable`, `protocol`
 */
export async function findAnchor(options: FirstContactOptions): Promise<FoundAnchor> {
  const { home, address, nowMs, fingerprint, signal } = options;
  const pinned = home.loadAnchor(nowMs);
  if (pinned) {
    const found = fingerprintOf(pinned.root.der);
    if (fingerprint !== undefined && fingerprint !== found) {
      throw new PkiError("untrusted", `the pinned root is ${found}, not ${fingerprint}`, {
        hint: "a root is never replaced silently: pki trust does it on your word; " +
          "use another home folder (--home) for another server",
      });
    }
    return { anchor: pinned, isNew: false };
  }
  const { rootDer, domain } = await greetUnknownServer(address, signal);
  if (!isDomain(domain)) {
    throw new PkiError("protocol", "the server names an impossible trust domain", {
      hint: "it is no server of pki, or a broken one: tell whoever runs it",
    });
  }
  const root = checkRoot(rootDer, nowMs);
  await checkVouchedFor(rootDer, options);
  return { anchor: { root, domain }, isNew: true };
}

async function checkVouchedFor(rootDer: Uint8Array, options: FirstContactOptions): Promise<void> {
  const { home, address, fingerprint, ask, note } = options;
  const found = fingerprintOf(rootDer);
  const where = formatAddress(address);
  if (fingerprint !== undefined) {
    if (fingerprint !== found) throw mismatch(found, fingerprint);
    note(`trusting the root of ${where}, as its fingerprint is the given one`);
    return;
  }
  const own = rootOfThisMachine(home);
  if (own && isEqualBytes(own, rootDer)) {
    note(`trusting the root of ${where}, as it is the one in "${home.serverFolder}"`);
    return;
  }
  if (!ask) {
    throw new PkiError(
      "untrusted",
      `cannot trust the server at ${where} yet: this is the first contact`,
      {
        hint: "give the root's fingerprint, which pki serve shows, with --fingerprint",
      },
    );
  }
  if (!await ask(found, where)) {
    throw new PkiError("untrusted", `the root of ${where} was not trusted`, {
      hint: "compare the fingerprint with what whoever runs the server tells you, and try again",
    });
  }
}
