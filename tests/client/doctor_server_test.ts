import assert from "node:assert/strict";
import { test } from "node:test";
import { PkiError } from "../../lib/base/errors.ts";
import {
  checkAddress,
  checkClock,
  checkPublished,
  checkReach,
  checkServerRoot,
  checkServerTrust,
  checkStatus,
} from "../../lib/client/doctor_server.ts";
import type { Patient } from "../../lib/client/doctor_finding.ts";
import type { Greeted, ServerSight } from "../../lib/client/sight.ts";
import { Home } from "../../lib/client/home.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import type { OcspJudgement } from "../../lib/x509/ocsp_judge.ts";
import { makeTestCa, NOW_MS } from "../fakes/ca.ts";
import { linesOf, patientOf } from "./patient.ts";
import { inHome, putKey } from "./temporary_home.ts";

const ca = await makeTestCa();
const other = await makeTestCa();
const rootDer = ca.root.certificate.der;
const away = new PkiError("unreachable", "cannot reach it: nobody listens there", { hint: "h" });

function greetedAt(timeMs: number): Greeted {
  const [askedMs, answeredMs] = [NOW_MS, NOW_MS + 200];
  return { rootDer, domain: "pki.internal", timeMs, askedMs, answeredMs };
}

const SIGHT: ServerSight = {
  places: [{ address: "192.0.2.1", failure: undefined }],
  greeted: greetedAt(NOW_MS + 100),
  trusted: true,
  statuses: new Map(),
};

function patient(sight: Partial<ServerSight> | undefined, more: Partial<Patient> = {}): Patient {
  const home = new Home("/nonexistent/home");
  return patientOf(home, { sight: sight && { ...SIGHT, ...sight }, ...more });
}

test("checkAddress() tells of names that stand for nothing, and addresses that do not answer", () => {
  const places = (...failures: readonly (string | undefined)[]) =>
    failures.map((failure, i) => ({ address: `192.0.2.${i}`, failure }));
  const rows: readonly (readonly [Patient, readonly string[]])[] = [
    [
      patient({}, { address: new PkiError("usage", "cannot use address") }),
      ["problem (usage): cannot use address"],
    ],
    [patient(undefined), []],
    [
      patient({ places: new PkiError("unreachable", "cannot look up x: unknown") }),
      ["problem (unreachable): cannot look up x: unknown"],
    ],
    [patient({ places: places(undefined, undefined) }), []],
    [patient({ places: [] }), []],
    [
      patient({ places: places(undefined, "there is no route to the host") }),
      [
        "warning: the name ca.example.org also stands for 192.0.2.1, which takes no connection: " +
        "there is no route to the host",
      ],
    ],
    [patient({ places: places("a", "b") }), []], // that the server is away is said elsewhere
  ];
  for (const [one, lines] of rows) assert.deepEqual(linesOf(checkAddress(one)), lines);
});

test("checkReach() says whether the server answers, and is milder where none was named", () => {
  const rows: readonly (readonly [Patient, readonly string[]])[] = [
    [patient(undefined), ["unchecked: the server was not asked (--offline)"]],
    [patient({}), ["ok: the server at ca.example.org:7443 answers, for pki.internal"]],
    [
      patient({ greeted: away }),
      ["problem (unreachable): cannot reach it: nobody listens there"],
    ],
    [
      patient({ greeted: away }, { isAddressNamed: false }),
      [
        "warning: no server was named, and there is none at ca.example.org:7443: " +
        "cannot reach it: nobody listens there",
      ],
    ],
    [patient({ greeted: away, places: away }), []],
  ];
  for (const [one, lines] of rows) assert.deepEqual(linesOf(checkReach(one)), lines);
});

