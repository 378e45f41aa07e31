/**
 * Reads `profiles.json`, in which whoever runs the server shapes the profiles of end entities. What is not
 * written there is as in {@link DEFAULT_PROFILES}. Described for people in `docs/profiles.md`.
 */

import * as v from "valibot";
import { messageOf, PkiError } from "../base/errors.ts";
import { parseJson } from "../base/json.ts";
import { LIMITS } from "../base/limits.ts";
import { OID } from "../x509/certificate.ts";
import { isHost } from "../x509/general_names.ts";
import { checkDomain } from "../x509/names.ts";
import { KEY_KINDS } from "../x509/public_key.ts";
import { DEFAULT_PROFILES, type LeafProfile, type Profiles } from "./profile.ts";

/** Beyond it platforms refuse certificates of hosts, under a root of one's own too (Apple, 2019). */
const DAYS_MAX = 825;
/** Entries of a list: each one is in every certificate. */
const LIST_ENTRIES_MAX = 8;
const SUFFIXES_MAX = 100;
const URL_CHARACTERS_MAX = 512;
/** Arcs are compared as numbers by some readers: 31 bits fit everywhere. */
const ARC_MAX = 2 ** 31 - 1;
const ARCS_MAX = 20;

/** Extended key usages by the names that people know (RFC 5280, section 4.2.1.12, and others). */
const USAGES: Readonly<Record<string, string>> = {
  serverAuth: OID.serverAuth,
  clientAuth: OID.clientAuth,
  codeSigning: "1.3.6.1.5.5.7.3.3",
  emailProtection: "1.3.6.1.5.5.7.3.4",
  ipsecIKE: "1.3.6.1.5.5.7.3.17",
  documentSigning: "1.3.6.1.5.5.7.3.36",
  smartcardLogon: "1.3.6.1.4.1.311.20.2.2",
};

/** Usages that would make an end entity a part of this CA, or anything at all. */
const FORBIDDEN_USAGES: Readonly<Record<string, string>> = {
  "2.5.29.37.0": "anyExtendedKeyUsage",
  "1.3.6.1.5.5.7.3.8": "timeStamping",
  "1.3.6.1.5.5.7.3.9": "OCSPSigning",
};

function isOid(text: string): boolean {
  if (!/^[0-2](?:\.(?:0|[1-9]\d*))+$/.test(text)) return false;
  const arcs = text.split(".").map(Number);
  const [top = 0, second = 0] = arcs;
  return arcs.length <= ARCS_MAX && arcs.every((arc) => arc <= ARC_MAX) &&
    (top === 2 || second < 40);
}

