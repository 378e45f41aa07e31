import assert from "node:assert/strict";
import { test } from "node:test";
import { type ErrorKind, PkiError } from "../../lib/base/errors.ts";
import { parseAddress } from "../../lib/client/address.ts";
import { explainFailures } from "../../lib/client/dial.ts";

/** `[source, place or nothing, kind, why]` */
type Row = readonly [source: number, place: string | undefined, kind: ErrorKind, why: string];

const REFUSED = "nobody listens there";
const SILENT = "it does not answer";

const CASES: readonly {
  readonly addresses: readonly string[];
  readonly failures: readonly Row[];
  readonly kind: ErrorKind;
  readonly message: string;
}[] = [
  {
    addresses: ["localhost:1"],
    failures: [[0, "127.0.0.1:1", "unreachable", REFUSED]],
    kind: "unreachable",
    message: REFUSED,
  },
  {
    addresses: ["localhost:1"],
    failures: [
      [0, "[::1]:1", "unreachable", REFUSED],
      [0, "127.0.0.1:1", "unreachable", REFUSED],
    ],
    kind: "unreachable",
    message: REFUSED,
  },
  {
    addresses: ["example.org:1"],
    failures: [
      [0, "[2001:db8::1]:1", "unreachable", "there is no route to the network"],
      [0, "192.0.2.1:1", "timeout", SILENT],
      [0, "192.0.2.2:1", "timeout", SILENT],
    ],
    kind: "unreachable",
    message: `there is no route to the network ([2001:db8::1]:1); ${SILENT} ` +
      "(192.0.2.1:1, 192.0.2.2:1)",
  },
  {
    addresses: ["192.0.2.1:1"],
    failures: [[0, "192.0.2.1:1", "timeout", SILENT]],
    kind: "timeout",
    message: SILENT,
  },
  {
    addresses: ["no-such.example:1"],
    failures: [[0, undefined, "unreachable", "the host name is unknown"]],
    kind: "unreachable",
    message: "the host name is unknown",
  },
  {
    addresses: ["192.0.2.1:1", "no-such.example:1", "[::1]:1"],
    failures: [
      [0, "192.0.2.1:1", "unreachable", REFUSED],
      [1, undefined, "unreachable", "the host name is unknown"],
      [2, "[::1]:1", "unreachable", REFUSED],
    ],
    kind: "unreachable",
    message: `${REFUSED} (192.0.2.1:1, [::1]:1); the host name is unknown (no-such.example:1)`,
  },
  {
    addresses: ["192.0.2.1:1", "192.0.2.2:1"],
    failures: [
      [0, "192.0.2.1:1", "unreachable", REFUSED],
      [1, "192.0.2.2:1", "unreachable", REFUSED],
    ],
    kind: "unreachable",
    message: `${REFUSED} (192.0.2.1:1, 192.0.2.2:1)`,
  },
  {
    addresses: ["localhost:1"],
    failures: [
      [0, "[::1]:1", "unreachable", REFUSED],
      [0, "127.0.0.1:1", "protocol", "the other side does not speak pki/1"],
    ],
    kind: "protocol",
    message: `${REFUSED} ([::1]:1); the other side does not speak pki/1 (127.0.0.1:1)`,
  },
  { addresses: ["localhost:1"], failures: [], kind: "unreachable", message: "it has no address" },
];

for (const { addresses, failures, kind, message } of CASES) {
  test(`explainFailures() of ${addresses} says: ${message}`, () => {
    const error = explainFailures(
      failures.map(([source, place, kind, why]) => ({
        source,
        place: place === undefined ? undefined : parseAddress(place, 1),
        error: new PkiError(kind, why),
      })),
      { addresses: addresses.map((text) => parseAddress(text, 1)), whom: "X", hint: "a hint" },
    );
    assert.deepEqual(
      [error.kind, error.message, error.hint],
      [kind, `cannot reach X: ${message}`, "a hint"],
    );
  });
}

test("explainFailures() gives the hint of an address where somebody was, if that has one", () => {
  const error = explainFailures([
    { source: 0, place: parseAddress("[::1]:1", 1), error: new PkiError("unreachable", REFUSED) },
    {
      source: 0,
      place: parseAddress("127.0.0.1:1", 1),
      error: new PkiError("unreachable", "it closed the connection", { hint: "try again" }),
    },
  ], { addresses: [parseAddress("localhost:1", 1)], whom: "X", hint: "start one" });
  assert.equal(error.hint, "try again");
});
