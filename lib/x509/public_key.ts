/**
 * Reads a SubjectPublicKeyInfo (RFC 5280, section 4.1; RFC 5480; RFC 3279; RFC 8410) by itself,
 * without an engine, and refuses each kind of key that must not be certified with a message of its
 * own: engines differ in what they import and say only "invalid".
 */

import { PkiError } from "../base/errors.ts";
import { encodeHex } from "../base/bytes.ts";
import { checkInteger, DerReader, parseOid, parseWholeBits, readWhole, TAG } from "./der.ts";

/** The kinds of keys that can be certified; a profile names those that it allows. */
export const KEY_KINDS = ["p256", "p384", "rsa", "ed25519"] as const;

export type KeyKind = (typeof KEY_KINDS)[number];

export interface PublicKeyFields {
  readonly kind: KeyKind;
  /** Bits of the modulus, or of the curve. */
  readonly bits: number;
  /** Content of the BIT STRING, which the key id is made of; a view. */
  readonly keyBits: Uint8Array;
}

const OID = {
  ec: "1.2.840.10045.2.1",
  rsa: "1.2.840.113549.1.1.1",
  rsaPss: "1.2.840.113549.1.1.10",
  ed25519: "1.3.101.112",
} as const;

interface Curve {
  readonly kind: KeyKind;
  readonly bits: number;
  readonly prime: bigint;
  readonly b: bigint;
}

/** NIST SP 800-186, section 3.2.1; a is -3 for both. */
const CURVES: Readonly<Record<string, Curve>> = {
  "1.2.840.10045.3.1.7": {
    kind: "p256",
    bits: 256,
    prime: 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n,
    b: 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn,
  },
  "1.3.132.0.34": {
    kind: "p384",
    bits: 384,
    prime: 2n ** 384n - 2n ** 128n - 2n ** 96n + 2n ** 32n - 1n,
    b: 0xb3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875ac656398d8a2ed19d2a85c8edd3ec2aefn,
  },
};

/** Curves that people send, by the names they know. */
const CURVE_NAMES: Readonly<Record<string, string>> = {
  "1.3.132.0.10": "secp256k1",
  "1.3.132.0.33": "P-224",
  "1.3.132.0.35": "P-521",
  "1.2.840.10045.3.1.1": "P-192",
  "1.3.36.3.3.2.8.1.1.7": "brainpoolP256r1",
  "1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1",
};

const ALGORITHM_NAMES: Readonly<Record<string, string>> = {
  [OID.rsaPss]: "RSA-PSS",
  "1.2.840.10040.4.1": "DSA",
  "1.2.840.113549.1.3.1": "Diffie-Hellman",
  "1.3.101.110": "X25519",
  "1.3.101.111": "X448",
  "1.3.101.113": "Ed448",
};

const RSA_BITS_MIN = 2048;
/** Verifying costs more with every bit, and a stranger chooses the key. */
const RSA_BITS_MAX = 8192;
const RSA_EXPONENT_MIN = 65_537;
/** NIST SP 800-56B, section 6.2: an exponent is below 2^256. */
const RSA_EXPONENT_BYTES_MAX = 32;

function refused(what: string): PkiError {
  return new PkiError("malformed", `cannot accept the key: ${what}`);
}

function toBigInt(bytes: Uint8Array): bigint {
  return bytes.length === 0 ? 0n : BigInt(`0x${encodeHex(bytes)}`);
}

function readEc(parameters: DerReader, keyBits: Uint8Array): PublicKeyFields {
  const tag = parameters.peekTag();
  if (tag === undefined) throw refused("its curve is not named");
  if (tag === TAG.sequence) {
    throw refused("its curve has explicit parameters, a named one is needed");
  }
  const oid = parseOid(parameters.read(TAG.oid).content);
  parameters.end();
  const curve = CURVES[oid];
  if (!curve) {
    throw refused(`its curve is ${CURVE_NAMES[oid] ?? oid}, P-256 or P-384 needed`);
  }
  const { kind, bits, prime, b } = curve;
  const [form] = keyBits;
  if (keyBits.length === 1 && form === 0) throw refused("its point is the point at infinity");
  if (form === 2 || form === 3) throw refused("its point is compressed, which is not accepted");
  const bytes = bits / 8;
  if (form !== 4 || keyBits.length !== 1 + 2 * bytes) {
    throw refused("its point has not the length of its curve");
  }
  const x = toBigInt(keyBits.subarray(1, 1 + bytes));
  const y = toBigInt(keyBits.subarray(1 + bytes));
  if (x >= prime || y >= prime || (y * y - (x * x - 3n) * x - b) % prime !== 0n) {
    throw refused("its point is not on its curve");
  }
  return { kind, bits, keyBits };
}

/** Odd primes below 752 (as CA/Browser Forum, Baseline Requirements 6.1.6, wants them tried). */
const SMALL_PRIMES = (() => {
  const primes: number[] = [];
  for (let n = 3; n < 752; n += 2) if (primes.every((prime) => n % prime !== 0)) primes.push(n);
  return primes;
})();

/** The same in groups whose product is a safe integer: one long division then stands for several. */
const PRIME_GROUPS = (() => {
  const groups: { product: number; readonly primes: number[] }[] = [];
  for (const prime of SMALL_PRIMES) {
    const group = groups.at(-1);
    if (group && group.product * prime <= Number.MAX_SAFE_INTEGER) {
      group.product *= prime;
      group.primes.push(prime);
    } else groups.push({ product: prime, primes: [prime] });
  }
  return groups;
})();