/** Scheme, host, port if any, path; no credentials, no fragment (RFC 3986, section 3). */
const LOCATION =
  /^https?:\/\/(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?\/(?:[\w\-.~!$&'()*+,;=:@/?%]|\{issuer\})*$/;

function isLocation(text: string): boolean {
  return text.length <= URL_CHARACTERS_MAX && LOCATION.test(text) && URL.canParse(text);
}

const text = v.string("not a text");

function list<T extends v.GenericSchema>(entry: T, entriesMax = LIST_ENTRIES_MAX) {
  return v.pipe(
    v.array(entry, "not a list"),
    v.maxLength(entriesMax, `more than ${entriesMax} entries`),
    v.check((entries) => new Set(entries).size === entries.length, "an entry twice"),
  );
}

const DAYS_RULE = `not a whole number from 1 to ${DAYS_MAX}`;
const days = v.pipe(
  v.number(DAYS_RULE),
  v.integer(DAYS_RULE),
  v.minValue(1, DAYS_RULE),
  v.maxValue(DAYS_MAX, DAYS_RULE),
);

const RSA_RULE = "not a whole number from 2048 to 8192";
const rsaBits = v.pipe(
  v.number(RSA_RULE),
  v.integer(RSA_RULE),
  v.minValue(2048, RSA_RULE),
  v.maxValue(8192, RSA_RULE),
);

const keys = v.pipe(
  list(v.picklist(KEY_KINDS, `not one of ${KEY_KINDS.join(", ")}`)),
  v.minLength(1, "no key type is left"),
);

const usage = v.pipe(
  text,
  v.transform((name) => USAGES[name] ?? name),
  v.check(isOid, `neither one of ${Object.keys(USAGES).join(", ")} nor an object identifier`),
  v.check((oid) => FORBIDDEN_USAGES[oid] === undefined, "a usage that no end entity may have"),
);

const policy = v.pipe(text, v.check(isOid, "not an object identifier"));
const location = v.pipe(
  text,
  v.check(isLocation, "not an absolute http or https URL in ASCII, with a path"),
);
const suffix = v.pipe(
  text,
  v.check((name) => isHost(name) && name === name.toLowerCase(), "not a DNS name in lower case"),
);
const flag = v.boolean("neither true nor false");

const LEAF_FIELDS = {
  days: v.optional(days),
  daysMax: v.optional(days),
  keys: v.optional(keys),
  rsaBitsMin: v.optional(rsaBits),
  usages: v.optional(list(usage), []),
  policies: v.optional(list(policy)),
  crl: v.optional(list(location)),
  ocsp: v.optional(list(location)),
  issuers: v.optional(list(location)),
};

function object<T extends v.ObjectEntries>(entries: T) {
  return v.pipe(
    v.custom<object>((value) => !Array.isArray(value), "not an object"),
    v.strictObject(
      entries,
      ({ expected }) => expected === "never" ? "no such field" : "not an object",
    ),
  );
}

const leafSchema = object(LEAF_FIELDS);
const serverSchema = object({
  ...LEAF_FIELDS,
  dnsSuffixes: v.optional(v.pipe(
    list(suffix, SUFFIXES_MAX),
    v.minLength(1, "an empty list; leave it out to allow all names"),
  )),
  wildcards: v.optional(flag),
  addresses: v.optional(flag),
});
const profilesSchema = object({
  user: v.optional(leafSchema, {}),
  server: v.optional(serverSchema, {}),
  service: v.optional(leafSchema, {}),
});

type LeafConfig = v.InferOutput<typeof leafSchema>;

/** How each error begins. */
export const PROFILES_REFUSED = "cannot use the profiles";

function refuse(field: string, rule: string): PkiError {
  return new PkiError("malformed", `${PROFILES_REFUSED}: ${field}: ${rule}`, {
    hint: "docs/profiles.md says what can be written there",
  });
}

function parseText(json: string): unknown {
  if (json.length > LIMITS.fileBytesMax) throw refuse("the whole", "too long");
  try {
    return parseJson(json);
  } catch (cause) {
    throw new PkiError("malformed", `${PROFILES_REFUSED}: ${messageOf(cause)}`, {
      cause,
      hint: "docs/profiles.md says how it is written",
    });
  }
}

/** What is written, over what holds where nothing is. */
function fill<T extends LeafProfile>(defaults: T, config: LeafConfig): T {
  const { name } = defaults;
  const {
    daysMax = Math.max(defaults.daysMax, config.days ?? 0),
    days = Math.min(defaults.days, daysMax),
    keys = defaults.keys,
    rsaBitsMin,
    usages,
    ...lists
  } = config;
  if (days > daysMax) throw refuse(`${name}.days`, `more than daysMax, which is ${daysMax}`);
  if (rsaBitsMin !== undefined && !keys.includes("rsa")) {
    throw refuse(`${name}.rsaBitsMin`, "the profile allows no RSA keys");
  }
  const extendedKeyUsage = [...new Set([...defaults.extendedKeyUsage, ...usages])];
  return {
    ...defaults,
    days,
    daysMax,
    keys,
    rsaBitsMin: rsaBitsMin ?? defaults.rsaBitsMin,
    extendedKeyUsage,
    policies: lists.policies ?? defaults.policies,
    crl: lists.crl ?? defaults.crl,
    ocsp: lists.ocsp ?? defaults.ocsp,
    issuers: lists.issuers ?? defaults.issuers,
  };
}

function freezeDeep<T extends object>(value: T): T {
  for (const part of Object.values(value)) {
    if (typeof part === "object" && part !== null) freezeDeep(part);
  }
  return Object.freeze(value);
}

/**
 * Reads the profiles of a trust domain.
 * @param json what stands in `profiles.json`; `undefined` where there is no such file
 * @throws {PkiError} `malformed`, naming the field and the rule
 */
export function parseProfiles(json: string | undefined, domain: string): Profiles {
  checkDomain(domain);
  const result = v.safeParse(profilesSchema, json === undefined ? {} : parseText(json));
  if (!result.success) {
    const [issue] = result.issues;
    throw refuse(v.getDotPath(issue) ?? "the whole", issue.message);
  }
  const { user, server, service } = result.output;
  const { dnsSuffixes, wildcards, addresses } = server;
  const defaults = DEFAULT_PROFILES.server;
  return freezeDeep({
    domain,
    user: fill(DEFAULT_PROFILES.user, user),
    server: {
      ...fill(defaults, server),
      dnsSuffixes: dnsSuffixes ?? defaults.dnsSuffixes,
      areWildcardsAllowed: wildcards ?? defaults.areWildcardsAllowed,
      areAddressesAllowed: addresses ?? defaults.areAddressesAllowed,
    },
    service: fill(DEFAULT_PROFILES.service, service),
  });
}
