/** What `pki verify` says of chains that are bad in one way, beside what openssl says of them. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  findChain,
  isListOf,
  type Verifiable,
  type Verification,
  verifyChain,
  type VerifyOptions,
  withoutChain,
} from "../../lib/client/verification.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { type Certificate, KEY_USAGE, OID, parseCertificate } from "../../lib/x509/certificate.ts";
import { encodeCrlEntry, encodeTbsCrl, parseCrl, signCrl } from "../../lib/x509/crl.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import type { PathCheck } from "../../lib/x509/path_failure.ts";
import { encodeCertificatesPem, encodePem } from "../../lib/x509/pem.ts";
import {
  DOMAIN,
  type Draft,
  draftIssuing,
  draftServer,
  draftUser,
  flipBit,
  type Holder,
  HOUR_MS,
  makeTestCa,
  makeUser,
  NOW_MS,
  signDraft,
  unknownExtension,
} from "../fakes/ca.ts";
import { inFolder, runTool, without } from "../tool.ts";

const CA = await makeTestCa();
const OTHER = await makeTestCa();
const KEY = await generatePrivateKey("p256");
const ALICE = await makeUser(CA, { id: "alice" });
const { certificate: ROOT } = CA.root;
const { certificate: ISSUING } = CA.issuing;

async function leafOf(draft: Draft, issuer: Holder = CA.issuing): Promise<Certificate> {
  return parseCertificate(await signDraft(draft, issuer));
}

/** A CA below the root that is not as the program makes them. */
async function caOf(change: Partial<Draft>, issuer: Holder = CA.root): Promise<Holder> {
  const key = await generatePrivateKey("p256");
  const draft = { ...draftIssuing(key), commonName: "another CA", ...change };
  return { key, certificate: parseCertificate(await signDraft(draft, issuer)) };
}

const USER = draftUser("alice", KEY);

function listOf(
  holder: Holder,
  serials: readonly string[],
  { thisUpdateMs = NOW_MS - HOUR_MS, nextUpdateMs = NOW_MS + HOUR_MS } = {},
) {
  const entries = serials.map((serial) =>
    encodeCrlEntry({ serial, revokedMs: NOW_MS - HOUR_MS, reason: "keyCompromise" })
  );
  const template = { issuer: holder.certificate, number: 5n, thisUpdateMs, nextUpdateMs, entries };
  return parseCrl(signCrl(encodeTbsCrl(template), holder));
}

const notCa = await caOf({ basicConstraints: { isCa: false, isCritical: true } });
const notSigning = await caOf({ keyUsage: KEY_USAGE.digitalSignature });
const serverCa = await caOf({ extendedKeyUsage: [OID.serverAuth] });
const deepCa = await caOf({}, CA.issuing);
const expiredCa = await caOf({ notBeforeMs: NOW_MS - 3 * HOUR_MS, notAfterMs: NOW_MS - HOUR_MS });

interface Row {
  readonly what: string;
  readonly leaf: Certificate;
  /** Besides the issuing CA, which is always there. */
  readonly above?: readonly Certificate[];
  readonly options?: Partial<VerifyOptions>;
  /** `undefined`: it is good. */
  readonly failed: PathCheck | undefined;
  readonly says?: RegExp;
  /** Options of `openssl verify` that ask for the same. */
  readonly args?: readonly string[];
}

const SERVER_PURPOSE = { purposes: [OID.serverAuth] };
const CLIENT_PURPOSE = { purposes: [OID.clientAuth] };
const server = await leafOf(draftServer(KEY));
const signedElsewhere = parseCertificate(flipBit((await leafOf(USER)).der, -1));

