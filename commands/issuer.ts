/** `pki issuer`: the CAs below the root; CAs for names outside of the trust domain. */

import { buildCommand, buildRouteMap } from "@stricli/core";
import { ADMIN_REASONS } from "../lib/protocol/admin_messages.ts";
import type { ListedCa } from "../lib/server/outside_issuer.ts";
import type { KeyType } from "../lib/x509/algorithms.ts";
import { type Certificate, fingerprintOf, type GeneralName } from "../lib/x509/certificate.ts";
import { formatIp } from "../lib/x509/general_names.ts";
import { keyTypeOf, parsePublicKey } from "../lib/x509/keys.ts";
import type { PkiContext } from "./context.ts";
import { changeFolder, findFolder, FOLDER_FLAGS, type FolderFlags } from "./folder_change.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings, textFlag } from "./globals.ts";
import { KEY_TYPE_FLAG } from "./init.ts";
import { findPassphrase } from "./passphrase.ts";
import { ROOT_KEY_FLAGS, type RootKeyFlags, rootKeySource } from "./root_key.ts";

interface AddFlags extends FolderFlags, RootKeyFlags {
  readonly dns?: readonly string[];
  readonly address?: readonly string[];
  readonly name?: string;
  readonly keyType?: KeyType;
}

type ListFlags = GlobalFlags & Pick<FolderFlags, "data">;

interface RevokeFlags extends FolderFlags, RootKeyFlags {
  readonly reason?: (typeof ADMIN_REASONS)[number];
}

/** The root's key, opened for a command. */
async function openRoot(
  surroundings: Surroundings,
  flags: RootKeyFlags,
  { folder, passphrase }: { readonly folder: string; readonly passphrase: string },
) {
  const { serverFiles } = await import("../lib/server/files.ts");
  const { loadRoot } = await import("../lib/server/log_key.ts");
  const { openRootKey } = await import("../lib/server/root_key.ts");
  const files = serverFiles(folder);
  const source = await rootKeySource(surroundings, flags, passphrase);
  return await openRootKey(files, loadRoot(files), source);
}

/** Addresses that a CA may certify, as people write them. */
function formatRange(range: Uint8Array): string {
  const half = range.length / 2;
  const bits = [...range.subarray(half)].reduce(
    (sum, byte) => sum + byte.toString(2).replaceAll("0", "").length,
    0,
  );
  return `${formatIp(range.subarray(0, half))}/${bits}`;
}

function permittedNames({ nameConstraints }: Certificate): readonly string[] {
  const format = (name: GeneralName) =>
    name.type === "dns" ? [name.value] : name.type === "ip" ? [formatRange(name.value)] : [];
  return [...new Set((nameConstraints?.permitted ?? []).flatMap(format))];
}

function describe({ role, name, certificate, revoked }: ListedCa) {
  return {
    role,
    name,
    commonName: certificate.commonNames[0] ?? "",
    permitted: permittedNames(certificate),
    keyType: keyTypeOf(parsePublicKey(certificate.spki)),
    notAfter: new Date(certificate.notAfterMs).toISOString(),
    fingerprint: fingerprintOf(certificate.der),
    revoked: revoked?.reason ?? null,
  };
}

export async function addIssuer(context: PkiContext, flags: AddFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const folder = await findFolder(surroundings, flags);
  const passphrase = await findPassphrase(surroundings, flags, folder);
  const { addIssuer: add } = await import("../lib/server/outside_issuer.ts");
  const { issuerName } = await import("../lib/server/issuers.ts");
  const { dns = [], address = [], name, keyType = "p256" } = flags;
  const { result: certificate, isRunning } = await changeFolder(
    surroundings,
    folder,
    async () =>
      add(folder, {
        dns,
        addresses: address,
        keyType,
        rootKey: await openRoot(surroundings, flags, { folder, passphrase }),
        passphrase,
        nowMs: context.now(),
        ...(name === undefined ? {} : { name }),
      }),
  );
  const listed = describe({
    role: "outside",
    name: issuerName(certificate),
    certificate,
    revoked: undefined,
  });
  surroundings.result(
    { event: "added", ...listed, isRunning },
    `made a CA for ${listed.permitted.join(", ")}\n  name         ${listed.name}\n` +
      `  until        ${listed.notAfter}\n  fingerprint  ${listed.fingerprint}`,
  );
  surroundings.note("certificates for these names: pki issue --profile server --dns HOST");
}

