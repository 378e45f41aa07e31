/** `pki csr`: has a key certified. */

import { buildCommand } from "@stricli/core";
import type { KeyObject } from "node:crypto";
import { PkiError } from "../lib/base/errors.ts";
import { PUBLIC_MODE, writeFileAtomic } from "../lib/base/files.ts";
import { printable } from "../lib/base/printable.ts";
import type { Home } from "../lib/client/home.ts";
import { type Certified, certify, publish } from "../lib/client/operations.ts";
import { certifyAndStore, takeNewKey } from "../lib/client/renewal.ts";
import { KEY_TYPES, type KeyType } from "../lib/x509/algorithms.ts";
import { fingerprintOf } from "../lib/x509/certificate.ts";
import { parseCsr } from "../lib/x509/csr.ts";
import { keyTypeOf } from "../lib/x509/keys.ts";
import { encodeCertificatesPem } from "../lib/x509/pem.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, Surroundings, switchFlag, textFlag } from "./globals.ts";
import { readBlocks, readInput } from "./input.ts";
import { LOGIN_FLAGS, type LoginFlags, openSession, type Session } from "./sign_in.ts";

interface CsrFlags extends LoginFlags {
  readonly keyType?: KeyType;
  readonly csr?: string;
  readonly out?: string;
  readonly register?: boolean;
  readonly rekey?: boolean;
  readonly noPublish?: boolean;
}

/** What a result says of a certificate. */
export function describe({ id, leaf }: Pick<Certified, "id" | "leaf">) {
  return {
    id,
    serial: leaf.serial,
    fingerprint: fingerprintOf(leaf.der),
    notAfter: new Date(leaf.notAfterMs).toISOString(),
  };
}

/** The key to certify: the one that is there, or a new one. */
async function chooseKey(
  home: Home,
  { id, keyring }: Session,
  { keyType, rekey }: Pick<CsrFlags, "keyType" | "rekey">,
): Promise<KeyObject> {
  if (!home.hasKey(id) || rekey) {
    const password = await keyring.password();
    return await takeNewKey(home, { id, password, keyType: keyType ?? "p256" });
  }
  const key = await keyring.key();
  if (keyType !== undefined && keyTypeOf(key) !== keyType) {
    const title = KEY_TYPES[keyTypeOf(key)].title;
    throw new PkiError("conflict", `cannot use ${keyType}: the key of "${id}" is ${title}`, {
      hint: "make a new key with --rekey",
    });
  }
  return key;
}

/** Publishes what was just stored. @throws {PkiError} that says what is done and what is not */
export async function publishNew(
  { id, connection, log }: Pick<Session, "id" | "connection" | "log">,
  { certified, key, done = "certified" }: {
    readonly certified: Certified;
    readonly key: KeyObject;
    /** What the certificate is already. */
    readonly done?: string;
  },
): Promise<void> {
  try {
    await publish(connection, { certificate: certified.leaf.der, key });
    await log.prove();
  } catch (error) {
    if (!(error instanceof PkiError)) throw error;
    throw new PkiError(error.kind, `"${id}" is ${done}, but not published: ${error.message}`, {
      cause: error,
      hint: `publish the certificate with: pki upload --id ${id}`,
    });
  }
}

/** What a result says of an identity that was certified. */
export interface CertifiedIdentity extends ReturnType<typeof describe> {
  readonly published: boolean;
  /** Paths of the files in the home. */
  readonly certificate: string;
  readonly key: string;
}

/** Certifies the identity's own key, making one where there is none, and publishes the certificate. */
export async function certifyOwn(
  { home, context }: Surroundings,
  session: Session,
  flags: Pick<CsrFlags, "keyType" | "rekey" | "noPublish">,
): Promise<CertifiedIdentity> {
  const { id, connection, anchor, log } = session;
  const replaced = home.files(id).loadCertificate();
  const key = await chooseKey(home, session, flags);
  const certified = await certifyAndStore(
    connection,
    // Whoever replaces a key this way may have lost it to somebody: it vouches for nothing.
    { home, key, replaced, ...(flags.rekey ? { follows: { vouching: undefined } } : {}) },
    { id, anchor, log, nowMs: context.now() },
  );
  const published = !flags.noPublish;
  if (published) await publishNew(session, { certified, key });
  return {
    ...describe(certified),
    published,
    certificate: home.certificatePath(id),
    key: home.keyPath(id),
  };
}

/** As {@link certifyOwn}, and tells of it. */
export async function certifyIdentity(
  surroundings: Surroundings,
  session: Session,
  flags: Pick<CsrFlags, "keyType" | "rekey" | "noPublish">,
): Promise<void> {
  const certified = await certifyOwn(surroundings, session, flags);
  const { id, notAfter, published, certificate, key } = certified;
  surroundings.result(
    { ...certified },
    `"${id}" is certified until ${notAfter.slice(0, 10)}` +
      (published ? `, and published: others get it with: pki request ${id}\n` : "\n") +
      `  certificate  ${certificate}\n  key          ${key} (encrypted)`,
  );
}

