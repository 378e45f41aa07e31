import assert from "node:assert/strict";
import { test } from "node:test";
import {
  ERROR_KINDS,
  type ErrorKind,
  kindOfWireCode,
  messageOf,
  packError,
  PkiError,
  reportError,
  systemCodeOf,
  unpackError,
} from "../../lib/base/errors.ts";

/** The contract of the command line and of the wire, written down a second time. */
const CONTRACT: Readonly<Record<ErrorKind, readonly [exitCode: number, wireCode: string]>> = {
  internal: [1, "INTERNAL"],
  usage: [2, "USAGE"],
  malformed: [3, "MALFORMED"],
  refused: [4, "REFUSED"],
  "not-found": [5, "NOT_FOUND"],
  conflict: [5, "CONFLICT"],
  untrusted: [6, "UNTRUSTED"],
  protocol: [7, "PROTOCOL"],
  truncated: [7, "TRUNCATED"],
  unreachable: [8, "UNREACHABLE"],
  busy: [8, "BUSY"],
  timeout: [8, "TIMEOUT"],
  storage: [9, "STORAGE"],
  interrupted: [130, "INTERRUPTED"],
};

const KINDS = Object.keys(ERROR_KINDS) as ErrorKind[];

test("every kind has the exit code and the wire code of the contract", () => {
  assert.deepEqual(KINDS.toSorted(), Object.keys(CONTRACT).toSorted());
  for (const kind of KINDS) {
    const [exitCode, wireCode] = CONTRACT[kind];
    assert.equal(new PkiError(kind, "x").exitCode, exitCode);
    assert.equal(ERROR_KINDS[kind].wireCode, wireCode);
    assert.equal(kindOfWireCode(wireCode), kind);
  }
});

test("kindOfWireCode() takes an unknown code for a refusal", () => {
  for (const code of ["", "refused", "TEAPOT", "constructor", "__proto__"]) {
    assert.equal(kindOfWireCode(code), "refused");
  }
});

test("PkiError carries a hint and a cause only where there is one", () => {
  const cause = new Error("y");
  const error = new PkiError("usage", "x", { hint: "do z", cause });
  assert.deepEqual([error.name, error.message, error.hint], ["PkiError", "x", "do z"]);
  assert.equal(error.cause, cause);
  const bare = new PkiError("usage", "x");
  assert.equal(bare.hint, undefined);
  assert.equal("cause" in bare, false);
});

const SECRET = "ENOSPC /srv/pki/issuing.key";

for (const kind of KINDS) {
  const isInside = kind === "internal" || kind === "storage";
  test(`reportError() ${isInside ? "keeps the detail" : "tells the message"} of ${kind}`, () => {
    const { code, message } = reportError(new PkiError(kind, SECRET, { cause: new Error("deep") }));
    assert.equal(code, CONTRACT[kind][1]);
    if (isInside) assert.match(message, /; whoever runs the program can read (?:what|why)$/);
    else assert.equal(message, SECRET);
  });
}

test("reportError() tells what an error says that the other side may hear instead", () => {
  const report = { code: "REFUSED", message: "no reason is given" };
  const error = new PkiError("untrusted", SECRET, { report, hint: "to us alone" });
  assert.deepEqual(reportError(error), report);
  assert.deepEqual(packError(error), { kind: "untrusted", message: SECRET, hint: "to us alone" });
});

test("reportError() tells nothing of a fault that nobody foresaw", () => {
  const report = {
    code: "INTERNAL",
    message: "something failed inside; whoever runs the program can read what",
  };
  const posed = Object.assign(new Error(SECRET), { kind: "refused" });
  for (const fault of [new TypeError(SECRET), posed, SECRET, undefined, null, { kind: "usage" }]) {
    assert.deepEqual(reportError(fault), report);
  }
});

test("messageOf() and systemCodeOf() read anything that is thrown", () => {
  assert.equal(messageOf(new Error("x")), "x");
  assert.equal(messageOf("x"), "x");
  assert.equal(messageOf(undefined), "undefined");
  assert.equal(systemCodeOf(Object.assign(new Error(), { code: "ENOENT" })), "ENOENT");
  for (const thrown of [{ code: 5 }, new Error(), "ENOENT", null, undefined]) {
    assert.equal(systemCodeOf(thrown), undefined);
  }
});

test("packError() and unpackError() carry kind, message and hint between threads", () => {
  const error = new PkiError("storage", SECRET, { hint: "free some space" });
  const carried = unpackError(structuredClone(packError(error)));
  assert.deepEqual([carried.kind, carried.message, carried.hint], ["storage", SECRET, error.hint]);
  assert.deepEqual(packError(new TypeError("x")), { kind: "internal", message: "x" });
});