const ROWS: readonly Row[] = [
  {
    what: "its time is over",
    leaf: await leafOf({ ...USER, notAfterMs: NOW_MS - 1000 }),
    failed: "time",
    says: /: it expired /,
  },
  {
    what: "its time has not come",
    leaf: await leafOf({ ...USER, notBeforeMs: NOW_MS + 1000 }),
    failed: "time",
    says: /: it is not valid before /,
  },
  {
    what: "its CA's time is over",
    leaf: await leafOf(USER, expiredCa),
    above: [expiredCa.certificate],
    failed: "time",
    says: /the issuing CA expired /,
  },
  {
    what: "another key signed it",
    leaf: signedElsewhere,
    failed: "signature",
    says: /the signature of it is not by its issuer/,
  },
  {
    what: "another root's CA issued it",
    leaf: await leafOf(USER, OTHER.issuing),
    above: [OTHER.issuing.certificate, OTHER.root.certificate],
    failed: "issuer",
    says: /no chain leads from it to the root/,
  },
  {
    what: "it signed itself",
    leaf: parseCertificate(await signDraft(USER, { key: KEY })),
    failed: "issuer",
    says: /the certificate of the CA that issued it is not there/,
  },
  {
    what: "a user's key issued it",
    leaf: await leafOf(USER, notCa),
    above: [notCa.certificate],
    failed: "basic-constraints",
    says: /the issuing CA is not a CA/,
  },
  {
    what: "its CA must not sign certificates",
    leaf: await leafOf(USER, notSigning),
    above: [notSigning.certificate],
    failed: "key-usage",
    says: /the issuing CA must not sign certificates/,
  },
  {
    what: "its CA must not have a CA below it",
    leaf: await leafOf(USER, deepCa),
    above: [deepCa.certificate],
    failed: "path-length",
    says: /must not have more than 1 CA below it/,
  },
  {
    what: "it has a name of another domain",
    leaf: await leafOf({ ...USER, names: [{ type: "dns", value: "www.example.org" }] }),
    failed: "name-constraints",
    says: /it has a name that its issuing CA must not certify/,
  },
  {
    what: "it has an address",
    leaf: await leafOf({ ...USER, names: [{ type: "ip", value: "10.0.0.1" }] }),
    failed: "name-constraints",
  },
  {
    what: "it says something critical that nobody knows",
    leaf: await leafOf({ ...USER, more: [unknownExtension({ isCritical: true })] }),
    failed: "critical-extension",
    says: /unknown/,
  },
  {
    what: "it is a server's, and a client is wanted",
    leaf: server,
    options: CLIENT_PURPOSE,
    args: ["-purpose", "sslclient"],
    failed: "extended-key-usage",
    says: /it is not meant for this use/,
  },
  {
    what: "its CA is for servers only, and a client is wanted",
    leaf: await leafOf(USER, serverCa),
    above: [serverCa.certificate],
    options: CLIENT_PURPOSE,
    args: ["-purpose", "sslclient"],
    failed: "extended-key-usage",
    says: /the issuing CA is not meant for this use/,
  },
  {
    what: "it is for another name",
    leaf: server,
    options: { wanted: [{ type: "dns", value: `other.${DOMAIN}` }] },
    args: ["-verify_hostname", `other.${DOMAIN}`],
    failed: "names",
    says: /it is not for dns "other\.pki\.internal"/,
  },
  {
    what: "a list has it",
    leaf: ALICE.certificate,
    options: {
      revocation: { crls: [listOf(CA.issuing, [ALICE.certificate.serial])], isLeafOnly: true },
    },
    failed: "revocation",
    says: /it was revoked 2026-11-01T11:00:00\.000Z \(keyCompromise\)/,
    args: ["-crl_check"],
  },
  {
    what: "the list is too old to say",
    leaf: ALICE.certificate,
    options: {
      revocation: {
        crls: [listOf(CA.issuing, [], { nextUpdateMs: NOW_MS - 1000 })],
        isLeafOnly: true,
      },
    },
    failed: "revocation",
    says: /whether it was revoked is not known: the CRL expired /,
    args: ["-crl_check"],
  },
  {
    what: "there is no list",
    leaf: ALICE.certificate,
    options: { revocation: { crls: [], isLeafOnly: true } },
    failed: "revocation",
    says: /whether it was revoked is not known: there is no CRL/,
    args: ["-crl_check"],
  },
  {
    what: "the root's list has its CA",
    leaf: ALICE.certificate,
    options: {
      revocation: { crls: [listOf(CA.issuing, []), listOf(CA.root, [ISSUING.serial])] },
    },
    failed: "revocation",
    says: /the issuing CA was revoked /,
    args: ["-crl_check_all"],
  },
  { what: "it is good", leaf: ALICE.certificate, failed: undefined },
  {
    what: "it is good for what is wanted",
    leaf: server,
    options: { ...SERVER_PURPOSE, wanted: [{ type: "dns", value: `server.${DOMAIN}` }] },
    args: ["-purpose", "sslserver", "-verify_hostname", `server.${DOMAIN}`],
    failed: undefined,
  },
  {
    what: "lists do not have it",
    leaf: ALICE.certificate,
    options: { revocation: { crls: [listOf(CA.issuing, ["01"]), listOf(CA.root, [])] } },
    args: ["-crl_check_all"],
    failed: undefined,
  },
];

