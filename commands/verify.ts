/** `pki verify`: whether a certificate is to be trusted, and if not, which check failed. */

import { buildCommand } from "@stricli/core";
import { isIP } from "node:net";
import { messageOf, PkiError } from "../lib/base/errors.ts";
import { printable } from "../lib/base/printable.ts";
import { askAbout } from "../lib/client/revocation_news.ts";
import {
  type CheckResult,
  findChain,
  isListOf,
  type UserWanted,
  type Verification,
  verifyChain,
  type VerifyOptions,
  withoutChain,
} from "../lib/client/verification.ts";
import {
  type Certificate,
  fingerprintOf,
  KEY_USAGE,
  OID,
  parseCertificate,
} from "../lib/x509/certificate.ts";
import { checkRoot, domainOf, type TrustAnchor } from "../lib/x509/chain.ts";
import { type Crl, parseCrl } from "../lib/x509/crl.ts";
import { checkId } from "../lib/x509/names.ts";
import type { PathOptions } from "../lib/x509/path.ts";
import { failedCheckOf } from "../lib/x509/path_failure.ts";
import { parseCertificatesPem } from "../lib/x509/pem.ts";
import type { RevocationOptions } from "../lib/x509/revocation.ts";
import { parseIp, type WantedName } from "../lib/x509/wanted_names.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings, switchFlag, textFlag } from "./globals.ts";
import { LIST_FILE_BYTES_MAX, readBlocks, readInput } from "./input.ts";
import type { Paint } from "./paint.ts";
import { reach } from "./sign_in.ts";

interface VerifyFlags extends GlobalFlags {
  readonly crl?: readonly string[];
  readonly purpose?: Purpose;
  readonly name?: string;
  readonly user?: string;
  readonly at?: number;
  readonly offline?: boolean;
  readonly root?: string;
}

const PURPOSES = { client: OID.clientAuth, server: OID.serverAuth } as const;
type Purpose = keyof typeof PURPOSES;

const CERTIFICATE = { labels: ["CERTIFICATE", "X509 CERTIFICATE"], what: "certificate" } as const;
const LIST = { labels: ["X509 CRL", "CRL"], what: "revocation list" } as const;

/** Certificates of a file, the one to verify first. */
async function readCertificates(context: PkiContext, path: string): Promise<Certificate[]> {
  const bytes = await readInput(context, path);
  return readBlocks(bytes, { ...CERTIFICATE, path }).map((der) => parseCertificate(der));
}

async function readLists(context: PkiContext, paths: readonly string[]): Promise<readonly Crl[]> {
  const lists: Crl[] = [];
  for (const path of paths) {
    const bytes = await readInput(context, path, LIST_FILE_BYTES_MAX);
    lists.push(...readBlocks(bytes, { ...LIST, path }).map((der) => parseCrl(der)));
  }
  return lists;
}

interface Trusted {
  readonly root: Certificate;
  /** What is pinned; absent for a root from a file. */
  readonly pinned?: TrustAnchor;
}

/** @throws {PkiError} `not-found` where nothing is pinned and no root was named */
async function findRoot(
  { home, context }: Surroundings,
  path: string | undefined,
  nowMs: number,
): Promise<Trusted> {
  if (path !== undefined) {
    const [der] = readBlocks(await readInput(context, path), { ...CERTIFICATE, path });
    return { root: checkRoot(der ?? new Uint8Array(), nowMs) };
  }
  const pinned = home.loadAnchor(nowMs);
  if (pinned) return { root: pinned.root, pinned };
  throw new PkiError("not-found", "cannot tell what to trust: no root is pinned here", {
    hint: "name a root with --root FILE, or get to know the server first with: pki csr",
  });
}

/** CAs that came with one's own certificates, for a file that lacks them. */
function ownIssuers({ home }: Surroundings): readonly Certificate[] {
  return home.listIds().flatMap((id) => {
    try {
      const [, ...cas] = parseCertificatesPem(home.loadCertificatePem(id), id);
      return cas.map((der) => parseCertificate(der));
    } catch {
      return []; // what is damaged there is of no help, and nobody asked about it
    }
  });
}

function wantedNames(name: string | undefined): readonly WantedName[] {
  if (name === undefined) return [];
  if (isIP(name) !== 0) return [{ type: "ip", value: parseIp(name) }];
  return [{ type: "dns", value: name }];
}

function pathOptions({ purpose, name, user }: VerifyFlags, nowMs: number): PathOptions {
  const purposes = user !== undefined
    ? Object.values(PURPOSES)
    : purpose === undefined
    ? []
    : [PURPOSES[purpose]];
  return {
    nowMs,
    purposes,
    ...(purposes.length > 0 ? { keyUsage: KEY_USAGE.digitalSignature } : {}),
    wanted: wantedNames(name),
  };
}

