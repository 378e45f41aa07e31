import assert from "node:assert/strict";
import { test } from "node:test";
import { jsonLine, makeCertificateTable } from "../../commands/certificate_table.ts";

const ROW = {
  entry: 7,
  serial: "7f01",
  profile: "issuing",
  id: null,
  // What a CA is called that somebody else has signed: an escape sequence, C1, and a turn of direction.
  subject: "a\u001b[31mb\u009b31mc\u202ed",
  issuedMs: 0,
  notAfterMs: 1,
  revokedMs: null,
  reason: null,
  issuerKeyId: "aa",
};

test("jsonLine() and makeCertificateTable() let no control character of a name reach a terminal", () => {
  const line = jsonLine(ROW, 2);
  assert.match(line, /^[\x20-\x7e]*\n$/);
  assert.equal(JSON.parse(line).subject, ROW.subject);
  const table = makeCertificateTable([ROW], { nowMs: 2, columns: undefined });
  assert.match(table.line(ROW), /^[\x20-\x7e\ufffd]*$/);
});
