/** `pki issue`: certificates for servers and services, by the administrator. */

import { buildCommand } from "@stricli/core";
import type { KeyObject } from "node:crypto";
import * as fs from "node:fs";
import { dirname, extname } from "node:path";
import { type Bytes, encodeBase64, isEqualBytes, parseBase64 } from "../lib/base/bytes.ts";
import { PkiError } from "../lib/base/errors.ts";
import {
  fileExists,
  PUBLIC_MODE,
  storageError,
  writeFileAtomic,
  writeFileOnce,
} from "../lib/base/files.ts";
import { printable } from "../lib/base/printable.ts";
import { checkNewPassword } from "../lib/client/new_password.ts";
import { isSamePassword } from "../lib/client/password.ts";
import type { AdminAnswer, AdminBody } from "../lib/protocol/admin_messages.ts";
import { KEY_TYPES, type KeyType } from "../lib/x509/algorithms.ts";
import { type Certificate, fingerprintOf, parseCertificate } from "../lib/x509/certificate.ts";
import { isIssuedBy } from "../lib/x509/path.ts";
import { parseCsr } from "../lib/x509/csr.ts";
import { formatIp } from "../lib/x509/general_names.ts";
import { encodeSpki, encryptPrivateKey, generatePrivateKey } from "../lib/x509/keys.ts";
import { encodeCertificatesPem } from "../lib/x509/pem.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, Surroundings, switchFlag, textFlag } from "./globals.ts";
import { readBlocks, readInput } from "./input.ts";
import { giveOrder, ORDER_FLAGS, type OrderFlags } from "./orders.ts";

interface IssueFlags extends OrderFlags {
  readonly profile: string;
  readonly name?: string;
  readonly dns?: readonly string[];
  readonly address?: readonly string[];
  readonly days?: number;
  readonly csr?: string;
  readonly keyType?: KeyType;
  readonly plainKey?: boolean;
  readonly out?: string;
  readonly keyOut?: string;
  readonly force?: boolean;
}

/** Whom or what the certificate is for. */
type Holder = Pick<AdminBody<"ISSUE">, "profile" | "name" | "dns" | "addresses">;

function findHolder({ profile, name, dns = [], address = [] }: IssueFlags): Holder {
  switch (profile) {
    case "server":
      if (name !== undefined) {
        throw new PkiError("usage", "cannot use --name: a server is named with --dns", {
          hint: "leave out --name, or issue for --profile service",
        });
      }
      return { profile, dns: [...dns], addresses: [...address] };
    case "service":
      if (dns.length + address.length > 0) {
        throw new PkiError(
          "usage",
          "cannot use --dns or --address: a service is named with --name",
          { hint: "leave them out, or issue for --profile server" },
        );
      }
      if (name === undefined) {
        throw new PkiError("usage", "cannot tell which service: its name is missing", {
          hint: "name it with --name",
        });
      }
      return { profile, name };
    case "user":
      throw new PkiError("refused", "cannot issue a user's certificate: users ask for their own", {
        hint: "the user runs: pki csr --id NAME",
      });
    default:
      throw new PkiError(
        "usage",
        `cannot issue for profile ${JSON.stringify(profile)}: it is none of server, service`,
        {
          hint:
            "use --profile server for what people connect to, --profile service for what logs in",
        },
      );
  }
}

/** The name that files are called by. */
function firstName({ name, dns = [], addresses = [] }: Holder): string {
  const first = name ?? dns[0] ?? addresses[0];
  if (first !== undefined) return first.replaceAll(/[^A-Za-z0-9.-]/g, "_").replace(/^\.+/, "_");
  throw new PkiError("usage", "cannot tell which server: its names are missing", {
    hint: "name it with --dns HOST or --address IP, each as often as needed",
  });
}

interface Request {
  readonly der: Bytes;
  readonly spki: Bytes;
}

/** A request that was made elsewhere. Its names are not taken from it: the administrator says them. */
async function readRequest(
  context: PkiContext,
  path: string,
  { dns = [], addresses = [], profile }: Holder,
): Promise<Request> {
  const [der] = readBlocks(await readInput(context, path), {
    labels: ["CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"],
    what: "certificate request",
    path,
  });
  if (!der) throw new PkiError("internal", "a file without blocks was read");
  const { spki, names } = parseCsr(der);
  if (profile === "server" && dns.length + addresses.length === 0) {
    const asked = names.flatMap((name) =>
      name.type === "dns"
        ? [`--dns ${name.value}`]
        : name.type === "ip"
        ? [`--address ${formatIp(name.value)}`]
        : []
    );
    throw new PkiError("usage", "cannot tell which server: its names are missing", {
      hint: asked.length > 0
        ? `the request asks for: ${printable(asked.join(" "))}`
        : "name it with --dns HOST or --address IP, each as often as needed",
    });
  }
  return { der, spki };
}

