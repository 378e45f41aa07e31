/**
 * Certificate policies along a chain (RFC 5280, section 6.1, with the policy graph of RFC 9618 in
 * place of the tree).
 *
 * The tree of RFC 5280 grows exponentially with the length of a chain that was made for that
 * (CVE-2023-0464). The graph has at most one node for each policy at each depth, and an edge for each
 * entry of a policies or mappings extension, so its size is that of the certificates.
 */

import type { Certificate } from "./certificate.ts";
import { OID, type PolicyMapping } from "./extensions.ts";

/** What the caller asks of policies (RFC 5280, section 6.1.1, c to g); nothing by default. */
export interface PolicyOptions {
  /** The policies that are good enough; without them, any. */
  readonly acceptable?: readonly string[];
  /** Whether the chain must be good for at least one of them. */
  readonly requireExplicit?: boolean;
  readonly inhibitMapping?: boolean;
  readonly inhibitAny?: boolean;
}

interface Node {
  readonly policy: string;
  /** The policies that stand for this one in the next certificate. */
  expected: ReadonlySet<string>;
  readonly parents: readonly Node[];
  isOnPath: boolean;
}

/** The nodes of one depth, by policy; empty where the graph is NULL. */
type Level = Map<string, Node>;

const ANY = OID.anyPolicy;

function addNode(level: Level, policy: string, parents: readonly Node[]): void {
  level.set(policy, { policy, expected: new Set([policy]), parents, isOnPath: false });
}

/** Section 6.1.3, d and e: the next depth of the graph. */
function descend(
  above: Level,
  { policies }: Certificate,
  isAnyAllowed: boolean,
): Level {
  const level: Level = new Map();
  if (!policies) return level;
  const byExpected = new Map<string, Node[]>();
  for (const node of above.values()) {
    for (const policy of node.expected) {
      const nodes = byExpected.get(policy);
      if (nodes) nodes.push(node);
      else byExpected.set(policy, [node]);
    }
  }
  const anyAbove = above.get(ANY);
  for (const { oid } of policies) {
    if (oid === ANY) continue;
    const parents = byExpected.get(oid) ?? (anyAbove ? [anyAbove] : []);
    if (parents.length > 0) addNode(level, oid, parents);
  }
  if (isAnyAllowed && policies.some(({ oid }) => oid === ANY)) {
    for (const [policy, parents] of byExpected) {
      if (!level.has(policy)) addNode(level, policy, parents);
    }
  }
  return level;
}

/** Section 6.1.4, b: what the certificate's policies are called below it. */
function applyMappings(
  level: Level,
  mappings: readonly PolicyMapping[],
  isMappingAllowed: boolean,
): void {
  const subjectPolicies = new Map<string, Set<string>>();
  for (const { issuerPolicy, subjectPolicy } of mappings) {
    const policies = subjectPolicies.get(issuerPolicy);
    if (policies) policies.add(subjectPolicy);
    else subjectPolicies.set(issuerPolicy, new Set([subjectPolicy]));
  }
  for (const [policy, expected] of subjectPolicies) {
    if (!isMappingAllowed) {
      level.delete(policy);
      continue;
    }
    if (!level.has(policy)) {
      // A node for any policy stands for this one too; its parent is one for any policy.
      const parents = level.get(ANY)?.parents.filter((parent) => parent.policy === ANY) ?? [];
      if (parents.length > 0) addNode(level, policy, parents);
    }
    const node = level.get(policy);
    if (node) node.expected = expected;
  }
}

/** Section 6.1.5, g: the policies of the first CA's domain that the leaf is good for. */
function policiesOfLeaf(levels: readonly Level[], last: Level): Set<string> {
  for (const node of last.values()) node.isOnPath = true;
  for (const level of levels.toReversed()) {
    for (const node of level.values()) {
      if (node.isOnPath) { for (const parent of node.parents) parent.isOnPath = true; }
    }
  }
  const policies = new Set<string>();
  for (const level of levels) {
    for (const { policy, parents, isOnPath } of level.values()) {
      if (policy !== ANY && isOnPath && parents.some((parent) => parent.policy === ANY)) {
        policies.add(policy);
      }
    }
  }
  if (last.has(ANY)) policies.add(ANY);
  return policies;
}

function intersect(policies: Set<string>, acceptable: readonly string[] | undefined): Set<string> {
  if (!acceptable || acceptable.includes(ANY)) return policies;
  return new Set(acceptable.filter((policy) => policies.has(policy) || policies.has(ANY)));
}

export type PolicyResult =
  | { readonly policies: ReadonlySet<string> }
  /** Which certificate, counted from the first one below the root as 1, and what is wrong. */
  | { readonly failedAt: number; readonly what: string };

/**
 * Processes the policies of a chain. The root's own policies and mappings say nothing; its policy
 * constraints hold, as if it had an issuer.
 * @param path the root first, the leaf last
 * @param isSelfIssued whether a certificate's subject and issuer are the same
 */
export function processPolicies(
  path: readonly Certificate[],
  isSelfIssued: (certificate: Certificate) => boolean,
  options: PolicyOptions = {},
): PolicyResult {
  const last = path.length - 1;
  let explicit = options.requireExplicit ? 0 : last + 1;
  let mapping = options.inhibitMapping ? 0 : last + 1;
  let any = options.inhibitAny ? 0 : last + 1;
  let level: Level = new Map();
  addNode(level, ANY, []);
  const levels: Level[] = [level];
  for (const [i, certificate] of path.entries()) {
    const { policyMappings, policyConstraints, inhibitAnyPolicy } = certificate;
    if (i > 0) {
      const isSelf = isSelfIssued(certificate);
      level = descend(level, certificate, any > 0 || i < last && isSelf);
      levels.push(level);
      if (explicit === 0 && level.size === 0) {
        return { failedAt: i, what: "is of no policy that the chain is for" };
      }
      if (i === last) break;
      if (policyMappings) {
        if (policyMappings.some((one) => one.issuerPolicy === ANY || one.subjectPolicy === ANY)) {
          return { failedAt: i, what: "maps the policy that stands for any" };
        }
        applyMappings(level, policyMappings, mapping > 0);
      }
      if (!isSelf) {
        explicit = Math.max(0, explicit - 1);
        mapping = Math.max(0, mapping - 1);
        any = Math.max(0, any - 1);
      }
    }
    explicit = Math.min(explicit, policyConstraints?.requireExplicit ?? explicit);
    mapping = Math.min(mapping, policyConstraints?.inhibitMapping ?? mapping);
    any = Math.min(any, inhibitAnyPolicy ?? any);
  }
  explicit = Math.max(0, explicit - 1);
  if (path[last]?.policyConstraints?.requireExplicit === 0) explicit = 0;
  const policies = intersect(policiesOfLeaf(levels, level), options.acceptable);
  return explicit === 0 && policies.size === 0
    ? { failedAt: last, what: "is of no policy that is acceptable" }
    : { policies };
}