export async function listIssuers(context: PkiContext, flags: ListFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const folder = await findFolder(surroundings, flags);
  const { listIssuers: list } = await import("../lib/server/outside_issuer.ts");
  const issuers = list(folder).map(describe);
  const rows = issuers.map(({ role, name, keyType, notAfter, permitted, revoked }) =>
    [name, role, keyType, notAfter.slice(0, 10), permitted.join(","), revoked ? "revoked" : ""]
      .map((cell, i) => i < 4 ? cell.padEnd([16, 8, 8, 10][i] ?? 0) : cell).join("  ").trimEnd()
  );
  surroundings.result({ issuers }, rows.join("\n"));
}

export async function revokeIssuer(
  context: PkiContext,
  flags: RevokeFlags,
  name: string,
): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const folder = await findFolder(surroundings, flags);
  const passphrase = await findPassphrase(surroundings, flags, folder);
  const { revokeIssuer: revoke } = await import("../lib/server/outside_issuer.ts");
  const { reason = "unspecified" } = flags;
  const { result: certificate } = await changeFolder(
    surroundings,
    folder,
    async () =>
      revoke(folder, {
        name,
        reason,
        rootKey: await openRoot(surroundings, flags, { folder, passphrase }),
        nowMs: context.now(),
      }),
  );
  const fingerprint = fingerprintOf(certificate.der);
  surroundings.result(
    { event: "revoked", name, fingerprint, reason },
    `the root has revoked the CA ${name} (${reason})`,
  );
  surroundings.note("what it has signed is worthless for whoever looks at the root's list");
}

const namesFlag = (brief: string, placeholder: string) =>
  ({ kind: "parsed", parse: String, optional: true, variadic: true, brief, placeholder }) as const;

const issuerAddCommand = buildCommand<AddFlags, [], PkiContext>({
  func: async function (flags) {
    await addIssuer(this, flags);
  },
  parameters: {
    flags: {
      ...FOLDER_FLAGS,
      dns: namesFlag("A DNS name, with all below it; may be given again", "NAME"),
      address: namesFlag("An address, or a range; may be given again", "ADDRESS[/BITS]"),
      name: textFlag("What the CA is called [DOMAIN outside CA]", "NAME"),
      keyType: KEY_TYPE_FLAG,
      ...ROOT_KEY_FLAGS,
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: ["--dns NAME … --address ADDRESS[/BITS] … [options]"],
    brief: "Make a CA for names outside of the trust domain",
    fullDescription:
      "Has the root certify a CA for these names and no others; the domain's own issuing\n" +
      "CA cannot certify them. Nothing that it signs is a user or the server.\n\n" +
      "Examples:\n" +
      "  pki issuer add --dns example.org --address 10.0.0.0/8\n" +
      "  pki issuer add --dns example.net --root-key /media/stick/root.key",
  },
});

const issuerListCommand = buildCommand<ListFlags, [], PkiContext>({
  func: async function (flags) {
    await listIssuers(this, flags);
  },
  parameters: { flags: { data: FOLDER_FLAGS.data, ...GLOBAL_FLAGS } },
  docs: {
    customUsage: ["[--data DIR] [--json] [options]"],
    brief: "List the CAs below the root",
    fullDescription:
      "Shows of each its name, role (current, earlier, outside), key, end, and the\n" +
      "names that it may certify.\n\n" +
      "Examples:\n" +
      "  pki issuer ls\n" +
      "  pki issuer ls --data /var/lib/pki --json",
  },
});

const issuerRevokeCommand = buildCommand<RevokeFlags, [string], PkiContext>({
  func: async function (flags, name) {
    await revokeIssuer(this, flags, name);
  },
  parameters: {
    flags: {
      ...FOLDER_FLAGS,
      reason: {
        kind: "enum",
        values: [...ADMIN_REASONS],
        optional: true,
        brief: "Why [unspecified]",
      },
      ...ROOT_KEY_FLAGS,
      ...GLOBAL_FLAGS,
    },
    positional: {
      kind: "tuple",
      parameters: [{ brief: "Name of the CA, as listed", parse: String, placeholder: "NAME" }],
    },
  },
  docs: {
    customUsage: ["NAME [--reason REASON] [options]"],
    brief: "Have the root revoke a CA",
    fullDescription:
      "Puts an earlier CA, or one for outside names, on the root's revocation list:\n" +
      "what it has signed is worthless for whoever looks there.\n\n" +
      "Examples:\n" +
      "  pki issuer revoke 21c5f656c01910da --reason keyCompromise\n" +
      "  pki issuer revoke 21c5f656c01910da --root-key /media/stick/root.key",
  },
});

export const issuerRoutes = buildRouteMap({
  routes: { add: issuerAddCommand, ls: issuerListCommand, revoke: issuerRevokeCommand },
  docs: {
    brief: "Look after the CAs below the root",
    fullDescription:
      "The domain's issuing CAs, and CAs for other names: see pki issuer add --help.",
  },
});
