import assert from "node:assert/strict";
import { test } from "node:test";
import type { Certificate } from "../../lib/x509/certificate.ts";
import { isSelfIssued } from "../../lib/x509/certificate_form.ts";
import { OID } from "../../lib/x509/extensions.ts";
import { type PolicyOptions, processPolicies } from "../../lib/x509/policies.ts";
import {
  type ExtensionSpec,
  inhibitAnyPolicy,
  makeChain,
  policies,
  policyConstraints,
  policyMappings,
} from "../fakes/paths.ts";

const ANY = OID.anyPolicy;
const [A, B, C, D] = ["1.2.3.1", "1.2.3.2", "1.2.3.3", "1.2.3.4"] as const;

/** A path, root first, from each certificate's extensions; equal names where one is a number. */
function path(...extensions: readonly (readonly ExtensionSpec[])[]): readonly Certificate[] {
  const last = extensions.length;
  const specs = extensions.map((all, i) => ({
    subject: `ca ${i}`,
    ...(i < last - 1 ? { ca: {} } : {}),
    extensions: all,
  }));
  return makeChain({ subject: "root", ca: {} }, ...specs).toReversed();
}

function process(chain: readonly Certificate[], options?: PolicyOptions) {
  const result = processPolicies(chain, isSelfIssued, options);
  return "policies" in result ? [...result.policies].sort() : [result.failedAt, result.what];
}

const NOT_FOR = "is of no policy that the chain is for";
const NOT_ACCEPTABLE = "is of no policy that is acceptable";
const EXPLICIT: PolicyOptions = { requireExplicit: true };

interface Row {
  readonly name: string;
  readonly path: readonly (readonly ExtensionSpec[])[];
  readonly options?: PolicyOptions;
  readonly gives: readonly (string | number)[];
}

const ROWS: readonly Row[] = [
  { name: "no policies, none needed", path: [[], []], gives: [] },
  { name: "no policies, one needed", path: [[], []], options: EXPLICIT, gives: [1, NOT_FOR] },
  {
    name: "the same policy all along",
    path: [[policies(A)], [policies(A)]],
    options: EXPLICIT,
    gives: [A],
  },
  {
    name: "a policy that ends on the way",
    path: [[policies(A, B)], [policies(A)], [policies(A, B)]],
    options: EXPLICIT,
    gives: [A],
  },
  {
    name: "another policy in the leaf",
    path: [[policies(A)], [policies(B)]],
    options: EXPLICIT,
    gives: [2, NOT_FOR],
  },
  { name: "another policy, none needed", path: [[policies(A)], [policies(B)]], gives: [] },
  {
    name: "a CA for any policy",
    path: [[policies(ANY)], [policies(A, B)]],
    options: EXPLICIT,
    gives: [A, B],
  },
  {
    name: "a leaf for any policy",
    path: [[policies(A)], [policies(ANY)]],
    options: EXPLICIT,
    gives: [A],
  },
  {
    name: "any policy all along",
    path: [[policies(ANY)], [policies(ANY)]],
    options: EXPLICIT,
    gives: [ANY],
  },
  {
    name: "any policy all along, and one is acceptable",
    path: [[policies(ANY)], [policies(ANY)]],
    options: { requireExplicit: true, acceptable: [A] },
    gives: [A],
  },
  {
    name: "one of two is acceptable",
    path: [[policies(A, B)], [policies(A, B)]],
    options: { requireExplicit: true, acceptable: [B, C] },
    gives: [B],
  },
  {
    name: "none is acceptable",
    path: [[policies(A)], [policies(A)]],
    options: { requireExplicit: true, acceptable: [B] },
    gives: [2, NOT_ACCEPTABLE],
  },
  {
    name: "none is acceptable, none needed",
    path: [[policies(A)], [policies(A)]],
    options: { acceptable: [B] },
    gives: [],
  },
  {
    name: "a mapped policy is the CA's own",
    path: [[policies(A), policyMappings([A, B])], [policies(B)]],
    options: EXPLICIT,
    gives: [A],
  },
  {
    name: "a mapped policy no longer goes by its first name",
    path: [[policies(A), policyMappings([A, B])], [policies(A)]],
    options: EXPLICIT,
    gives: [2, NOT_FOR],
  },
  {
    name: "mapped twice",
    path: [
      [policies(A), policyMappings([A, B])],
      [policies(B), policyMappings([B, C])],
      [policies(C)],
    ],
    options: EXPLICIT,
    gives: [A],
  },
  {
    name: "one policy mapped to two, two to one",
    path: [
      [policies(A, B), policyMappings([A, C], [A, D], [B, D])],
      [policies(C, D)],
    ],
    options: EXPLICIT,
    gives: [A, B],
  },
  {
    name: "mapped from what any policy stands for",
    path: [[policies(ANY), policyMappings([A, B])], [policies(B, C)]],
    options: EXPLICIT,
    gives: [A, C],
  },
  {
    name: "mapping forbidden from the start",
    path: [[policies(A), policyMappings([A, B])], [policies(B)]],
    options: { requireExplicit: true, inhibitMapping: true },
    gives: [2, NOT_FOR],
  },
  {
    name: "mapping forbidden from the first CA on, which maps",
    path: [
      [policies(A), policyMappings([A, B]), policyConstraints({ inhibitMapping: 0 })],
      [policies(B)],
    ],
    options: EXPLICIT,
    gives: [A],
  },
  {
    name: "mapping forbidden from the first CA on, and the second maps",
    path: [
      [policies(A), policyConstraints({ inhibitMapping: 0 })],
      [policies(A), policyMappings([A, B])],
      [policies(B)],
    ],
    options: EXPLICIT,
    gives: [3, NOT_FOR],
  },
  {
    name: "mapping forbidden one CA later",
    path: [
      [policies(A), policyConstraints({ inhibitMapping: 1 })],
      [policies(A), policyMappings([A, B])],
      [policies(B)],
    ],
    options: EXPLICIT,
    gives: [A],
  },
  {
    name: "a mapping of any policy",
    path: [[policies(ANY), policyMappings([ANY, B])], [policies(B)]],
    gives: [1, "maps the policy that stands for any"],
  },
  {
    name: "a mapping to any policy",
    path: [[policies(A), policyMappings([A, ANY])], [policies(B)]],
    gives: [1, "maps the policy that stands for any"],
  },
  {
    name: "a CA that asks for a policy of the next, which has none",
    path: [[policies(A), policyConstraints({ requireExplicit: 0 })], []],
    gives: [2, NOT_FOR],
  },
  {
    name: "a CA that asks for a policy from the next but one on",
    path: [[policyConstraints({ requireExplicit: 1 })], [], []],
    gives: [3, NOT_FOR],
  },
  {
    name: "a CA that asks for a policy beyond the leaf",
    path: [[policyConstraints({ requireExplicit: 3 })], [], []],
    gives: [],
  },
  {
    name: "a leaf that asks for a policy and has none",
    path: [[], [policyConstraints({ requireExplicit: 0 })]],
    gives: [2, NOT_ACCEPTABLE],
  },
  {
    name: "any policy forbidden from the start",
    path: [[policies(ANY)], [policies(A)]],
    options: { requireExplicit: true, inhibitAny: true },
    gives: [1, NOT_FOR],
  },
  {
    name: "any policy forbidden below a CA",
    path: [[policies(A), inhibitAnyPolicy(0)], [policies(ANY)]],
    options: EXPLICIT,
    gives: [2, NOT_FOR],
  },
  {
    name: "any policy forbidden one CA later",
    path: [[policies(A), inhibitAnyPolicy(1)], [policies(ANY)]],
    options: EXPLICIT,
    gives: [A],
  },
];

