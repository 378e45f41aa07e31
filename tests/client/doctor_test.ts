import assert from "node:assert/strict";
import { test } from "node:test";
import { ERROR_KINDS, type ErrorKind, PkiError } from "../../lib/base/errors.ts";
import { CHECKS, diagnose, type Diagnosed, worstOf } from "../../lib/client/doctor.ts";
import type { Check } from "../../lib/client/doctor_finding.ts";
import { patientOf } from "./patient.ts";
import { inHome } from "./temporary_home.ts";

test("diagnose() goes on after a check that fails, and changes nothing", () =>
  inHome(async (home) => {
    const checks: readonly Check[] = [
      { name: "first", run: () => [{ verdict: "ok", message: "fine" }] },
      {
        name: "second",
        run: () => {
          throw new PkiError("malformed", "cannot read x", { hint: "write it anew" });
        },
      },
      { name: "third", run: () => Promise.reject(new PkiError("timeout", "it is slow")) },
      { name: "last", run: () => Promise.resolve([]) },
    ];
    assert.deepEqual(await diagnose(patientOf(home), checks), [
      { check: "first", verdict: "ok", message: "fine" },
      {
        check: "second",
        verdict: "problem",
        kind: "malformed",
        message: "cannot read x",
        hint: "write it anew",
      },
      { check: "third", verdict: "problem", kind: "timeout", message: "it is slow" },
    ]);
    const fault: Check = { name: "fault", run: () => Promise.reject(new TypeError("no")) };
    await assert.rejects(diagnose(patientOf(home), [fault]), TypeError);
  }));

test("diagnose() with all checks finds nothing broken in a home that is not there", () =>
  inHome(async (home) => {
    const found = await diagnose(patientOf(home));
    assert.ok(found.length > 0);
    assert.equal(worstOf(found), undefined);
    const names = CHECKS.map(({ name }) => name);
    assert.equal(new Set(names).size, names.length, "each name is one check's");
    for (const { check, hint, verdict } of found) {
      assert.ok(names.includes(check));
      if (verdict === "warning") assert.ok(hint, `${check} says what to do`);
    }
  }));

test("worstOf() ranks every kind of problem, distrust before what is merely away", () => {
  const problem = (kind: ErrorKind): Diagnosed => ({
    check: "x",
    verdict: "problem",
    kind,
    message: kind,
  });
  const kinds: readonly ErrorKind[] = ["busy", "not-found", "untrusted", "storage", "unreachable"];
  assert.equal(worstOf(kinds.map(problem))?.kind, "untrusted");
  assert.equal(worstOf([problem("unreachable"), problem("storage")])?.kind, "storage");
  assert.equal(worstOf([{ check: "x", verdict: "warning", message: "" }]), undefined);
  for (const kind of Object.keys(ERROR_KINDS) as ErrorKind[]) {
    if (kind === "interrupted") continue;
    const both = [problem("interrupted"), problem(kind)];
    assert.equal(worstOf(both)?.kind, kind, `${kind} is ranked`);
  }
});
