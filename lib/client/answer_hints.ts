/**
 * What to do about an error that a server has answered. On the wire an error is a code and a sentence;
 * the way out is for the person at this end, so it is put here. A sentence of another version, or of
 * another server, just has none of its own.
 */

import type { ErrorKind } from "../base/errors.ts";

interface Row {
  readonly pattern: RegExp;
  readonly hint: string;
}

/** By what the server says; the first that fits counts. */
const BY_SENTENCE: readonly Row[] = [
  {
    pattern: /this server wants an invitation/,
    hint: "ask whoever runs the server for one (pki invite), then: pki join LINE",
  },
  {
    pattern: /this server registers nobody/,
    hint: "ask whoever runs the server: it takes pki serve --registration invite, or open",
  },
  {
    pattern: /cannot use the invitation/,
    hint: "ask whoever runs the server for another one: pki invite",
  },
  {
    pattern: /somebody has this id already/,
    hint: "choose another id; if it is yours, log in with its password",
  },
  {
    pattern: /the account "[^"]*" is disabled/,
    hint: "ask whoever runs the server, who can say: pki users enable NAME",
  },
  {
    pattern: /there is no account "/,
    hint:
      "see with --server whether it is the right server; whoever runs it can invite you: pki invite",
  },
  {
    pattern: /nobody has published a certificate under this id/,
    hint: "see whether the id is right; whoever it is publishes with: pki upload",
  },
  {
    pattern: /cannot trust the certificate: it is revoked/,
    hint: "get a new one, with a new key, by your password: pki csr --rekey --with-password",
  },
  {
    pattern: /cannot publish: the certificate has expired/,
    hint: "renew it with: pki renew",
  },
  {
    pattern: /cannot publish: the certificate is revoked/,
    hint: "get a new one, with a new key: pki csr --rekey",
  },
  {
    pattern: /a newer certificate is published already/,
    hint: "nothing needs to be done; the newest one is what others get",
  },
  {
    pattern: /no such certificate was issued/,
    hint: "publish one that this server has certified: pki csr gets one",
  },
  {
    pattern: /cannot revoke [0-9a-f]+: no such certificate/,
    hint: "see with pki inspect whether it is yours, and of this server",
  },
  {
    pattern: /^cannot (?:accept request|certify)/,
    hint: "make a request that fits, or let pki csr make key and request",
  },
];

/** By the kind of failure, where the sentence says nothing more. */
const BY_KIND: Partial<Record<ErrorKind, string>> = {
  busy: "wait that long, or a little, and try again",
  internal: "tell whoever runs the server, whose log says more",
  storage: "tell whoever runs the server, whose log says more",
};

export function hintOfAnswer(kind: ErrorKind, sentence: string): string | undefined {
  return BY_SENTENCE.find(({ pattern }) => pattern.test(sentence))?.hint ?? BY_KIND[kind];
}