const verifiableOf = ({ leaf, above = [] }: Row): Verifiable => ({
  leaf,
  intermediates: [...above, ISSUING],
  root: ROOT,
});

function verifyRow(row: Row): Verification {
  const options = { nowMs: NOW_MS, ...row.options };
  try {
    return verifyChain(findChain(verifiableOf(row), options), options);
  } catch (error) {
    assert.ok(error instanceof PkiError && error.kind === "untrusted", `${error}`);
    return withoutChain(row.leaf, error);
  }
}

/** Exit code and words of `openssl verify`. */
function askOpenssl(row: Row) {
  const { intermediates } = verifiableOf(row);
  const lists = row.options?.revocation?.crls ?? [];
  return inFolder({
    "root.pem": encodePem("CERTIFICATE", ROOT.der),
    "above.pem": encodeCertificatesPem(intermediates.map(({ der }) => der)),
    "leaf.pem": encodePem("CERTIFICATE", row.leaf.der),
    "lists.pem": lists.map(({ der }) => encodePem("X509 CRL", der)).join(""),
  }, (cwd) =>
    runTool("openssl", [
      ...["verify", "-x509_strict", "-attime", String(NOW_MS / 1000), ...(row.args ?? [])],
      ...["-CAfile", "root.pem", "-untrusted", "above.pem"],
      ...(lists.length > 0 ? ["-CRLfile", "lists.pem"] : []),
      "leaf.pem",
    ], { cwd }));
}

for (const row of ROWS) {
  const { what, failed, says } = row;
  test(`verifyChain() says which check fails where ${what}, and so does openssl`, {
    skip: without("openssl"),
  }, () => {
    const { results } = verifyRow(row);
    const failures = results.flatMap((one) => one.result === "failed" ? [one] : []);
    assert.deepEqual(failures.map(({ check }) => check), failed === undefined ? [] : [failed]);
    if (says) assert.match(failures[0]?.failure.message ?? "", says);
    const { status, output } = askOpenssl(row);
    assert.equal(status === 0, failed === undefined, `openssl is of another mind: ${output}`);
  });
}

const resultOf = ({ results }: Verification, check: PathCheck) => {
  const found = results.find((one) => one.check === check);
  assert.ok(found);
  return found;
};

test("verifyChain() says all that is wrong, each in its place", async () => {
  const leaf = await leafOf({
    ...USER,
    notAfterMs: NOW_MS - HOUR_MS,
    names: [{ type: "dns", value: "www.example.org" }],
    more: [unknownExtension({ isCritical: true })],
  });
  const { results } = verifyRow({ what: "", leaf, failed: undefined });
  assert.deepEqual(
    results.flatMap(({ check, result }) => result === "failed" ? [check] : []),
    ["time", "critical-extension", "name-constraints"],
  );
});

test("verifyChain() says what it did not look at", () => {
  const chain = findChain(verifiableOf({ what: "", leaf: ALICE.certificate, failed: undefined }), {
    nowMs: NOW_MS,
  });
  const withoutNews = verifyChain(chain, { nowMs: NOW_MS, withoutRevocation: "nobody was asked" });
  assert.deepEqual(resultOf(withoutNews, "revocation"), {
    check: "revocation",
    result: "skipped",
    why: "nobody was asked",
  });
  assert.deepEqual(resultOf(withoutNews, "names"), {
    check: "names",
    result: "skipped",
    why: "no name was asked for",
  });
});