test("checkServerRoot() compares the server's root with the pinned one", () =>
  inHome((home) => {
    const found = (sight: Partial<ServerSight>) =>
      linesOf(checkServerRoot(patientOf(home, { sight: { ...SIGHT, ...sight } })));
    const [ours, others] = [rootDer, other.root.certificate.der].map(fingerprintOf);
    assert.deepEqual(found({}), [
      `unchecked: the server says that its root is ${ours}; nobody has vouched for that yet`,
    ]);
    home.pin(ca.judging.anchor, "x:1");
    assert.deepEqual(found({}), ["ok: its root is the pinned one"]);
    const changed = { ...greetedAt(NOW_MS), rootDer: other.root.certificate.der };
    assert.deepEqual(found({ greeted: changed }), [
      `problem (untrusted): the server's root is ${others}, not the pinned ${ours}`,
    ]);
    assert.deepEqual(found({ greeted: away }), []);
  }));

test("checkServerTrust() says what the judgement of the server's certificate was", () => {
  const found = (sight: Partial<ServerSight>) => linesOf(checkServerTrust(patient(sight)));
  assert.deepEqual(found({}), ["ok: its certificate is good under the pinned root"]);
  assert.deepEqual(found({ trusted: undefined }), []);
  assert.deepEqual(found({ trusted: away, greeted: away }), []);
  assert.deepEqual(found({ trusted: new PkiError("untrusted", "it expired") }), [
    "problem (untrusted): it expired",
  ]);
});

test("checkClock() allows for the time that the answer took, and then for a little", () => {
  const found = (timeMs: number) => linesOf(checkClock(patient({ greeted: greetedAt(timeMs) })));
  const agrees = ["ok: the clock of this machine agrees with the server's"];
  const [askedMs, answeredMs] = [NOW_MS, NOW_MS + 200];
  const off = (text: string) => `the clock of this machine is ${text} the server's`;
  const rows: readonly (readonly [number, readonly string[]])[] = [
    [askedMs, agrees],
    [answeredMs, agrees],
    [askedMs - 9_999, agrees],
    [answeredMs + 9_999, agrees],
    [askedMs - 10_000, [`warning: ${off("10 s ahead of")}`]],
    [answeredMs + 10_000, [`warning: ${off("10 s behind")}`]],
    [answeredMs + 60_000, [`warning: ${off("60 s behind")}`]],
    [answeredMs + 60_001, [`problem (untrusted): ${off("60 s behind")}`]],
    [askedMs - 7_200_000, [`problem (untrusted): ${off("120 minutes ahead of")}`]],
  ];
  for (const [timeMs, lines] of rows) assert.deepEqual(found(timeMs), lines);
  const unknown =
    "unchecked: whether the clock of this machine is right is not known: no server tells the time";
  assert.deepEqual(linesOf(checkClock(patient({ greeted: away }))), [unknown]);
  assert.deepEqual(linesOf(checkClock(patient(undefined))), [unknown]);
});

test("checkStatus() says of each certificate whether it was revoked", () => {
  const times = { thisUpdateMs: NOW_MS, nextUpdateMs: NOW_MS + 1 };
  const statuses = new Map<string, OcspJudgement | PkiError>([
    ["alice", { status: "good", ...times }],
    ["bob", {
      status: "revoked",
      revokedMs: NOW_MS,
      reason: "superseded",
      ...times,
    }],
    ["carol", { status: "unknown", ...times }],
    ["dave", away],
  ]);
  assert.deepEqual(linesOf(checkStatus(patient({ statuses }))), [
    'ok: the certificate of "alice" is not revoked',
    'problem (untrusted): the certificate of "bob" was revoked on 2026-11-01T12:00:00.000Z ' +
    "(superseded)",
    'problem (untrusted): the server has no record of the certificate of "carol"',
    'unchecked: whether the certificate of "dave" was revoked is not known: ' +
    "cannot reach it: nobody listens there",
  ]);
  assert.deepEqual(checkStatus(patient(undefined)), []);
});

test("checkPublished() says what cannot be known without a login", () =>
  inHome((home) => {
    assert.deepEqual(checkPublished(patientOf(home)), []);
    putKey(home, "alice", "a key");
    assert.deepEqual(checkPublished(patientOf(home)), [{
      verdict: "unchecked",
      message: 'whether the certificate of "alice" is published is not shown without a login',
      hint: "see with: pki request alice --id alice",
    }]);
  }));
