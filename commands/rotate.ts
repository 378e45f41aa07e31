/** `pki rotate`: another issuing CA in the place of the one that certificates come from. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { PUBLIC_MODE, readText, writeFileAtomic } from "../lib/base/files.ts";
import { ADMIN_REASONS } from "../lib/protocol/admin_messages.ts";
import type { Rotated } from "../lib/server/rotate.ts";
import type { KeyType } from "../lib/x509/algorithms.ts";
import { fingerprintOf } from "../lib/x509/certificate.ts";
import { parsePemBlock } from "../lib/x509/pem.ts";
import type { PkiContext } from "./context.ts";
import {
  changeFolder,
  findFolder,
  FOLDER_FLAGS,
  type FolderFlags,
  noteRootKey,
} from "./folder_change.ts";
import { GLOBAL_FLAGS, Surroundings, textFlag } from "./globals.ts";
import { KEY_TYPE_FLAG } from "./init.ts";
import { findPassphrase } from "./passphrase.ts";
import { ROOT_KEY_FLAGS, type RootKeyFlags, rootKeySource } from "./root_key.ts";

type Reason = (typeof ADMIN_REASONS)[number];

/** After these the key of the CA before may be somebody else's: it does not vouch any more. */
const DISTRUSTING: readonly Reason[] = ["keyCompromise", "cACompromise", "aACompromise"];

interface RotateFlags extends FolderFlags, RootKeyFlags {
  readonly keyType?: KeyType;
  readonly revokeOld?: Reason;
  readonly issuingCsr?: string;
  readonly issuingCert?: string;
}

function checkFlags(flags: RotateFlags): void {
  const { issuingCsr, issuingCert, revokeOld, rootKey, rootPassphraseFile, keyType } = flags;
  if (issuingCsr === undefined && issuingCert === undefined) return;
  if (issuingCsr !== undefined && issuingCert !== undefined) {
    throw new PkiError("usage", "cannot take a certificate and make a request for it at once", {
      hint: "first --issuing-csr, then, with what came back, --issuing-cert",
    });
  }
  if (revokeOld ?? rootKey ?? rootPassphraseFile) {
    throw new PkiError("usage", "cannot use the root's key with a root that is somebody else's", {
      hint: "the CA before is revoked by whoever has the root's key",
    });
  }
  if (issuingCert !== undefined && keyType !== undefined) {
    throw new PkiError("usage", "cannot choose the key with --issuing-cert: it is in the request", {
      hint: "leave out --key-type",
    });
  }
}

export async function rotate(context: PkiContext, flags: RotateFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  checkFlags(flags);
  const folder = await findFolder(surroundings, flags);
  const passphrase = await findPassphrase(surroundings, flags, folder);
  if (flags.issuingCsr !== undefined) {
    return await request(surroundings, flags, { folder, passphrase, path: flags.issuingCsr });
  }
  const { result: rotated, isRunning } = await changeFolder(
    surroundings,
    folder,
    () => carryOut(surroundings, flags, { folder, passphrase }),
  );
  tell(surroundings, { rotated, isRunning, revoked: flags.revokeOld });
  if (flags.issuingCert === undefined) noteRootKey(surroundings, folder);
}

async function carryOut(
  surroundings: Surroundings,
  flags: RotateFlags,
  { folder, passphrase }: { readonly folder: string; readonly passphrase: string },
): Promise<Rotated> {
  const { keyType = "p256", revokeOld, issuingCert } = flags;
  const { completeRotation, findUnrevoked, rotate } = await import("../lib/server/rotate.ts");
  const nowMs = surroundings.context.now();
  if (issuingCert !== undefined) {
    const { parseReturned } = await import("../lib/server/outside_root.ts");
    const der = parsePemBlock(readText(issuingCert), ["CERTIFICATE"], issuingCert);
    const certificate = parseReturned(der, issuingCert);
    return await completeRotation(folder, { passphrase, nowMs, certificate });
  }
  const { serverFiles } = await import("../lib/server/files.ts");
  const { loadRoot } = await import("../lib/server/log_key.ts");
  const { openRootKey } = await import("../lib/server/root_key.ts");
  const { checkMaySignLists } = await import("../lib/server/root_list.ts");
  const { revokeIssuer } = await import("../lib/server/outside_issuer.ts");
  const files = serverFiles(folder);
  const root = loadRoot(files);
  // Before anything is changed: a rotation that ends half way would not be taken over by the server.
  if (revokeOld !== undefined) checkMaySignLists(root);
  const rootKey = await openRootKey(
    files,
    root,
    await rootKeySource(surroundings, flags, passphrase),
  );
  const distrustsOld = revokeOld !== undefined && DISTRUSTING.includes(revokeOld);
  // One that was cut short before its last step is finished, and not followed by another.
  const unfinished = distrustsOld ? findUnrevoked(folder) : undefined;
  const rotated = unfinished ??
    await rotate(folder, { passphrase, nowMs, rootKey, keyType, distrustsOld });
  if (revokeOld !== undefined) {
    const name = fingerprintOf(rotated.before.der);
    revokeIssuer(folder, { name, reason: revokeOld, rootKey, nowMs });
  }
  return rotated;
}

