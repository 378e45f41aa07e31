/** Values that must not stand in fields of messages, by what should be there. */

import { encodeBase64 } from "../../lib/base/bytes.ts";

export const base64Of = (length: number) => encodeBase64(new Uint8Array(length).fill(0xa5));
export const NONCE = base64Of(32);

export const BAD_IDS: readonly unknown[] = [
  undefined,
  null,
  7,
  true,
  [],
  ["alice"],
  { id: "alice" },
  "",
  ".",
  "..",
  "../x",
  "a/b",
  "a\\b",
  "/etc/passwd",
  "alice\0",
  "alice\n",
  " alice",
  "Alice",
  "ALICE",
  "al ice",
  "alice.",
  "-alice",
  "a..b",
  "a.-b",
  "a_b",
  "a%2fb",
  "alice@pki.internal",
  "алice", // Cyrillic
  "аlice", // one Cyrillic letter
  "ａlice", // full width
  "ali\u0441e",
  "alıce", // dotless i
  "ali\u200bce",
  "alice\u0301",
  "\u202ealice",
  "\ud800",
  "alice\udc00",
  "__proto__",
  "a".repeat(64),
  "a".repeat(300),
];

export const NOT_TEXT: readonly unknown[] = [undefined, null, 0, false, [], ["AQID"], {}];
/** Not the canonical form of RFC 4648, section 4. */
export const NOT_BASE64 = [
  "",
  "A",
  "AQ",
  "AQI",
  "AQ=",
  "AQ===",
  "AQJ=", // spare bits
  "AR==",
  "AQID\n",
  " AQID",
  "AQ ID",
  "AQ==AQ==",
  "=AQI",
  "A===",
  "-_--",
  "AQI\0",
  "AQІD", // Cyrillic
  "\ud800QID",
];
export const NOT_COUNTS: readonly unknown[] = [
  ...[-1, -0.5, 0.5, 1e-9, 2 ** 53, 1e300, null, true, "0", "1", [], [1], {}],
];
export const NOT_NOTES: readonly unknown[] = [
  "",
  "n".repeat(2049),
  null,
  0,
  false,
  [],
  ["note"],
  {},
];
export const NOT_OPAQUE = ["", "AQ==", "A+/A", "A B", "AQID\n", "Ä", "\0", "A".repeat(1025)];

export const NOT_ANNOUNCED: readonly unknown[] = [
  ...[null, 1, true, "localhost:7450", {}, [null], [7450], [["localhost:7450"]]],
  ...[
    "",
    "localhost",
    ":7450",
    "localhost:",
    "localhost:0",
    "localhost:01",
    "localhost:65536",
    "localhost:100000",
    "local host:1",
    "localhost:1 ",
    "localhost:1\n",
    "localhost:1\0",
    "\u001b[2J:1",
    "münchen.example:1",
    "bob@localhost:1",
    "https://localhost:1",
    "::1:1",
    "[::1]",
    "[::1]:0",
    "[]:1",
    "[localhost]:1",
    "[fe80::1%eth0]:1",
    `${"a".repeat(254)}:1`,
  ].map((address) => [address]),
  Array(9).fill("localhost:1"),
  ["localhost:1", "localhost"],
];