/** Where it stands whether something was revoked; or why nobody is asked. */
type News = Pick<VerifyOptions, "revocation" | "withoutRevocation">;

/** Lists from files; a list of the root is asked about the CAs if there is one. */
function newsFromLists(lists: readonly Crl[], chain: readonly Certificate[]): News {
  const root = chain.at(-1);
  const hasRootList = root !== undefined && lists.some((list) => isListOf(list, root));
  return { revocation: { crls: lists, isLeafOnly: !hasRootList } };
}

/** What cannot be found out is told by the check, like everything else. */
function unknownNews(why: string): RevocationOptions {
  return { statusOf: () => ({ status: "unknown", why }), isLeafOnly: true };
}

async function findNews(
  surroundings: Surroundings,
  flags: VerifyFlags,
  { chain, lists, trusted }: {
    readonly chain: readonly Certificate[];
    readonly lists: readonly Crl[];
    readonly trusted: Trusted;
  },
): Promise<News> {
  if (lists.length > 0) return newsFromLists(lists, chain);
  if (flags.offline) return { withoutRevocation: "nobody was asked (--offline)" };
  if (flags.at !== undefined) {
    return { withoutRevocation: "the server knows only what is revoked now (--at)" };
  }
  if (!trusted.pinned) {
    return {
      revocation: unknownNews("the root is not the server's: name its CA's list with --crl"),
    };
  }
  try {
    const { connection } = await reach(surroundings, flags);
    try {
      const nowMs = surroundings.context.now();
      return { revocation: await askAbout(connection, chain, nowMs) };
    } finally {
      connection.close();
    }
  } catch (error) {
    if (!(error instanceof PkiError) || error.kind === "interrupted") throw error;
    return { revocation: unknownNews(messageOf(error)) };
  }
}

/** Whose certificate it must be, by the rules of the domain that the root is for. */
function findUser(
  user: string | undefined,
  { pinned, root }: Trusted,
  chain: readonly Certificate[],
): UserWanted | undefined {
  if (user === undefined) return undefined;
  const issuing = chain[1];
  const domain = pinned?.domain ?? (issuing && issuing !== root ? domainOf(issuing) : "");
  return { id: user, anchor: pinned ?? { root, domain } };
}

async function verifyFile(
  surroundings: Surroundings,
  flags: VerifyFlags,
  path: string,
): Promise<Verification> {
  const { context } = surroundings;
  const nowMs = flags.at ?? context.now();
  const [leaf, ...others] = await readCertificates(context, path);
  if (!leaf) throw new PkiError("internal", "a file without blocks was read");
  const lists = await readLists(context, flags.crl ?? []);
  const trusted = await findRoot(surroundings, flags.root, nowMs);
  const intermediates = [...others, ...ownIssuers(surroundings)];
  const options = pathOptions(flags, nowMs);
  let chain: readonly Certificate[];
  try {
    chain = findChain({ leaf, intermediates, root: trusted.root }, options);
  } catch (error) {
    if (failedCheckOf(error) && error instanceof PkiError) return withoutChain(leaf, error);
    throw error;
  }
  const user = findUser(flags.user, trusted, chain);
  const news = await findNews(surroundings, flags, { chain, lists, trusted });
  return verifyChain(chain, { ...options, ...news, ...(user ? { user } : {}) });
}

/** What a failure says beyond which check it was. */
function whyOf({ message }: PkiError): string {
  return printable(message.replace(/^cannot trust certificate: /, ""));
}

function describeResult(one: CheckResult): Readonly<Record<string, string>> {
  switch (one.result) {
    case "ok":
      return { check: one.check, result: one.result };
    case "skipped":
      return { check: one.check, result: one.result, why: one.why };
    case "failed":
      return { check: one.check, result: one.result, why: whyOf(one.failure) };
  }
}

function lineOf(
  one: CheckResult,
  { width, paint }: { readonly width: number; readonly paint: Paint },
): string {
  const name = one.check.replaceAll("-", " ").padEnd(width);
  switch (one.result) {
    case "ok":
      return `  ${name}  ${paint.good("ok")}\n`;
    case "skipped":
      return `  ${name}  not checked: ${one.why}\n`;
    case "failed":
      return `  ${name}  ${paint.bad("failed:")} ${whyOf(one.failure)}\n`;
  }
}

function holderOf({ commonNames: [commonName], names }: Certificate): string {
  const [first] = names.flatMap((name) =>
    name.type === "dns" || name.type === "uri" ? [name.value] : []
  );
  return printable(commonName ?? first ?? "");
}