/**
 * Residues of the moduli that a flawed generator made (ROCA, CVE-2017-15361: Nemec, Sys and others, "The
 * Return of Coppersmith's Attack", section 3): powers of 65537 modulo each of these primes.
 */
const ROCA_RESIDUES: ReadonlyMap<number, ReadonlySet<number>> = new Map(
  [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157].map((prime) => {
    const powers = new Set<number>();
    for (let power = 1; !powers.has(power); power = power * 65_537 % prime) powers.add(power);
    return [prime, powers];
  }),
);

/** Tries the modulus against what is known to be broken; some microseconds. */
function checkModulus(modulus: bigint): void {
  let looksLikeRoca = true;
  for (const { product, primes } of PRIME_GROUPS) {
    const rest = Number(modulus % BigInt(product));
    for (const prime of primes) {
      const residue = rest % prime;
      if (residue === 0) throw refused(`its RSA modulus has the small factor ${prime}`);
      if (ROCA_RESIDUES.get(prime)?.has(residue) === false) looksLikeRoca = false;
    }
  }
  if (looksLikeRoca) {
    throw refused("its RSA modulus is of the weak kind that ROCA (CVE-2017-15361) breaks");
  }
}

function readPositive(reader: DerReader, what: string): Uint8Array {
  const content = checkInteger(reader.read(TAG.integer).content);
  const first = content[0] ?? 0;
  if (first >= 0x80) throw refused(`its RSA ${what} is negative`);
  return first === 0 ? content.subarray(1) : content;
}

function readRsa(parameters: DerReader, keyBits: Uint8Array): PublicKeyFields {
  // RFC 3279, section 2.3.1: the parameters are NULL.
  if (parameters.read(TAG.null).content.length > 0) throw refused("its NULL is not empty");
  parameters.end();
  const reader = new DerReader(readWhole(keyBits, TAG.sequence).content);
  const modulus = readPositive(reader, "modulus");
  const exponent = readPositive(reader, "exponent");
  reader.end();
  const bits = modulus.length === 0 ? 0 : modulus.length * 8 + 24 - Math.clz32(modulus[0] ?? 0);
  if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) {
    throw refused(`RSA key has ${bits} bits, ${RSA_BITS_MIN} to ${RSA_BITS_MAX} needed`);
  }
  if (((modulus.at(-1) ?? 0) & 1) === 0) throw refused("its RSA modulus is even");
  if (((exponent.at(-1) ?? 0) & 1) === 0) throw refused("its RSA exponent is even");
  if (exponent.length > RSA_EXPONENT_BYTES_MAX) {
    throw refused(`its RSA exponent is longer than ${8 * RSA_EXPONENT_BYTES_MAX} bits`);
  }
  if (exponent.length < 4 && toBigInt(exponent) < RSA_EXPONENT_MIN) {
    throw refused(`its RSA exponent is ${toBigInt(exponent)}, at least ${RSA_EXPONENT_MIN} needed`);
  }
  checkModulus(toBigInt(modulus));
  return { kind: "rsa", bits, keyBits };
}

const ED25519_BYTES = 32;
const ED25519_PRIME = 2n ** 255n - 19n;
const ED25519_Y_OF_ORDER_8 = 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n;

/**
 * y-coordinates of the eight points of small order on edwards25519; under such a key signatures can be
 * made without a private one.
 */
const ED25519_SMALL_ORDER: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  ED25519_PRIME - 1n,
  ED25519_Y_OF_ORDER_8,
  ED25519_PRIME - ED25519_Y_OF_ORDER_8,
]);

function readEd25519(parameters: DerReader, keyBits: Uint8Array): PublicKeyFields {
  parameters.end(); // RFC 8410, section 3: absent
  if (keyBits.length !== ED25519_BYTES) throw refused("an Ed25519 key has 32 bytes");
  const littleEndian = keyBits.toReversed();
  littleEndian[0] = (littleEndian[0] ?? 0) & 0x7f; // the sign of x
  const y = toBigInt(littleEndian);
  if (y >= ED25519_PRIME) throw refused("its point is not in its shortest form");
  if (ED25519_SMALL_ORDER.has(y)) throw refused("its point has a small order");
  return { kind: "ed25519", bits: 256, keyBits };
}

/**
 * Reads a SubjectPublicKeyInfo and refuses a key that must not be certified: RSA outside of 2048 to 8192
 * bits, with an exponent that is even or below 65537, with a modulus that is even, has a small factor or is of
 * the ROCA kind; curves other than P-256 and P-384, points that are compressed, infinite or not on the
 * curve; Ed25519 points of small order; all other algorithms.
 * @throws {PkiError} `malformed`
 */
export function readPublicKey(spki: Uint8Array): PublicKeyFields {
  const reader = new DerReader(readWhole(spki, TAG.sequence).content);
  const algorithm = reader.enter(TAG.sequence);
  const keyBits = parseWholeBits(reader.read(TAG.bitString).content);
  reader.end();
  const oid = parseOid(algorithm.read(TAG.oid).content);
  switch (oid) {
    case OID.ec:
      return readEc(algorithm, keyBits);
    case OID.rsa:
      return readRsa(algorithm, keyBits);
    case OID.ed25519:
      return readEd25519(algorithm, keyBits);
    default:
      throw refused(`it is of the type ${ALGORITHM_NAMES[oid] ?? oid}; EC, RSA or Ed25519 needed`);
  }
}

/** How messages call a key: `P-256`, `RSA 2048`, `Ed25519`. */
export function describeKeyFields({ kind, bits }: PublicKeyFields): string {
  const names = { p256: "P-256", p384: "P-384", ed25519: "Ed25519", rsa: `RSA ${bits}` };
  return names[kind];
}
