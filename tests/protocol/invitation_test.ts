import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import { concatBytes, parseHex, sha256, utf8 } from "../../lib/base/bytes.ts";
import {
  encodeInvitation,
  type Invitation,
  INVITATION_TOKEN_BYTES,
  parseInvitation,
} from "../../lib/protocol/invitation.ts";

const INVITATION: Invitation = {
  address: "pki.example.org:7443",
  fingerprint: "3f".repeat(32),
  token: new Uint8Array(INVITATION_TOKEN_BYTES).fill(7),
  id: "alice",
};
const LINE = encodeInvitation(INVITATION);

/** A line around any bytes, with a checksum that fits. */
function lineOf(...parts: readonly Uint8Array[]): string {
  const body = concatBytes(...parts);
  const whole = concatBytes(body, sha256(body).subarray(0, 4));
  return `pki1:${Buffer.from(whole).toString("base64url")}`;
}

test("encodeInvitation() writes what its documentation says", () => {
  const { fingerprint, token } = INVITATION;
  assert.equal(
    LINE,
    lineOf(parseHex(fingerprint), token, Uint8Array.of(5), utf8("alicepki.example.org:7443")),
  );
  assert.match(LINE, /^pki1:[\w-]+$/);
  assert.ok(LINE.length < 130, "it fits into a line or two of mail");
});

test("parseInvitation() reads what encodeInvitation() writes", () => {
  const { id: _, ...anybody } = INVITATION;
  const rows: readonly Invitation[] = [
    INVITATION,
    anybody,
    { ...INVITATION, isReset: true },
    { ...INVITATION, id: "a".repeat(63), address: "[::1]:7443" },
  ];
  for (const row of rows) assert.deepEqual(parseInvitation(encodeInvitation(row)), row);
});

test("parseInvitation() takes a line as mail programs and terminals give it", () => {
  for (const text of [`${LINE}\n`, `  ${LINE}  `, `${LINE.slice(0, 70)}\r\n${LINE.slice(70)}`]) {
    assert.deepEqual(parseInvitation(text), INVITATION);
  }
});

const { fingerprint, token } = INVITATION;
const HEAD = [parseHex(fingerprint), token] as const;
const MISSING = "cannot read the invitation: some of it is missing, or was changed";
const ID = "cannot read the invitation: it names an impossible id";
const ADDRESS = "cannot read the invitation: it names an impossible address";
const REFUSALS: readonly (readonly [what: string, line: string, message: string])[] = [
  ["nothing", "", "cannot read the invitation: it does not begin with pki1:"],
  ["something else", "pki2:AAAA", "cannot read the invitation: it does not begin with pki1:"],
  ["too much", LINE + "A".repeat(600), "cannot read the invitation: it is too long"],
  ["the prefix alone", "pki1:", MISSING],
  ["no base64url", `${LINE}+/`, MISSING],
  ["no address", lineOf(...HEAD, Uint8Array.of(0)), MISSING],
  ["an id that is longer than all", lineOf(...HEAD, Uint8Array.of(60), utf8("a:1")), ID],
  ["an impossible id", lineOf(...HEAD, Uint8Array.of(4), utf8("../xlocalhost:1")), ID],
  ["a control character", lineOf(...HEAD, Uint8Array.of(0), utf8("local\u001bhost:1")), ADDRESS],
  ["a long address", lineOf(...HEAD, Uint8Array.of(0), utf8("a".repeat(261))), ADDRESS],
];

for (const [what, line, message] of REFUSALS) {
  test(`parseInvitation() refuses ${what}`, () => {
    const hint = "paste the whole line that begins with pki1:";
    assert.throws(() => parseInvitation(line), { kind: "malformed", message, hint });
  });
}

test("parseInvitation() refuses every cut and every changed character", () => {
  for (let length = 0; length < LINE.length; length++) {
    assert.throws(() => parseInvitation(LINE.slice(0, length)), { kind: "malformed" });
  }
  fc.assert(
    fc.property(fc.nat(LINE.length - 1), fc.constantFrom(..."ABCxyz019-_"), (at, letter) => {
      const changed = LINE.slice(0, at) + letter + LINE.slice(at + 1);
      const isSame = Buffer.from(changed.slice(5), "base64url").equals(
        Buffer.from(LINE.slice(5), "base64url"),
      );
      if (changed.startsWith("pki1:") && isSame) return; // the last bits of base64 may not count
      assert.throws(() => parseInvitation(changed), { kind: "malformed" });
    }),
  );
});