/** @throws {PkiError} `untrusted`: what the first check that failed says */
function report(surroundings: Surroundings, { chain, results }: Verification): void {
  const failures = results.flatMap((one) => one.result === "failed" ? [one] : []);
  const isOk = failures.length === 0;
  const [leaf] = chain;
  if (!leaf) throw new PkiError("internal", "a chain without a leaf");
  const notAfter = new Date(leaf.notAfterMs).toISOString();
  const width = Math.max(...results.map(({ check }) => check.length));
  const holder = holderOf(leaf);
  surroundings.result(
    {
      ok: isOk,
      subject: holder,
      serial: leaf.serial,
      fingerprint: fingerprintOf(leaf.der),
      notAfter,
      chain: chain.map((one) => ({ subject: holderOf(one), fingerprint: fingerprintOf(one.der) })),
      checks: results.map(describeResult),
    },
    `${isOk ? "verified" : "not verified"}: ${JSON.stringify(holder)}, until ${
      notAfter.slice(0, 10)
    }\n` +
      results.map((one) => lineOf(one, { width, paint: surroundings.paint })).join(""),
  );
  const [first] = failures;
  if (!first) return;
  const { failure, check } = first;
  const others = failures.length - 1;
  const more = others === 0 ? "" : ` (and ${others} more)`;
  throw new PkiError("untrusted", `${printable(failure.message)}${more}`, {
    cause: failure,
    ...hintOf(failure, check),
  });
}

function hintOf({ hint }: PkiError, check: CheckResult["check"]): { readonly hint?: string } {
  if (hint !== undefined) return { hint };
  if (check !== "revocation") {
    return {
      hint: "do not rely on it for what it was checked for; pki inspect shows what it says",
    };
  }
  return { hint: "a list from a file is taken with --crl; --offline leaves this check out" };
}

export async function verify(context: PkiContext, flags: VerifyFlags, path: string): Promise<void> {
  const { user, name, purpose } = flags;
  if (user !== undefined) checkId(user);
  if (user !== undefined && (name ?? purpose) !== undefined) {
    throw new PkiError("usage", "cannot verify for a user and something else at once", {
      hint: "a user's certificate is good for a client and a server; --user asks for both",
    });
  }
  const surroundings = new Surroundings(context, flags);
  report(surroundings, await verifyFile(surroundings, flags, path));
}

/** A date, or a date and a time in UTC or with its zone. @throws {PkiError} `usage` */
function parseTime(text: string): number {
  const form = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d)?(?:Z|[+-]\d\d:\d\d))?$/;
  const ms = form.test(text) ? Date.parse(text) : NaN;
  if (!Number.isNaN(ms)) return ms;
  throw new PkiError(
    "usage",
    `${JSON.stringify(text)} is not a time, as in 2027-01-31 or 2027-01-31T12:00:00Z`,
  );
}

export const verifyCommand = buildCommand<VerifyFlags, [string], PkiContext>({
  func: async function (flags, path) {
    await verify(this, flags, path);
  },
  parameters: {
    flags: {
      crl: {
        kind: "parsed",
        parse: String,
        optional: true,
        variadic: true,
        brief: "List of what is revoked (PEM or DER), instead of asking the server",
        placeholder: "FILE",
      },
      purpose: {
        kind: "enum",
        values: ["client", "server"],
        optional: true,
        brief: "What it must be good for",
      },
      name: textFlag("A DNS name or an IP address that it must be for", "HOST"),
      user: textFlag("The user whose it must be", "NAME"),
      at: {
        kind: "parsed",
        parse: parseTime,
        optional: true,
        brief: "The time to verify it for: 2027-01-31, or 2027-01-31T12:00:00Z [now]",
        placeholder: "TIME",
      },
      offline: switchFlag("Ask nobody whether it was revoked"),
      root: textFlag("Trust this root (PEM or DER) instead of the pinned one", "FILE"),
      ...GLOBAL_FLAGS,
    },
    positional: {
      kind: "tuple",
      parameters: [{
        brief: "The certificate and then the CAs above it, or - for stdin",
        parse: String,
        placeholder: "FILE",
      }],
    },
  },
  docs: {
    customUsage: ["FILE|- [--user NAME] [--purpose PURPOSE] [--crl FILE] [options]"],
    brief: "Say whether a certificate is to be trusted",
    fullDescription:
      "Makes every check of RFC 5280 and says of each whether it holds: a chain to the\n" +
      "pinned root (or --root), signatures, time, constraints, usages, names, policies, and\n" +
      "whether it was revoked, which the server is asked unless there is a list (--crl).\n" +
      "Exit code 0 if all of them hold, 6 if not, 3 if the file is not a certificate.\n\n" +
      "Examples:\n" +
      "  pki verify alice.pem --user alice\n" +
      "  pki verify www.pem --purpose server --name www.pki.internal\n" +
      "  pki request bob | pki verify - --crl issuing.crl --offline --json",
  },
});
