import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { concatAll } from "../../lib/base/bytes.ts";
import { encodeCrlEntry, REVOCATION_REASONS, type RevocationReason } from "../../lib/x509/crl.ts";
import { encodeCrlEntries } from "../../lib/x509/crl_entries.ts";

const REASONS = Object.keys(REVOCATION_REASONS) as RevocationReason[];

test("encodeCrlEntries() writes what encodeCrlEntry() writes one by one", () => {
  const hex = fc.constantFrom(..."0123456789abcdef");
  const serial = fc.integer({ min: 1, max: 20 }).chain((bytes) =>
    fc.array(hex, { minLength: 2 * bytes, maxLength: 2 * bytes }).map((digits) => digits.join(""))
  );
  const entry = fc.record({
    serial,
    // On both sides of 2050, where the form of a time changes; and often within one second.
    revokedMs: fc.oneof(
      fc.integer({ min: 0, max: Date.UTC(2100, 0) }),
      fc.integer({ min: Date.UTC(2050, 0) - 1500, max: Date.UTC(2050, 0) + 1500 }),
    ),
    reason: fc.constantFrom(...REASONS),
  });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 30 }), (entries) => {
      assert.deepEqual(encodeCrlEntries(entries), concatAll(entries.map(encodeCrlEntry)));
    }),
    { numRuns: 500 },
  );
});

for (const serial of ["", "4", "4g", "zz", "é0", "40".repeat(21), " 4", "4\u0100"]) {
  test(`encodeCrlEntries() refuses the serial number ${JSON.stringify(serial)}`, () => {
    assert.throws(() => encodeCrlEntries([{ serial, revokedMs: 0, reason: "unspecified" }]), {
      kind: "malformed",
      message: "cannot encode CRL entry: the serial number is not hex",
    });
  });
}
