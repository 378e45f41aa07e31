import assert from "node:assert/strict";
import { test } from "node:test";
import type { ErrorKind } from "../../lib/base/errors.ts";
import { hintOfAnswer } from "../../lib/client/answer_hints.ts";

test("hintOfAnswer() knows the way out of what our servers answer", () => {
  const rows: readonly (readonly [ErrorKind, string, RegExp | undefined])[] = [
    ["refused", 'cannot register "x": this server wants an invitation', /pki join LINE/],
    ["refused", 'cannot register "x": this server registers nobody', /--registration/],
    ["refused", "cannot use the invitation: it was used already, or withdrawn", /pki invite/],
    ["conflict", 'cannot register "x": somebody has this id already', /choose another id/],
    ["refused", 'cannot log in: the account "x" is disabled', /pki users enable/],
    ["refused", 'cannot log in: there is no account "x"', /--server/],
    [
      "not-found",
      'cannot find "x": nobody has published a certificate under this id',
      /pki upload$/,
    ],
    ["untrusted", "cannot trust the certificate: it is revoked", /--rekey --with-password$/],
    ["refused", "cannot publish: the certificate has expired", /pki renew$/],
    ["refused", "cannot publish: the certificate is revoked", /pki csr --rekey$/],
    ["conflict", "cannot publish: a newer certificate is published already", /nothing needs/],
    ["refused", 'cannot publish: no such certificate was issued to "x"', /pki csr gets one$/],
    ["not-found", 'cannot revoke 01ff: no such certificate of "x"', /pki inspect/],
    ["refused", "cannot accept request: RSA key has 1024 bits", /make a request that fits/],
    ["busy", "too many guesses, try again in 5 s", /try again$/],
    ["internal", "something failed inside", /whoever runs the server/],
    ["storage", "nothing can be stored now", /whoever runs the server/],
    ["refused", "a sentence of another server", undefined],
  ];
  for (const [kind, sentence, hint] of rows) {
    const found = hintOfAnswer(kind, sentence);
    if (hint === undefined) assert.equal(found, undefined, sentence);
    else assert.match(found ?? "", hint, sentence);
  }
});