/** Where a new key and its certificate go. */
interface Places {
  readonly certificate: string;
  readonly key: string;
}

function choosePlaces({ out, keyOut }: IssueFlags, name: string): Places {
  const certificate = out ?? `${name}.pem`;
  const extension = extname(certificate);
  const stem = certificate.slice(0, certificate.length - extension.length);
  const beside = out === undefined
    ? `${name}.key`
    : extension === ".key"
    ? `${certificate}.key`
    : `${stem}.key`;
  return { certificate, key: keyOut ?? beside };
}

/** Before anything is certified: a certificate that cannot be kept would be one too many. */
function checkPlaces(places: Places, force: boolean): void {
  if (places.key === places.certificate) {
    throw new PkiError("usage", "cannot write key and certificate into the same file", {
      hint: "name another file with --key-out",
    });
  }
  for (const path of [places.certificate, places.key]) {
    if (fileExists(path) && !force) {
      throw new PkiError("conflict", `cannot write "${path}": there is such a file`, {
        hint: "name another with --out and --key-out, or replace it with --force",
      });
    }
    try {
      fs.accessSync(dirname(path), fs.constants.W_OK | fs.constants.X_OK);
    } catch (error) {
      throw storageError(`cannot write "${path}"`, error);
    }
  }
}

/** PEM of the key, encrypted unless it shall be plain. */
async function encodeKey(
  surroundings: Surroundings,
  key: KeyObject,
  { name, plainKey }: { readonly name: string; readonly plainKey?: boolean | undefined },
): Promise<string> {
  if (plainKey) return key.export({ format: "pem", type: "pkcs8" }) as string;
  const { terminal } = surroundings.context;
  if (!surroundings.hasGivenPassword && !terminal) {
    throw new PkiError("usage", "cannot ask for a password for the key: there is no terminal", {
      hint: "give it with --password-file, or leave the key unencrypted with --plain-key",
    });
  }
  const password = await surroundings.password("Password for the new key");
  await checkNewPassword(password, { name });
  if (!surroundings.hasGivenPassword) {
    const again = await terminal?.askPassword("The same password again");
    if (!isSamePassword(again ?? "", password)) {
      throw new PkiError("usage", "cannot encrypt the key: the two passwords are different", {
        hint: "type the same twice",
      });
    }
  }
  return await encryptPrivateKey(key, password);
}

/** The certificate, if it is what was ordered. */
function readIssued(
  { certificate, issuing }: AdminAnswer<"ISSUE">,
  spki: Uint8Array,
): { readonly leaf: Certificate; readonly pem: string } {
  const [der, issuerDer] = [parseBase64(certificate), parseBase64(issuing)];
  const leaf = parseCertificate(der);
  const isOurs = isEqualBytes(leaf.spki, spki) && isIssuedBy(leaf, parseCertificate(issuerDer));
  if (!isOurs) {
    throw new PkiError("untrusted", "the server certified something else", {
      hint: "see with pki log verify whether the data folder is whole, and run pki doctor",
    });
  }
  return { leaf, pem: encodeCertificatesPem([der, issuerDer]) };
}

function savePair(
  { certificate, key }: Places,
  { pem, keyPem }: { readonly pem: string; readonly keyPem: string },
  force: boolean,
): void {
  // The key first: a certificate without its key would be worth nothing.
  if (force) writeFileAtomic(key, keyPem);
  else if (!writeFileOnce(key, keyPem)) {
    throw new PkiError("conflict", `cannot write "${key}": there is such a file by now`, {
      hint: "name another with --out and --key-out, or replace it with --force",
    });
  }
  writeFileAtomic(certificate, pem, { mode: PUBLIC_MODE });
}

export async function issue(context: PkiContext, flags: IssueFlags): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const holder = findHolder(flags);
  const { days, csr, force = false } = flags;
  const isForeign = csr !== undefined;
  if (isForeign && (flags.keyType ?? flags.keyOut ?? flags.plainKey) !== undefined) {
    throw new PkiError(
      "usage",
      "cannot make a key: with --csr it is the request's key that is certified",
      { hint: "leave out --key-type, --key-out and --plain-key" },
    );
  }
  const request = isForeign ? await readRequest(context, csr, holder) : undefined;
  const name = firstName(holder);
  const places = isForeign ? undefined : choosePlaces(flags, name);
  if (places) checkPlaces(places, force);
  const key = places && await generatePrivateKey(flags.keyType ?? "p256");
  // Asked for before anything is certified. The key itself goes nowhere but into its file.
  const keyPem = key && await encodeKey(surroundings, key, { name, plainKey: flags.plainKey });
  const spki = request?.spki ?? (key ? encodeSpki(key) : new Uint8Array());
  const answer = await giveOrder(surroundings, flags, {
    what: "cannot issue",
    type: "ISSUE",
    body: {
      ...holder,
      ...(days === undefined ? {} : { days }),
      ...(request ? { csr: encodeBase64(request.der) } : { spki: encodeBase64(spki) }),
    },
  });
  const { leaf, pem } = readIssued(answer, spki);
  if (places && keyPem !== undefined) savePair(places, { pem, keyPem }, force);
  else if (flags.out !== undefined) writeFileAtomic(flags.out, pem, { mode: PUBLIC_MODE });
  report(surroundings, { holder, name, leaf, pem, answer, places, flags });
}

