import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { encodeHex } from "../../lib/base/bytes.ts";
import { commitTo, deriveSecrets, isCommittedTo } from "../../lib/protocol/safety_words.ts";

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const side = fc.record({ certificate: fc.uint8Array({ minLength: 1 }), nonce: bytes(32) });

const CALLER = { certificate: Uint8Array.of(1, 2, 3), nonce: new Uint8Array(32).fill(4) };
const WORDS = ["frozen", "broken", "little", "train", "blouse"];
const SESSION = "2b99022afafea5577e708d37a2efce26a76138ad492ea97b084142dae124f128";
const LISTENER = { certificate: Uint8Array.of(5, 6), nonce: new Uint8Array(32).fill(7) };

test("deriveSecrets() gives the words that another program computes", () => {
  // python3: HKDF by hmac, words by the list of BIP-39; see docs/protocol.md
  const { words, session } = deriveSecrets(CALLER, LISTENER);
  assert.deepEqual(words, WORDS);
  assert.equal(encodeHex(session), SESSION);
});

test("deriveSecrets() takes both nonces, both certificates and the roles into the words", () => {
  const { words } = deriveSecrets(CALLER, LISTENER);
  for (
    const [caller, listener] of [
      [LISTENER, CALLER],
      [{ ...CALLER, nonce: LISTENER.nonce }, LISTENER],
      [CALLER, { ...LISTENER, nonce: CALLER.nonce }],
      [{ ...CALLER, certificate: LISTENER.certificate }, LISTENER],
      [CALLER, { ...LISTENER, certificate: CALLER.certificate }],
    ] as const
  ) {
    const other = deriveSecrets(caller, listener);
    assert.equal(other.words.length, 5);
    assert.notDeepEqual(other.words, words);
  }
});

test("deriveSecrets() gives both sides the same, words of the list, another each time", () => {
  const seen = new Set<string>();
  fc.assert(fc.property(side, side, (caller, listener) => {
    const { words } = deriveSecrets(caller, listener);
    assert.deepEqual(deriveSecrets({ ...caller }, { ...listener }).words, words);
    for (const word of words) assert.match(word, /^[a-z]{3,8}$/);
    seen.add(words.join(" "));
  }));
  assert.ok(seen.size > 90, "words come again");
});

test("isCommittedTo() knows a nonce by its commitment, and by the role", () => {
  fc.assert(fc.property(bytes(32), fc.nat({ max: 255 }), (nonce, bit) => {
    const commitment = commitTo(nonce, "caller");
    const expected = createHash("sha256").update("pki/1 safety words\0").update(Uint8Array.of(1))
      .update(nonce).digest("hex");
    assert.equal(encodeHex(commitment), expected);
    assert.ok(isCommittedTo(commitment, nonce, "caller"));
    assert.ok(!isCommittedTo(commitment, nonce, "listener"), "a reflected commitment");
    const other = Uint8Array.from(nonce);
    other[bit >> 3] = (other[bit >> 3] ?? 0) ^ 1 << (bit & 7);
    assert.ok(!isCommittedTo(commitment, other, "caller"));
    assert.ok(!isCommittedTo(commitment.subarray(1), nonce, "caller"));
  }));
});