/** A request that was made elsewhere. */
interface ForeignCsr {
  readonly der: Uint8Array;
  /** The key that it asks a certificate for. */
  readonly spki: Uint8Array;
}

async function loadForeignCsr(context: PkiContext, path: string): Promise<ForeignCsr> {
  const labels = ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"];
  const bytes = await readInput(context, path);
  const [der = bytes] = readBlocks(bytes, { labels, what: "certificate request", path });
  return { der, spki: parseCsr(der).spki };
}

/** Certifies a request that was made elsewhere; its key stays where it is. */
async function certifyForeign(
  surroundings: Surroundings,
  { id, connection, anchor, log }: Session,
  { csr: { der, spki }, out }: { readonly csr: ForeignCsr; readonly out: string | undefined },
): Promise<void> {
  const nowMs = surroundings.context.now();
  const certified = await certify(connection, { csr: der, spki }, { id, anchor, log, nowMs });
  const { ignored } = certified;
  if (ignored.length > 0) {
    surroundings.note(`not taken from the request: ${ignored.map(printable).join(", ")}`);
  }
  const pem = encodeCertificatesPem(certified.ders);
  surroundings.note(
    "not published: that takes a signature by the key, which is elsewhere; with the key: " +
      `pki upload --id ${id} --cert ${out ?? "FILE"} --key FILE`,
  );
  if (out !== undefined) {
    writeFileAtomic(out, pem, { mode: PUBLIC_MODE });
    surroundings.note(`wrote ${out}`);
  }
  surroundings.result({ ...describe(certified), ignored, pem }, out === undefined ? pem : "");
}

export async function csr(context: PkiContext, flags: CsrFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  if (flags.csr !== undefined && (flags.rekey || flags.keyType !== undefined)) {
    throw new PkiError(
      "usage",
      "cannot make a key: with --csr it is the request's key that is certified",
      { hint: "leave out --rekey and --key-type" },
    );
  }
  if (flags.csr === undefined && flags.out !== undefined) {
    throw new PkiError("usage", "cannot use --out: it goes with --csr", {
      hint: "a certificate for a key of yours is kept in the home folder (--home)",
    });
  }
  const id = surroundings.identity();
  // Before any question.
  const foreign = flags.csr === undefined ? undefined : await loadForeignCsr(context, flags.csr);
  const session = await openSession(surroundings, flags, {
    id,
    registration: flags.register ? "always" : "offer",
  });
  try {
    if (!foreign) await certifyIdentity(surroundings, session, flags);
    else await certifyForeign(surroundings, session, { csr: foreign, out: flags.out });
  } finally {
    session.close();
  }
}

export const csrCommand = buildCommand<CsrFlags, [], PkiContext>({
  func: async function (flags) {
    await csr(this, flags);
  },
  parameters: {
    flags: {
      ...LOGIN_FLAGS,
      keyType: {
        kind: "enum",
        values: Object.keys(KEY_TYPES) as KeyType[],
        optional: true,
        brief: "Kind of the key to make [p256]",
      },
      csr: textFlag(
        "Certify this request (PEM or DER, - for stdin), made elsewhere, instead of a key here",
        "FILE",
      ),
      out: textFlag("With --csr: where the certificate goes, instead of stdout", "FILE"),
      register: switchFlag("Register as a new user first, without a question"),
      rekey: switchFlag("Make a new key, replacing the one that is there"),
      noPublish: switchFlag("Do not publish the certificate in the directory"),
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: [
      "[--id NAME] [--register] [--no-publish] [options]",
      "--csr FILE [--out FILE] [options]",
    ],
    brief: "Have your key certified",
    fullDescription:
      "Logs in to the server (or registers, the first time), makes a key, encrypts it with\n" +
      "the same password, has it certified, and publishes the certificate, so that others\n" +
      "can look it up (not with --no-publish, nor with --csr). The certificate is checked\n" +
      "under the pinned root before it is kept. Run it again to renew; the key stays the\n" +
      "same unless --rekey is given. The old key does not vouch for a new one made here,\n" +
      "since it may be stolen: peers who know you are asked whether it is you. pki renew\n" +
      "--rekey has it vouch.\n\n" +
      "Examples:\n" +
      "  pki csr --id alice\n" +
      "  pki csr --id alice --register --password-file alice.pass --fingerprint 3f7a…\n" +
      "  pki csr --id alice --csr alice.csr --out alice.pem",
  },
});