async function request(
  surroundings: Surroundings,
  { keyType = "p256" }: RotateFlags,
  { folder, passphrase, path }: {
    readonly folder: string;
    readonly passphrase: string;
    readonly path: string;
  },
): Promise<void> {
  const { requestRotation } = await import("../lib/server/rotate.ts");
  const nowMs = surroundings.context.now();
  const csr = await requestRotation(folder, { passphrase, nowMs, keyType });
  writeFileAtomic(path, csr, { mode: PUBLIC_MODE });
  surroundings.result(
    { event: "requested", folder, csr: path },
    `made a request for the next issuing CA\n  file  ${path}`,
  );
  surroundings.note("have the root sign it, then: pki rotate --issuing-cert FILE");
}

function tell(
  surroundings: Surroundings,
  { rotated: { before, issuing, domain }, isRunning, revoked }: {
    readonly rotated: Rotated;
    readonly isRunning: boolean;
    readonly revoked: Reason | undefined;
  },
): void {
  const [old, now] = [before, issuing].map(({ der }) => fingerprintOf(der));
  const notAfter = new Date(issuing.notAfterMs).toISOString();
  surroundings.result(
    { event: "rotated", domain, before: old, issuing: now, notAfter, isRunning, revoked },
    `certificates of ${domain} come from another issuing CA now\n` +
      `  before  ${old}${
        revoked === undefined ? "" : `, revoked (${revoked})`
      }\n  now     ${now}\n` +
      `  until   ${notAfter}`,
  );
  surroundings.note(
    revoked === undefined
      ? "certificates of the CA before stay valid; clients learn of the new one at their next " +
        "connection with the server"
      : "the root's revocation list says that the CA before must not be believed: every certificate " +
        "that it has signed is worthless for whoever looks there, and its users need new ones " +
        "(pki csr); clients of pki look there at their next connection with the server",
  );
}

export const rotateCommand = buildCommand<RotateFlags, [], PkiContext>({
  func: async function (flags) {
    await rotate(this, flags);
  },
  parameters: {
    flags: {
      ...FOLDER_FLAGS,
      keyType: KEY_TYPE_FLAG,
      revokeOld: {
        kind: "enum",
        values: [...ADMIN_REASONS],
        optional: true,
        brief: "Have the root revoke the CA before, for this reason",
      },
      ...ROOT_KEY_FLAGS,
      issuingCsr: textFlag("Have another root sign: write the request for the next CA", "FILE"),
      issuingCert: textFlag("What came back for that request", "FILE"),
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: [
      "[--key-type TYPE] [--root-key FILE] [--revoke-old REASON] [options]",
      "--issuing-csr FILE [options]",
      "--issuing-cert FILE [options]",
    ],
    brief: "Make a new issuing CA",
    fullDescription:
      "Makes another issuing CA with the root's key; from then on certificates come from\n" +
      "it. Those of the CA before stay valid, and it goes on answering for them. It vouches\n" +
      "for the new one, so that clients take it over by themselves. The server may run: it\n" +
      "switches without dropping a connection. A rotation that was cut short is finished\n" +
      "by the next one.\n\n" +
      "Examples:\n" +
      "  pki rotate --root-key /media/stick/root.key\n" +
      "  pki rotate --revoke-old keyCompromise",
  },
});
