/** `pki inspect`: says what a certificate, request, revocation list or OCSP message says. */

import { buildCommand } from "@stricli/core";
import { PkiError } from "../lib/base/errors.ts";
import { parseCertificate } from "../lib/x509/certificate.ts";
import { parseCrl } from "../lib/x509/crl.ts";
import { readCsr } from "../lib/x509/csr.ts";
import { readAs } from "../lib/x509/der.ts";
import { describeCertificate } from "../lib/x509/describe.ts";
import { describeRequest } from "../lib/x509/describe_request.ts";
import {
  describeCrl,
  describeOcspRequest,
  describeOcspResponse,
} from "../lib/x509/describe_revocation.ts";
import {
  showCertificate,
  showCrl,
  showOcspRequest,
  showOcspResponse,
  showRequest,
} from "../lib/x509/describe_text.ts";
import { parseOcspRequest } from "../lib/x509/ocsp.ts";
import { parseOcspResponse } from "../lib/x509/ocsp_response.ts";
import { type ItemKind, recognize } from "../lib/x509/recognize.ts";
import type { PkiContext } from "./context.ts";
import { formatError } from "./error_text.ts";
import { GLOBAL_FLAGS, type GlobalFlags, Surroundings, switchFlag } from "./globals.ts";
import { inputName, LIST_FILE_BYTES_MAX, readInput } from "./input.ts";

interface InspectFlags extends GlobalFlags {
  readonly all?: boolean;
}

/** Entries of a list that are shown where not all are asked for. */
const ENTRIES_SHOWN = 10;

/** A description, and the same for people. */
interface Inspected {
  readonly json: object;
  readonly text: string;
}

interface InspectOptions {
  readonly title: string;
  readonly nowMs: number;
  readonly entriesMax: number;
}

/** What there is to know about each kind of thing: what it is called, and how it is shown. */
const KINDS: Readonly<
  Record<ItemKind, {
    readonly noun: string;
    /** Its list in the JSON. */
    readonly field: string;
    readonly inspect: (der: Uint8Array, options: InspectOptions) => Inspected;
  }>
> = {
  certificate: {
    noun: "certificate",
    field: "certificates",
    inspect: (der, options) => {
      const json = describeCertificate(parseCertificate(der), options.nowMs);
      return { json, text: showCertificate(json, options) };
    },
  },
  request: {
    noun: "certification request",
    field: "requests",
    inspect: (der, { title }) => {
      const json = describeRequest(readCsr(der));
      return { json, text: showRequest(json, title) };
    },
  },
  crl: {
    noun: "revocation list",
    field: "crls",
    inspect: (der, options) => {
      const json = describeCrl(parseCrl(der), options);
      return { json, text: showCrl(json, options) };
    },
  },
  ocspRequest: {
    noun: "OCSP request",
    field: "ocspRequests",
    inspect: (der, { title }) => {
      const json = describeOcspRequest(parseOcspRequest(der));
      return { json, text: showOcspRequest(json, title) };
    },
  },
  ocspResponse: {
    noun: "OCSP response",
    field: "ocspResponses",
    inspect: (der, options) => {
      const json = describeOcspResponse(parseOcspResponse(der), options.nowMs);
      return { json, text: showOcspResponse(json, options) };
    },
  },
};

/** What could not be read, beside what could. */
interface Refused {
  /** Its place in the file, from 1 on. */
  readonly item: number;
  readonly kind: ItemKind;
  readonly message: string;
}

const STRICT_HINT = "it is read strictly, as everything here is; openssl may show what is in it";

export async function inspect(
  context: PkiContext,
  flags: InspectFlags,
  path: string,
): Promise<void> {
  const surroundings = new Surroundings(context, flags);
  const what = inputName(path);
  const bytes = await readInput(context, path, LIST_FILE_BYTES_MAX);
  const { items, others } = recognize(bytes, what);
  const options = { nowMs: context.now(), entriesMax: flags.all ? Infinity : ENTRIES_SHOWN };

  const json: Record<string, object[]> = Object.fromEntries(
    Object.values(KINDS).map(({ field }) => [field, []]),
  );
  const texts: string[] = [];
  const refused: Refused[] = [];
  for (const [i, { kind, der }] of items.entries()) {
    const { noun, field, inspect } = KINDS[kind];
    const title = items.length > 1 ? `${noun} ${i + 1} of ${items.length}` : noun;
    try {
      const one = readAs(`${title} in ${what}`, () => inspect(der, { title, ...options }));
      json[field]?.push(one.json);
      texts.push(one.text);
    } catch (error) {
      if (!(error instanceof PkiError) || error.kind !== "malformed") throw error;
      refused.push({ item: i + 1, kind, message: error.message });
    }
  }
  if (others.length > 0) surroundings.note(`not shown: ${others.join(", ")}`);
  if (texts.length > 0) {
    surroundings.result({ ...json, refused }, texts.join("\n"));
    surroundings.note("this is what is written there; whether to trust it was not looked at");
  }
  const [first, ...more] = refused;
  if (!first) return;
  const { stderr } = context.process;
  for (const { message } of more) {
    stderr.write(`${formatError(new PkiError("malformed", message), surroundings.style)}\n`);
  }
  throw new PkiError("malformed", first.message, { hint: STRICT_HINT });
}

export const inspectCommand = buildCommand<InspectFlags, [string], PkiContext>({
  func: async function (flags, path) {
    await inspect(this, flags, path);
  },
  parameters: {
    flags: {
      all: switchFlag("All entries of a revocation list, not the first 10"),
      ...GLOBAL_FLAGS,
    },
    positional: {
      kind: "tuple",
      parameters: [{
        brief: "What to look at, or - for stdin",
        parse: String,
        placeholder: "FILE",
      }],
    },
  },
  docs: {
    customUsage: ["FILE|- [--all] [options]"],
    brief: "Show what a certificate, request or list says",
    fullDescription:
      "Reads PEM or DER of certificates, certification requests, revocation lists, OCSP\n" +
      "requests and responses, one or several, and shows what is written there. It does\n" +
      "not say whether to trust it, and looks at nothing but the file. What is not exactly\n" +
      "DER is refused. Private keys are never shown.\n\n" +
      "Examples:\n" +
      "  pki inspect alice.pem\n" +
      "  pki request bob | pki inspect -\n" +
      "  pki inspect issuing.crl --all --json",
  },
});