for (const { name, path: extensions, options, gives } of ROWS) {
  test(`processPolicies() decides: ${name}`, () => {
    assert.deepEqual(process(path(...extensions), options), gives);
  });
}

test("processPolicies() does not count a CA's certificate for its new key", () => {
  const chain = makeChain(
    { subject: "root", ca: {} },
    { subject: "ca", ca: {}, extensions: [policies(A), inhibitAnyPolicy(0)] },
    { subject: "ca", ca: {}, extensions: [policies(ANY)] },
    { subject: "leaf", extensions: [policies(A)] },
  ).toReversed();
  assert.deepEqual(process(chain, EXPLICIT), [A]);

  const mappingLater = (subject: string) =>
    makeChain(
      { subject: "root", ca: {} },
      {
        subject: "ca",
        ca: {},
        extensions: [policies(A), policyConstraints({ inhibitMapping: 1 })],
      },
      { subject, ca: {}, extensions: [policies(A)] },
      { subject: "b", ca: {}, extensions: [policies(A), policyMappings([A, B])] },
      { subject: "leaf", extensions: [policies(B)] },
    ).toReversed();
  assert.deepEqual(process(mappingLater("ca"), EXPLICIT), [A]);
  assert.deepEqual(process(mappingLater("another"), EXPLICIT), [4, NOT_FOR]);
});

test("processPolicies() holds the root's policy constraints, and none of its policies", () => {
  const chain = (...extensions: readonly ExtensionSpec[]) =>
    makeChain(
      { subject: "root", ca: {}, extensions },
      { subject: "ca", ca: {}, extensions: [policies(A)] },
      { subject: "leaf" },
    ).toReversed();
  assert.deepEqual(process(chain(policies(B))), []);
  assert.deepEqual(process(chain(policyConstraints({ requireExplicit: 0 }))), [2, NOT_FOR]);
});

test("processPolicies() does not grow with what a hostile chain multiplies", () => {
  // Each CA maps each of many policies to all of many: 15^14 branches in a tree (CVE-2023-0464).
  const many = Array.from({ length: 15 }, (_, i) => `1.2.3.${i}`);
  const all = many.flatMap((from) => many.map((to) => [from, to] as const));
  const hostile = Array.from({ length: 14 }, () => [policies(...many), policyMappings(...all)]);
  const chain = path(...hostile, [policies(...many)]);
  // That this ends at all is the point.
  assert.deepEqual(process(chain, EXPLICIT), [...many].sort());
});