function report(
  surroundings: Surroundings,
  { holder, name, leaf, pem, answer, places, flags }: {
    readonly holder: Holder;
    readonly name: string;
    readonly leaf: Certificate;
    readonly pem: string;
    readonly answer: AdminAnswer<"ISSUE">;
    readonly places: Places | undefined;
    readonly flags: IssueFlags;
  },
): void {
  const { ignored, index } = answer;
  if (ignored.length > 0) {
    surroundings.note(`not taken from the request: ${ignored.map(printable).join(", ")}`);
  }
  const notAfter = new Date(leaf.notAfterMs).toISOString();
  const file = places?.certificate ?? flags.out;
  const facts = {
    ...holder,
    serial: leaf.serial,
    fingerprint: fingerprintOf(leaf.der),
    notAfter,
    index,
    ignored,
    ...(file === undefined ? { pem } : { certificate: file }),
    ...(places ? { key: places.key } : {}),
  };
  if (file === undefined) return surroundings.result(facts, pem);
  const keyLine = places
    ? `\n  key          ${places.key}${flags.plainKey ? "" : " (encrypted)"}`
    : "";
  surroundings.result(
    facts,
    `${holder.profile} "${name}" is certified until ${notAfter.slice(0, 10)}\n` +
      `  serial       ${leaf.serial}\n  certificate  ${file}${keyLine}`,
  );
}

function parseDays(text: string): number {
  const days = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (days >= 1) return days;
  throw new PkiError("usage", `${JSON.stringify(text)} is not a number of days from 1 on`);
}

export const issueCommand = buildCommand<IssueFlags, [], PkiContext>({
  func: async function (flags) {
    await issue(this, flags);
  },
  parameters: {
    flags: {
      profile: {
        kind: "parsed",
        parse: String,
        brief: "What it is for: server (shown by a host), service (logs in somewhere)",
        placeholder: "PROFILE",
      },
      dns: {
        kind: "parsed",
        parse: String,
        optional: true,
        variadic: ",",
        brief: "Of a server: its DNS name; several, one each or with commas between them",
        placeholder: "HOST",
      },
      address: {
        kind: "parsed",
        parse: String,
        optional: true,
        variadic: ",",
        brief: "Of a server: its IP address, likewise",
        placeholder: "IP",
      },
      name: textFlag("Of a service: its name", "NAME"),
      days: {
        kind: "parsed",
        parse: parseDays,
        optional: true,
        brief: "How long it is good for [as the profile says]",
        placeholder: "N",
      },
      csr: textFlag("Certify this request (PEM or DER, - for stdin), made elsewhere", "FILE"),
      keyType: {
        kind: "enum",
        values: Object.keys(KEY_TYPES) as KeyType[],
        optional: true,
        brief: "Kind of the key to make [p256]",
      },
      plainKey: switchFlag("Leave the key unencrypted, for a server that starts unattended"),
      out: textFlag(
        "Where the certificate goes [the first name and .pem; with --csr stdout]",
        "FILE",
      ),
      keyOut: textFlag("Where the key goes [beside the certificate, with .key]", "FILE"),
      force: switchFlag("Replace files that are there"),
      ...ORDER_FLAGS,
      ...GLOBAL_FLAGS,
    },
  },
  docs: {
    customUsage: [
      "--profile server --dns HOST [--plain-key] [options]",
      "--profile service --name NAME [options]",
      "--profile PROFILE … --csr FILE [--out FILE] [options]",
    ],
    brief: "Certify a server or a service",
    fullDescription:
      "For the administrator, on the server's machine, also while the server runs. Makes a\n" +
      "key here, which leaves this program only into its file, encrypted with a password\n" +
      "unless --plain-key is given, and has it certified. Or certifies a request made\n" +
      "elsewhere (--csr) for the names that are given; what else it asks for and does not\n" +
      "get is told. The certificate's file has the certificate, then the CA that signed it.\n\n" +
      "Examples:\n" +
      "  pki issue --profile server --dns www.pki.internal --plain-key\n" +
      "  pki issue --profile service --name backup --password-file backup.pass\n" +
      "  pki issue --profile server --dns db.pki.internal --csr db.csr --out db.pem",
  },
});
