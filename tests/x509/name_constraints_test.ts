import assert from "node:assert/strict";
import { test } from "node:test";
import { type Bytes, utf8 } from "../../lib/base/bytes.ts";
import { OID } from "../../lib/x509/certificate.ts";
import { DerReader, encodeElement, encodeOid, encodeSequence, TAG } from "../../lib/x509/der.ts";
import { type GeneralName, parseGeneralName } from "../../lib/x509/general_names.ts";
import {
  areConstraintsWellFormed,
  constrainedNamesOf,
  findForbiddenName,
} from "../../lib/x509/name_constraints.ts";
import { certify, generalName, nameOf, subjectAltName } from "../fakes/paths.ts";

const ORGANIZATION = "2.5.4.10";
const EMAIL_ADDRESS = "1.2.840.113549.1.9.1";
const UPN = "1.3.6.1.4.1.311.20.2.3";
const SMTP_UTF8_MAILBOX = "1.3.6.1.5.5.7.8.9";

function read(der: Bytes): GeneralName {
  return parseGeneralName(new DerReader(der).read());
}

const { dns, email, uri, ip, directory, otherName } = generalName;
const cidr4 = (a: number, b: number, bits: number): Bytes => {
  const mask = [0, 8, 16, 24].map((from) => 256 - 2 ** (8 - Math.max(0, Math.min(8, bits - from))));
  return ip(a, b, 0, 0, ...mask);
};
const inOrganization = (name: string, ...more: readonly (readonly [string, string])[]) =>
  directory(nameOf([ORGANIZATION, name], ...more));

/** `both`: in the subtree whichever way it counts; `neither`; `some`: a wildcard with names on both sides. */
interface Row {
  readonly name: Bytes;
  readonly base: Bytes;
  readonly is: "within" | "outside" | "partly";
}

const ROWS: readonly Row[] = [
  { name: dns("a.example.org"), base: dns("example.org"), is: "within" },
  { name: dns("example.org"), base: dns("example.org"), is: "within" },
  { name: dns("EXAMPLE.org"), base: dns("example.ORG"), is: "within" },
  { name: dns("a.example.org"), base: dns(""), is: "within" },
  { name: dns("aexample.org"), base: dns("example.org"), is: "outside" },
  { name: dns("example.org.evil.com"), base: dns("example.org"), is: "outside" },
  { name: dns("org"), base: dns("example.org"), is: "outside" },
  { name: dns("*.example.org"), base: dns("example.org"), is: "within" },
  { name: dns("*.example.org"), base: dns("org"), is: "within" },
  { name: dns("*.example.org"), base: dns("a.example.org"), is: "partly" },
  { name: dns("*.example.org"), base: dns("b.a.example.org"), is: "outside" },
  { name: dns("*.example.org"), base: dns("example.com"), is: "outside" },
  { name: email("a@example.org"), base: email("example.org"), is: "within" },
  { name: email("a@EXAMPLE.org"), base: email("example.ORG"), is: "within" },
  { name: email("a@b.example.org"), base: email("example.org"), is: "outside" },
  { name: email("a@b.example.org"), base: email(".example.org"), is: "within" },
  { name: email("a@example.org"), base: email(".example.org"), is: "outside" },
  { name: email("a@example.org"), base: email("a@example.org"), is: "within" },
  { name: email("a@Example.org"), base: email("a@example.org"), is: "within" },
  { name: email("A@example.org"), base: email("a@example.org"), is: "outside" },
  { name: email("b@example.org"), base: email("a@example.org"), is: "outside" },
  { name: email("user@example.org"), base: email("*@example.org"), is: "outside" },
  { name: uri("https://a.example.org/x"), base: uri("a.example.org"), is: "within" },
  { name: uri("https://me@A.example.org:8443"), base: uri("a.Example.org"), is: "within" },
  { name: uri("spiffe://pki.internal/user/a"), base: uri("pki.internal"), is: "within" },
  { name: uri("https://b.a.example.org/"), base: uri("a.example.org"), is: "outside" },
  { name: uri("https://b.a.example.org/"), base: uri(".example.org"), is: "within" },
  { name: uri("https://example.org/"), base: uri(".example.org"), is: "outside" },
  { name: uri("https://evil.com/@a.example.org"), base: uri("a.example.org"), is: "outside" },
  { name: uri("https://evil.com?@a.example.org"), base: uri("a.example.org"), is: "outside" },
  { name: uri("https://10.0.0.1/"), base: uri("a.example.org"), is: "partly" },
  { name: uri("https://[::1]/"), base: uri("a.example.org"), is: "partly" },
  { name: uri("urn:uuid:a.example.org"), base: uri("a.example.org"), is: "partly" },
  { name: ip(10, 1, 2, 3), base: cidr4(10, 1, 16), is: "within" },
  { name: ip(10, 2, 2, 3), base: cidr4(10, 1, 16), is: "outside" },
  { name: ip(10, 127, 0, 1), base: cidr4(10, 0, 9), is: "within" },
  { name: ip(10, 128, 0, 1), base: cidr4(10, 0, 9), is: "outside" },
  { name: ip(...new Array(15).fill(0), 1), base: ip(...new Array(32).fill(0)), is: "within" },
  { name: ip(...new Array(15).fill(0), 1), base: cidr4(0, 0, 0), is: "outside" },
  { name: inOrganization("x", [OID.commonName, "a"]), base: inOrganization("x"), is: "within" },
  { name: inOrganization("X"), base: inOrganization("  x "), is: "within" },
  { name: inOrganization("x"), base: inOrganization("x", [OID.commonName, "a"]), is: "outside" },
  { name: inOrganization("y"), base: inOrganization("x"), is: "outside" },
  { name: inOrganization("x"), base: directory(nameOf()), is: "within" },
  { name: otherName(UPN, "a@x"), base: otherName(UPN, "x"), is: "partly" },
  { name: otherName(SMTP_UTF8_MAILBOX, "a@x"), base: email("x.org"), is: "partly" },
];

