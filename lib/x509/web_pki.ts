/**
 * What the CA/Browser Forum's Baseline Requirements for TLS server certificates (section 7.1) ask
 * beyond RFC 5280, as far as a verifier can see it. For chains of the public Web only: private CAs,
 * ours included, owe none of it.
 *
 * Not asked: whether a wildcard is over a public suffix of several labels, which takes a list that
 * changes weekly.
 */

import { isEqualBytes } from "../base/bytes.ts";
import type { Certificate } from "./certificate.ts";
import { isSelfIssued } from "./certificate_form.ts";
import { isEmptyName } from "./distinguished_names.ts";
import { OID } from "./extensions.ts";
import { formatIp } from "./general_names.ts";
import { type PathCheck, untrusted } from "./path_failure.ts";
import { publicKeyOf } from "./path_work.ts";

interface Rule {
  readonly check: PathCheck;
  readonly what: string;
  readonly isBroken: (certificate: Certificate) => boolean;
}

const LEAF_RULES: readonly Rule[] = [
  {
    check: "basic-constraints",
    what: "it is a CA's",
    isBroken: ({ basicConstraints }) => basicConstraints?.isCa === true,
  },
  {
    check: "extended-key-usage",
    what: "it does not say what it is for",
    isBroken: ({ extendedKeyUsage }) => !extendedKeyUsage,
  },
  {
    check: "extended-key-usage",
    what: "it is for any use",
    isBroken: ({ extendedKeyUsage }) =>
      extendedKeyUsage?.includes(OID.anyExtendedKeyUsage) === true,
  },
  {
    check: "extended-key-usage",
    what: "what it is for is marked critical",
    isBroken: ({ extensions }) => extensions.get(OID.extendedKeyUsage)?.critical === true,
  },
  {
    check: "form",
    what: "its names are marked critical beside a subject",
    isBroken: ({ extensions, subject }) =>
      extensions.get(OID.subjectAltName)?.critical === true && !isEmptyName(subject),
  },
  {
    check: "form",
    what: "its common name is not one of its names, letter for letter",
    isBroken: ({ commonNames, names }) => {
      const texts = names.flatMap((name) =>
        name.type === "dns" ? [name.value] : name.type === "ip" ? [formatIp(name.value)] : []
      );
      return commonNames.length > 1 || commonNames.some((name) => !texts.includes(name));
    },
  },
];

const ROOT_RULES: readonly Rule[] = [
  {
    check: "extended-key-usage",
    what: "the root says what it is for",
    isBroken: ({ extendedKeyUsage }) => extendedKeyUsage !== undefined,
  },
  {
    check: "form",
    what: "the root names another key than its own as its issuer's",
    isBroken: (root) => {
      const { authorityKeyId, authorityCertificate, subjectKeyId } = root;
      if (!isSelfIssued(root) || !root.extensions.has(OID.authorityKeyId)) return false;
      return authorityCertificate !== undefined || !authorityKeyId || !subjectKeyId ||
        !isEqualBytes(authorityKeyId, subjectKeyId);
    },
  },
];

const RSA_RULE: Rule = {
  check: "algorithm",
  what: "an RSA key is not of whole bytes",
  isBroken: (certificate) => {
    const { asymmetricKeyType, asymmetricKeyDetails } = publicKeyOf(certificate);
    return asymmetricKeyType === "rsa" && (asymmetricKeyDetails?.modulusLength ?? 0) % 8 !== 0;
  },
};

/**
 * Checks a chain of the public Web for what only is asked there.
 * @param chain leaf first, root last
 * @throws {PkiError} `untrusted`; `malformed` for a key that is not accepted
 */
export function checkWebPki(chain: readonly Certificate[]): void {
  for (const [index, certificate] of chain.entries()) {
    const rules = index === 0 ? LEAF_RULES : index === chain.length - 1 ? ROOT_RULES : [];
    const broken = [...rules, RSA_RULE].find((rule) => rule.isBroken(certificate));
    if (broken) throw untrusted(broken.check, index, broken.what);
  }
}
