/**
 * `contacts/` of the home: who was talked to, one file each, with the certificate that was shown last,
 * the CA that issued it, and the root of that day. What counts is the public key in it: a peer of the
 * same id with another key may be somebody else, whatever the directory says. Who decides about that
 * is `commands/contact_check.ts`.
 *
 * A file is PEM, leaf first; the times stand in the text before it (RFC 7468, section 2), so that
 * everything about a contact changes at once.
 */

import * as fs from "node:fs";
import { join } from "node:path";
import { encodeHex, isEqualBytes, sha256 } from "../base/bytes.ts";
import { PkiError, systemCodeOf } from "../base/errors.ts";
import {
  makeFolder,
  readTextIfThere,
  storageError,
  syncFolder,
  writeFileAtomic,
} from "../base/files.ts";
import { type Certificate, parseCertificate } from "../x509/certificate.ts";
import { checkId, isId } from "../x509/names.ts";
import { encodeCertificatesPem, parseCertificatesPem } from "../x509/pem.ts";

export interface Contact {
  readonly id: string;
  /** The certificate that was shown last; its public key is what is pinned. */
  readonly leaf: Certificate;
  /** DER of the CA that issued it, and of the root that both were judged under. */
  readonly issuing: Uint8Array;
  readonly root: Uint8Array;
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
  /** When this key was pinned. */
  readonly pinnedMs: number;
}

/** SHA-256 of a public key (DER of its SubjectPublicKeyInfo), in hex: what a contact is told apart by. */
export function keyFingerprintOf({ spki }: Pick<Certificate, "spki">): string {
  return encodeHex(sha256(spki));
}

export function isSameKey(
  a: Pick<Certificate, "spki">,
  b: Pick<Certificate, "spki">,
): boolean {
  return isEqualBytes(a.spki, b.spki);
}

/** The times in a file, as they are called there. */
const TIMES = {
  firstSeenMs: "first seen",
  pinnedMs: "key pinned",
  lastSeenMs: "last seen",
} as const;

function encodeContact(contact: Contact): string {
  const { id, leaf, issuing, root } = contact;
  const times = Object.entries(TIMES).map(([name, title]) =>
    `${title}: ${new Date(contact[name as keyof typeof TIMES]).toISOString()}\n`
  );
  return `contact: ${id}\n${times.join("")}${encodeCertificatesPem([leaf.der, issuing, root])}`;
}

function readTime(text: string, title: string): number {
  const found = new RegExp(`^${title}: (\\S{1,40})$`, "m").exec(text)?.[1] ?? "";
  return Date.parse(found);
}

/** `undefined` for what is not as it should be. @throws {PkiError} `malformed` likewise */
function parseContact(text: string, id: string): Contact | undefined {
  const [leafDer, issuing, root] = parseCertificatesPem(text, "the contact");
  const [head = ""] = text.split("-----BEGIN", 1);
  const firstSeenMs = readTime(head, TIMES.firstSeenMs);
  const pinnedMs = readTime(head, TIMES.pinnedMs);
  const lastSeenMs = readTime(head, TIMES.lastSeenMs);
  const hasTimes = !Number.isNaN(firstSeenMs + pinnedMs + lastSeenMs);
  if (!leafDer || !issuing || !root || !hasTimes) return undefined;
  const leaf = parseCertificate(leafDer);
  // A file that was given somebody else's name.
  if (!leaf.names.some((one) => one.type === "uri" && one.value.endsWith(`/user/${id}`))) {
    return undefined;
  }
  return { id, leaf, issuing, root, firstSeenMs, pinnedMs, lastSeenMs };
}

/** A contact whose file may be damaged. */
export interface ListedContact {
  readonly id: string;
  readonly contact: Contact | undefined;
}

const SUFFIX = ".pem";

export class Contacts {
  readonly #folder: string;

  /** @param folder need not be there yet */
  constructor(folder: string) {
    this.#folder = folder;
  }

  pathOf(id: string): string {
    checkId(id);
    return join(this.#folder, `${id}${SUFFIX}`);
  }

  /**
   * @returns `undefined` for somebody who was never talked to
   * @throws {PkiError} `malformed` for a file that is damaged: that is not somebody new; `storage`
   */
  load(id: string): Contact | undefined {
    const path = this.pathOf(id);
    const text = readTextIfThere(path);
    if (text === undefined) return undefined;
    let cause: unknown;
    try {
      const contact = parseContact(text, id);
      if (contact) return contact;
    } catch (error) {
      if (!(error instanceof PkiError)) throw error;
      cause = error;
    }
    throw new PkiError("malformed", `cannot read "${path}": not as it should be`, {
      cause,
      hint: `put a good copy in its place, or begin anew with: pki contacts forget ${id}`,
    });
  }

  /**
   * Remembers a contact in place of what was known, unless that is another key by now: two commands
   * may run at once, and neither may undo what the other has pinned. Returns whether it was saved.
   * (Between the last look and the renaming nothing but a moment passes.)
   * @param known what was there when it was decided to remember this one
   * @throws {PkiError} `malformed`, `storage`
   */
  save(contact: Contact, known: Contact | undefined): boolean {
    const path = this.pathOf(contact.id);
    const there = this.load(contact.id);
    const isAsKnown = there === undefined || isSameKey(there.leaf, contact.leaf) ||
      known !== undefined && isSameKey(there.leaf, known.leaf);
    if (!isAsKnown) return false;
    makeFolder(this.#folder);
    writeFileAtomic(path, encodeContact(contact));
    return true;
  }

  /** @throws {PkiError} `not-found`, `storage` */
  forget(id: string): void {
    const path = this.pathOf(id);
    try {
      fs.rmSync(path);
      syncFolder(this.#folder);
    } catch (cause) {
      if (systemCodeOf(cause) !== "ENOENT") throw storageError(`cannot remove "${path}"`, cause);
      throw new PkiError("not-found", `cannot forget "${id}": no such contact`, {
        hint: "pki contacts lists them",
      });
    }
  }

  /** The ids of all contacts, sorted. */
  listIds(): readonly string[] {
    try {
      return fs.readdirSync(this.#folder)
        .filter((name) => name.endsWith(SUFFIX))
        .map((name) => name.slice(0, -SUFFIX.length))
        .filter(isId)
        .sort();
    } catch {
      return []; // no folder, no contacts
    }
  }

  /** All contacts by id; one whose file is damaged too. @throws {PkiError} `storage` */
  list(): readonly ListedContact[] {
    return this.listIds().map((id) => {
      try {
        return { id, contact: this.load(id) };
      } catch (error) {
        if (error instanceof PkiError && error.kind === "malformed") {
          return { id, contact: undefined };
        }
        throw error;
      }
    });
  }
}