function show(name: GeneralName): string {
  return `${name.type} ${"value" in name && typeof name.value === "string" ? name.value : ""}`;
}

for (const [i, { name: nameDer, base: baseDer, is }] of ROWS.entries()) {
  const [name, base] = [read(nameDer), read(baseDer)];
  test(`findForbiddenName() finds ${show(name)} ${is} ${show(base)} (${i})`, () => {
    const permitted = findForbiddenName([name], { permitted: [base], excluded: [] });
    const excluded = findForbiddenName([name], { permitted: [], excluded: [base] });
    assert.equal(permitted === undefined, is === "within");
    assert.equal(excluded === undefined, is === "outside");
  });
}

test("findForbiddenName() lets names pass that no constraint is about", () => {
  const names = [dns("a.org"), ip(10, 0, 0, 1), uri("urn:x"), otherName(UPN, "a")].map(read);
  const constraints = {
    permitted: [read(email("x.org"))],
    excluded: [read(otherName("1.2.3", "a"))],
  };
  assert.equal(findForbiddenName(names, constraints), undefined);
});

test("findForbiddenName() asks for one permitted subtree, and for no excluded one", () => {
  const [a, b, ab] = [read(dns("a.org")), read(dns("b.org")), read(dns("a.b.org"))];
  assert.equal(findForbiddenName([a, b, ab], { permitted: [a, b], excluded: [] }), undefined);
  assert.equal(findForbiddenName([a, b, ab], { permitted: [a], excluded: [] }), b);
  assert.equal(findForbiddenName([a, b, ab], { permitted: [a, b], excluded: [ab] }), ab);
});

const FORM_ROWS: readonly { readonly base: Bytes; readonly isGood: boolean }[] = [
  { base: dns(""), isGood: true },
  { base: dns("example.org"), isGood: true },
  { base: dns(".example.org"), isGood: false },
  { base: dns("*.example.org"), isGood: false },
  { base: dns("example.org."), isGood: false },
  { base: email("example.org"), isGood: true },
  { base: email(".example.org"), isGood: true },
  { base: email("a@example.org"), isGood: true },
  { base: email("a@b@example.org"), isGood: false },
  { base: email("@example.org"), isGood: false },
  { base: uri("example.org"), isGood: true },
  { base: uri(".example.org"), isGood: true },
  { base: uri("https://example.org"), isGood: false },
  { base: uri("10.0.0.1"), isGood: false },
  { base: cidr4(10, 0, 9), isGood: true },
  { base: ip(10, 0, 0, 0), isGood: false },
  { base: ip(10, 0, 0, 0, 255, 0, 255, 0), isGood: false },
  { base: ip(10, 0, 0, 0, 0, 255, 0, 0), isGood: false },
  { base: ip(...new Array(16).fill(0)), isGood: false },
  { base: inOrganization("x"), isGood: true },
];

for (const [i, { base, isGood }] of FORM_ROWS.entries()) {
  test(`areConstraintsWellFormed() ${isGood ? "accepts" : "refuses"} ${show(read(base))} (${i})`, () => {
    assert.equal(areConstraintsWellFormed({ permitted: [read(base)], excluded: [] }), isGood);
    assert.equal(areConstraintsWellFormed({ permitted: [], excluded: [read(base)] }), isGood);
  });
}

test("constrainedNamesOf() adds the subject, and the e-mail addresses in it", () => {
  const subject = nameOf([OID.commonName, "x"], [EMAIL_ADDRESS, "a@example.org"]);
  const names = subjectAltName(dns("a.example.org"));
  const { certificate } = certify({ subject, extensions: [names] });
  assert.deepEqual(constrainedNamesOf(certificate), [
    { type: "directory", value: subject },
    { type: "email", value: "a@example.org" },
    { type: "dns", value: "a.example.org" },
  ]);
  const nameless = certify({ subject: encodeSequence(), extensions: [names] });
  assert.deepEqual(constrainedNamesOf(nameless.certificate), [
    { type: "dns", value: "a.example.org" },
  ]);
});

test("constrainedNamesOf() never lets an address in an odd character set slip through", () => {
  const attribute = encodeSequence(encodeOid(EMAIL_ADDRESS), encodeElement(0x1e, utf8("a@x.org")));
  const subject = encodeSequence(encodeElement(TAG.set, attribute));
  const names = constrainedNamesOf(certify({ subject }).certificate);
  const constraints = { permitted: [read(email("x.org"))], excluded: [] };
  assert.deepEqual(findForbiddenName(names, constraints), { type: "email", value: "" });
});