test("verifyChain() judges a user as everybody else does", async () => {
  const anchor = { root: ROOT, domain: DOMAIN };
  const judge = (leaf: Certificate, id: string, issuers?: ReadonlySet<string>) => {
    const chain = findChain(verifiableOf({ what: "", leaf, failed: undefined }), { nowMs: NOW_MS });
    const user = { id, anchor: issuers ? { ...anchor, issuers } : anchor };
    const { results } = verifyChain(chain, { nowMs: NOW_MS, user });
    return results.flatMap((one) =>
      one.result === "failed" ? [[one.check, one.failure.message.slice(26)]] : []
    );
  };
  assert.deepEqual(judge(ALICE.certificate, "alice"), []);
  assert.deepEqual(judge(ALICE.certificate, "bob"), [
    ["names", 'it is the certificate of "alice", not of "bob"'],
  ]);
  // A server is no user, whatever it is called.
  const both = await leafOf({
    ...draftServer(KEY),
    commonName: "alice",
    extendedKeyUsage: [OID.serverAuth, OID.clientAuth],
  });
  assert.deepEqual(judge(both, "alice"), [["names", "it is not a user's"]]);
  assert.deepEqual(judge(server, "alice"), [[
    "extended-key-usage",
    "it is not meant for this use",
  ]]);
  assert.deepEqual(judge(ALICE.certificate, "alice", new Set(["00"])), [
    ["issuer", "the issuing CA is not one that is pinned"],
  ]);
});

test("findChain() finds the chain that is good among others that are not", () => {
  const reissued = { ...ISSUING, notAfterMs: NOW_MS - 1 };
  const verifiable = { leaf: ALICE.certificate, intermediates: [reissued, ISSUING], root: ROOT };
  assert.deepEqual(findChain(verifiable, { nowMs: NOW_MS }), [ALICE.certificate, ISSUING, ROOT]);
});

test("findChain() refuses the root itself, and what nothing leads to the root from", () => {
  const rows: readonly [Verifiable, RegExp][] = [
    [{ leaf: ROOT, intermediates: [], root: ROOT }, /: it is the root itself/],
    [
      { leaf: ALICE.certificate, intermediates: [], root: ROOT },
      /: the certificate of the CA that issued it is not there/,
    ],
    [
      { leaf: ALICE.certificate, intermediates: [ISSUING], root: OTHER.root.certificate },
      /: no chain leads from it to the root/,
    ],
  ];
  for (const [verifiable, message] of rows) {
    assert.throws(() => findChain(verifiable, { nowMs: NOW_MS }), { kind: "untrusted", message });
  }
});

test("findChain() comes to an end among CAs that certify each other", async () => {
  const holders = await Promise.all(
    Array.from({ length: 5 }, (_, n) => caOf({ commonName: `CA ${n}` }, OTHER.root)),
  );
  const crossed: Certificate[] = [];
  for (const holder of holders) {
    for (const issuer of holders) {
      const commonName = holder.certificate.commonNames[0] ?? "";
      const draft = { ...draftIssuing(holder.key), commonName };
      crossed.push(parseCertificate(await signDraft(draft, issuer)));
    }
  }
  const leaf = await leafOf(USER, holders[0]);
  assert.throws(
    () => findChain({ leaf, intermediates: crossed, root: ROOT }, { nowMs: NOW_MS }),
    { kind: "untrusted", message: /no chain leads from it to the root/ },
  );
});

test("withoutChain() shows the reason with the check of issuers, and claims nothing else", () => {
  const failure = new PkiError("untrusted", "no chain");
  const { chain, results } = withoutChain(ALICE.certificate, failure);
  assert.deepEqual(chain, [ALICE.certificate]);
  assert.deepEqual(
    results.filter(({ result }) => result !== "skipped"),
    [{ check: "issuer", result: "failed", failure }],
  );
});

test("isListOf() goes by the name", () => {
  assert.ok(isListOf(listOf(CA.root, []), ROOT));
  assert.ok(!isListOf(listOf(CA.issuing, []), ROOT));
});
