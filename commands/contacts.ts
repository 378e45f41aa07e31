/** `pki contacts`: who was talked to, and by which key they are known again. */

import { buildCommand, buildRouteMap } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { keyFingerprintOf, type ListedContact } from "../lib/client/contacts.ts";
import type { Home } from "../lib/client/home.ts";
import { fingerprintOf } from "../lib/x509/certificate.ts";
import { checkId } from "../lib/x509/names.ts";
import { describeKeyFields, readPublicKey } from "../lib/x509/public_key.ts";
import type { PkiContext } from "./context.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings } from "./globals.ts";
import { columnsOf } from "./paint.ts";
import { type Column, makeTable } from "./table.ts";

const DATE_CHARACTERS = 10;

const COLUMNS: readonly Column[] = [
  { head: "WHO" },
  { head: "FIRST SEEN", width: DATE_CHARACTERS, isOptional: true },
  { head: "LAST SEEN", width: DATE_CHARACTERS },
  { head: "ENDS", width: DATE_CHARACTERS, isOptional: true },
  { head: "KEY" },
];

const timeOf = (ms: number) => new Date(ms).toISOString();

/** A contact for a program; of a file that is damaged, the id alone. */
function describe({ id, contact }: ListedContact) {
  return {
    id,
    key: contact ? keyFingerprintOf(contact.leaf) : null,
    fingerprint: contact ? fingerprintOf(contact.leaf.der) : null,
    firstSeen: contact ? timeOf(contact.firstSeenMs) : null,
    lastSeen: contact ? timeOf(contact.lastSeenMs) : null,
    notAfter: contact ? timeOf(contact.leaf.notAfterMs) : null,
  };
}

export function listContacts(context: PkiContext, flags: GlobalFlags): void {
  const surroundings = new Surroundings(context, flags);
  const { stdout, env } = context.process;
  const rows = surroundings.home.contacts.list().map(describe);
  if (flags.json) {
    for (const row of rows) surroundings.result(row, "");
    return;
  }
  if (rows.length === 0) {
    surroundings.note("there is no contact yet; whoever you talk to becomes one");
    return;
  }
  const dateOf = (time: string | null) => time?.slice(0, DATE_CHARACTERS) ?? "";
  const cells = rows.map(({ id, key, firstSeen, lastSeen, notAfter }) => [
    id,
    dateOf(firstSeen),
    dateOf(lastSeen),
    dateOf(notAfter),
    key ?? "the file is damaged: pki contacts show " + id,
  ]);
  const columns = columnsOf(stdout, env);
  const table = makeTable(COLUMNS, { first: cells, columns, paint: surroundings.paint });
  stdout.write([table.header, ...cells.map((row) => table.line(row))].join("\n") + "\n");
}

/** The addresses at which somebody answered. */
function addressesOf(home: Home, id: string): readonly string[] {
  const { peers = {} } = home.loadConfig();
  return Object.entries(peers).flatMap(([address, who]) => who === id ? [address] : []).sort();
}

export function showContact(context: PkiContext, flags: GlobalFlags, id: string): void {
  checkId(id);
  const surroundings = new Surroundings(context, flags);
  const { home } = surroundings;
  const contact = home.contacts.load(id);
  if (!contact) {
    throw new PkiError("not-found", `cannot find "${id}" among the contacts`, {
      hint: "pki contacts lists them",
    });
  }
  const facts = {
    ...describe({ id, contact }),
    keyType: describeKeyFields(readPublicKey(contact.leaf.spki)),
    pinned: timeOf(contact.pinnedMs),
    root: fingerprintOf(contact.root),
    addresses: addressesOf(home, id),
    file: home.contacts.pathOf(id),
  };
  const lines: readonly (readonly [string, string])[] = [
    ["key", `${facts.key} (${facts.keyType})`],
    ["pinned", facts.pinned],
    ["first seen", facts.firstSeen ?? ""],
    ["last seen", facts.lastSeen ?? ""],
    ["answered at", facts.addresses.join(", ")],
    ["certificate", `${facts.fingerprint}`],
    ["ends", facts.notAfter ?? ""],
    ["root", facts.root],
    ["file", facts.file],
  ];
  surroundings.result(
    facts,
    `${id}\n` +
      lines.flatMap(([head, text]) => text === "" ? [] : [`  ${head.padEnd(11)}  ${text}`])
        .join("\n"),
  );
}

export function forgetContact(context: PkiContext, flags: GlobalFlags, id: string): void {
  checkId(id);
  const surroundings = new Surroundings(context, flags);
  surroundings.home.contacts.forget(id);
  surroundings.result(
    { event: "forgotten", id },
    `"${id}" is forgotten: the next one who proves to be "${id}" is remembered, whatever the key`,
  );
}

const CONTACT_PARAMETER = {
  brief: "Whom you talked to",
  parse: String,
  placeholder: "NAME",
} as const;

const listCommand = buildCommand<GlobalFlags, [], PkiContext>({
  func: function (flags) {
    listContacts(this, flags);
  },
  parameters: { flags: GLOBAL_FLAGS },
  docs: {
    customUsage: ["[--json] [options]"],
    brief: "List whom you talked to",
    fullDescription:
      "Shows who was talked to from this home: when first and last, when the certificate\n" +
      "that was shown last ends, and the SHA-256 of the public key. Whoever you talk to\n" +
      "is remembered by that key. A new certificate for the same key is nothing special;\n" +
      "one for another key is accepted if the old key vouches for it (pki renew --rekey).\n" +
      "If nothing does, you are asked at a terminal, and elsewhere it is refused (exit\n" +
      "code 6), since a directory that lies could certify anybody under that name.\n\n" +
      "Examples:\n" +
      "  pki contacts\n" +
      "  pki contacts ls --json",
  },
});

const showCommand = buildCommand<GlobalFlags, [string], PkiContext>({
  func: function (flags, id) {
    showContact(this, flags, id);
  },
  parameters: {
    flags: GLOBAL_FLAGS,
    positional: { kind: "tuple", parameters: [CONTACT_PARAMETER] },
  },
  docs: {
    customUsage: ["NAME [options]"],
    brief: "Show what is known of somebody",
    fullDescription:
      "Says by which key somebody is known again and since when, where they answered, and\n" +
      "where all this is kept: the certificate, the CA that issued it and the root, as PEM.\n\n" +
      "Examples:\n" +
      "  pki contacts show bob\n" +
      "  pki contacts show bob --json",
  },
});

const forgetCommand = buildCommand<GlobalFlags, [string], PkiContext>({
  func: function (flags, id) {
    forgetContact(this, flags, id);
  },
  parameters: {
    flags: GLOBAL_FLAGS,
    positional: { kind: "tuple", parameters: [CONTACT_PARAMETER] },
  },
  docs: {
    customUsage: ["NAME [options]"],
    brief: "Forget by which key somebody is known",
    fullDescription:
      "Removes a contact, so that the next one who proves to be of that name is remembered\n" +
      "as if for the first time. For somebody who has a new key that the old one does not\n" +
      "vouch for: ask them first, by another way than this line, and compare the five words\n" +
      "when you talk again.\n\n" +
      "Examples:\n" +
      "  pki contacts forget bob\n" +
      "  pki contacts forget bob --home ~/.pki-work",
  },
});

export const contactsRoutes = buildRouteMap({
  routes: { ls: listCommand, show: showCommand, forget: forgetCommand },
  defaultCommand: "ls",
  docs: {
    brief: "Look after whom you talk to: list, show, forget",
    fullDescription:
      "People whom you talked to, and the keys by which they are known again. Alone it lists\n" +
      "them: see pki contacts ls --help.",
  },
});
