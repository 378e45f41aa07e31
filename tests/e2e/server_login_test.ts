import assert from "node:assert/strict";
import { type KeyObject, randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Bytes, copyBytes, encodeBase64, parseBase64, sha256 } from "../../lib/base/bytes.ts";
import { startLogin } from "../../lib/protocol/opaque.ts";
import { parseCertificate } from "../../lib/x509/certificate.ts";
import { generatePrivateKey, signLabelled } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { importKeyPair, x509 } from "../../lib/x509/provider.ts";
import { Forge } from "./forge.ts";
import { inWorld, PASSWORDS, type World } from "./harness.ts";
import { type Message, RawClient, startRelay, withClient } from "./raw_client.ts";

/** A greeted connection. */
async function greeted(world: World): Promise<RawClient> {
  const client = await RawClient.open(world);
  await client.ok("HELLO");
  return client;
}

/** A connection of a user who was registered on it, and is logged in. */
async function registered(world: World, id: string): Promise<RawClient> {
  const client = await greeted(world);
  await client.register(id);
  assert.equal((await client.logIn(id)).type, "OK");
  return client;
}

test("two register the same name at the same moment: one has it, the other cannot log in", () =>
  inWorld(async (world) => {
    await world.serve();
    for (const id of ["alice", "bob", "carol"]) {
      const [one, two] = await Promise.all([greeted(world), greeted(world)]);
      const contenders = [
        { client: one, password: `${id}'s first password` },
        { client: two, password: `${id}'s second password` },
      ];
      const ready = await Promise.all(contenders.map(async ({ client, password }) => ({
        client,
        password,
        record: await client.startRegistration(id, password),
      })));
      for (const { client, record } of ready) client.say("REGISTER_FINISH", { record });
      const ended = await Promise.all(
        ready.map(async (contender) => ({ ...contender, answer: await contender.client.next() })),
      );
      const winners = ended.filter(({ answer }) => answer.type === "OK");
      const losers = ended.filter(({ answer }) => answer.code === "CONFLICT");
      assert.deepEqual([winners.length, losers.length], [1, 1]);
      for (const { client, password } of losers) {
        assert.equal(await client.startLogin(id, password), undefined, "the loser's password");
      }
      for (const { client, password } of winners) {
        assert.equal((await client.logIn(id, password)).type, "OK", "the winner's password");
      }
      await withClient(greeted(world), async (late) => {
        const { request } = startLogin("x", { id, rootFingerprint: world.server.fingerprint });
        await late.refused("CONFLICT", "REGISTER", { id, request });
      });
      for (const { client } of ended) client.close();
    }
  }));

/** The form of an answer: its fields, and how long each is. */
function formOf(message: Message): unknown {
  return Object.entries(message)
    .filter(([key]) => key !== "seq")
    .map(([key, value]) => [key, typeof value, String(value).length]);
}

test("an unknown user and a wrong password look alike", () =>
  inWorld(async (world) => {
    await world.serve();
    await withClient(registered(world, "alice"), async () => {});
    // A finish of the right form that fits neither login.
    const foreign = await withClient(greeted(world), (client) => client.startLogin("alice"));
    assert.ok(foreign);
    const dialogues = new Map<string, readonly unknown[]>();
    for (const id of ["alice", "nobody"]) {
      const parties = { id, rootFingerprint: world.server.fingerprint };
      const { request, finish } = startLogin("not her password", parties);
      await withClient(greeted(world), async (client) => {
        const first = await client.ok("LOGIN", { id, request });
        const second = await client.ok("LOGIN", { id, request });
        // The part that depends on the credential alone is the same each time, for both.
        const start = (answer: Message) => String(answer["response"]).slice(0, 42);
        assert.equal(start(first), start(second), `${id}: the evaluated element`);
        assert.notEqual(first["response"], second["response"], `${id}: nonces differ`);
        assert.equal(finish(String(second["response"])), undefined, `${id}: no password fits`);
        const proven = await client.refused("REFUSED", "LOGIN_FINISH", foreign);
        await client.ok("LOGIN", { id, request });
        const noise = { finish: "A".repeat(16), binding: encodeBase64(new Uint8Array(32)) };
        const made = await client.refused("REFUSED", "LOGIN_FINISH", noise);
        dialogues.set(id, [
          formOf(first),
          formOf(second),
          { ...proven, seq: 0 },
          { ...made, seq: 0 },
        ]);
        assert.equal(proven.message, made.message);
      });
    }
    assert.deepEqual(dialogues.get("nobody"), dialogues.get("alice"));
    // And to a person at the command line.
    const said = [];
    for (const [id, password] of [["alice", "bob"], ["bob", "bob"]] as const) {
      const { code, stderr } = await world.run([
        "request",
        "carol",
        "--quiet",
        "--id",
        id,
        "--password-file",
        world.passwordFile(password),
      ]);
      said.push([code, stderr.replaceAll(id, "ID")]);
    }
    assert.deepEqual(said[0], said[1]);
    assert.equal(said[0]?.[0], 4);
  }));

test("a login for another leaf of the server is refused, whoever relays it", () =>
  inWorld(async (world) => {
    await world.serve();
    await withClient(greeted(world), (client) => client.register("alice"));
    const other = await (await Forge.ofServer(world)).server();
    const otherLeaf = fs.readFileSync(other.leafPath, "utf8");
    const otherDer = parseBase64(otherLeaf.replace(/-----[^-]+-----|\s/g, ""));
    await withClient(greeted(world), async (client) => {
      for (const leafHash of [sha256(otherDer), new Uint8Array(32), sha256(new Uint8Array())]) {
        const login = await client.startLogin("alice", PASSWORDS["alice"], leafHash);
        assert.ok(login);
        await client.refused("REFUSED", "LOGIN_FINISH", login);
        await client.refused("REFUSED", "CERTREQ", { id: "alice" });
      }
      const login = await client.startLogin("alice");
      assert.ok(login);
      const binding = parseBase64(login.binding);
      binding[31] = (binding[31] ?? 0) ^ 1;
      await client.refused("REFUSED", "LOGIN_FINISH", {
        ...login,
        binding: encodeBase64(binding),
      });
      assert.equal((await client.logIn("alice")).type, "OK");
    });
    // A relay that the client has every reason to trust gets no session out of it.
    const relay = await startRelay(world, { key: other.keyPem, cert: other.certPem });
    const relayed = await world.as("alice", ["request", "alice", "--server", relay.where]);
    await relay.close();
    assert.equal(relayed.code, 4, relayed.stderr);
    assert.match(new TextDecoder().decode(relay.heard().fromClients), /LOGIN_FINISH/);
  }));

test("LOGIN_FINISH is worth nothing on another connection, or twice", () =>
  inWorld(async (world) => {
    await world.serve();
    await withClient(greeted(world), (client) => client.register("alice"));
    const parties = { id: "alice", rootFingerprint: world.server.fingerprint };
    const { request } = startLogin(PASSWORDS["alice"] ?? "", parties);
    await withClient(greeted(world), async (first) => {
      const login = await first.startLogin("alice");
      assert.ok(login);
      await withClient(greeted(world), async (second) => {
        await second.refused("REFUSED", "LOGIN_FINISH", login);
        await second.ok("LOGIN", { id: "alice", request });
        await second.refused("REFUSED", "LOGIN_FINISH", login);
        await second.refused("REFUSED", "CERTREQ", { id: "alice" });
      });
      await first.ok("LOGIN_FINISH", login);
      await first.refused("REFUSED", "LOGIN_FINISH", login);
      await withClient(greeted(world), async (late) => {
        await late.ok("LOGIN", { id: "alice", request });
        await late.refused("REFUSED", "LOGIN_FINISH", login);
      });
      await first.refused("NOT_FOUND", "CERTREQ", { id: "alice" });
    });
  }));

/** What a person publishes a certificate with. */
interface Holder {
  readonly client: RawClient;
  readonly key: KeyObject;
  readonly certificate: Bytes;
}

async function certified(client: RawClient, id: string): Promise<Holder> {
  const key = await generatePrivateKey("p256");
  const { certificate } = await client.ok("CSR", { csr: encodeBase64(await makeCsr(key, id)) });
  return { client, key, certificate: parseBase64(String(certificate)) };
}

interface Proof {
  readonly nonce: string;
  readonly clientNonce: string;
  readonly signature: string;
}

/** What the key signs; each part may be another than it should be. */
interface Signing {
  readonly key: KeyObject;
  readonly certificate: Bytes;
  readonly leafHash: Bytes;
  readonly nonce: string;
  readonly label?: string;
}

function prove({ key, certificate, leafHash, nonce, label = "pki/1 CERTUP" }: Signing): Proof {
  const clientNonce = copyBytes(randomBytes(32));
  const signature = signLabelled(
    key,
    label as "pki/1 CERTUP", // a label that the program never signs with
    parseBase64(nonce),
    clientNonce,
    sha256(certificate),
    leafHash,
  );
  return { nonce, clientNonce: encodeBase64(clientNonce), signature: encodeBase64(signature) };
}

async function askNonce({ client, certificate }: Holder): Promise<string> {
  const { nonce } = await client.ok("CERTUP", { certificate: encodeBase64(certificate) });
  return String(nonce);
}

test("publishing needs a fresh signature by the certificate's key, over exactly this", () =>
  inWorld(async (world) => {
    await world.serve();
    const client = await registered(world, "alice");
    const alice = await certified(client, "alice");
    const { key, certificate } = alice;
    const good = { key, certificate, leafHash: client.leafHash };
    const another = await generatePrivateKey("p256");
    const zeros = new Uint8Array(32);
    const deviations: Readonly<Record<string, Partial<Signing>>> = {
      "by another key": { key: another },
      "by a key of another type": { key: await generatePrivateKey("ed25519") },
      "over another certificate": { certificate: zeros },
      "for another leaf of the server": { leafHash: zeros },
      "over another nonce": { nonce: encodeBase64(zeros) },
      "under another label": { label: "pki/1 LOGIN" },
      "under a label that goes on": { label: "pki/1 CERTUP " },
      "under no label": { label: "" },
    };
    for (const [name, deviation] of Object.entries(deviations)) {
      const nonce = await askNonce(alice);
      const proof = prove({ ...good, nonce, ...deviation });
      const answer = await client.ask("CERTUP_FINISH", { ...proof, nonce });
      assert.equal(answer.code, "REFUSED", name);
      assert.equal(
        answer.message,
        "cannot publish: the signature is not by the certificate's key",
        name,
      );
      // The nonce is spent, also for the signature that would have been right.
      await client.refused("REFUSED", "CERTUP_FINISH", prove({ ...good, nonce }));
    }
    const nonce = await askNonce(alice);
    const { signature } = prove({ ...good, nonce });
    await client.refused("REFUSED", "CERTUP_FINISH", {
      nonce,
      clientNonce: encodeBase64(zeros), // another than was signed
      signature,
    });
    await client.refused(
      "REFUSED",
      "CERTUP_FINISH",
      prove({ ...good, nonce: encodeBase64(zeros) }), // a nonce that nobody gave
    );
    await client.refused("NOT_FOUND", "CERTREQ", { id: "alice" });
    await client.ok("CERTUP_FINISH", prove({ ...good, nonce: await askNonce(alice) }));
    const found = await client.ok("CERTREQ", { id: "alice" });
    assert.deepEqual(parseBase64(String(found["certificate"])), certificate);
    client.close();
  }));

test("a proof is spent once, on the connection whose nonce it signs", () =>
  inWorld(async (world) => {
    await world.serve();
    const client = await registered(world, "alice");
    const alice = await certified(client, "alice");
    const sign = (nonce: string) => prove({ ...alice, leafHash: client.leafHash, nonce });
    await withClient(RawClient.loggedIn(world, "alice"), async (other) => {
      const stolen = sign(await askNonce(alice));
      await other.refused("REFUSED", "CERTUP_FINISH", stolen);
      await askNonce({ ...alice, client: other });
      await other.refused("REFUSED", "CERTUP_FINISH", stolen);
      await client.ok("CERTUP_FINISH", stolen); // untouched where it belongs
      await client.refused("REFUSED", "CERTUP_FINISH", stolen);
      await other.refused("REFUSED", "CERTUP_FINISH", stolen);
    });
    // Two at once with one nonce: one is the first.
    const proof = sign(await askNonce(alice));
    client.say("CERTUP_FINISH", proof);
    client.say("CERTUP_FINISH", proof);
    const answers = [await client.next(), await client.next()].map(({ code }) => code ?? "OK");
    assert.deepEqual(answers.sort(), ["OK", "REFUSED"]);
    client.close();
  }));

test("nobody publishes somebody else's certificate, or one that this CA's directory does not know", () =>
  inWorld(async (world) => {
    await world.serve();
    const client = await registered(world, "alice");
    const alice = await certified(client, "alice");
    const bobs = await registered(world, "bob");
    const bob = await certified(bobs, "bob");
    const forge = await Forge.ofServer(world);
    const foreign = await Forge.foreign(world);
    const derOf = (path: string) =>
      fs.readFileSync(path, "utf8").replace(/-----[^-]+-----|\s/g, "");
    const server = join(world.home, "server");
    const certificates: Readonly<Record<string, string>> = {
      "bob's": encodeBase64(bob.certificate),
      "hers, from the CA's key but not from the CA": derOf((await forge.user("alice")).leafPath),
      "hers, from a foreign CA": derOf((await foreign.user("alice")).leafPath),
      "the root": derOf(join(server, "root.crt")),
      "the issuing CA": derOf(join(server, "issuing.crt")),
      "the server's": derOf((await forge.server()).leafPath),
    };
    for (const [name, certificate] of Object.entries(certificates)) {
      const answer = await client.ask("CERTUP", { certificate });
      assert.equal(answer.code, "REFUSED", name);
      assert.equal(
        answer.message,
        'cannot publish: no such certificate was issued to "alice"',
        name,
      );
    }
    const malformed: Readonly<Record<string, Uint8Array>> = {
      "hers with a byte more": Uint8Array.of(...alice.certificate, 0),
      "hers with a byte less": alice.certificate.subarray(0, -1),
      "not a certificate": Uint8Array.of(0x30, 0),
    };
    for (const [name, bytes] of Object.entries(malformed)) {
      const answer = await client.ask("CERTUP", { certificate: encodeBase64(bytes) });
      assert.equal(answer.code, "MALFORMED", name);
    }
    // Bob's nonce with bob's signature, sent by alice.
    const proof = prove({ ...bob, leafHash: bobs.leafHash, nonce: await askNonce(bob) });
    await client.refused("REFUSED", "CERTUP_FINISH", proof);
    await client.refused("NOT_FOUND", "CERTREQ", { id: "bob" });
    await client.refused("NOT_FOUND", "CERTREQ", { id: "alice" });
    await askNonce(alice); // the good row
    client.close();
    bobs.close();
  }));

interface CsrNames {
  readonly subject: string;
  readonly alternative?: readonly {
    readonly type: "dns" | "url" | "email" | "ip";
    readonly value: string;
  }[];
}

async function makeCsrFor({ subject, alternative = [] }: CsrNames): Promise<Bytes> {
  const { algorithm, keys } = await importKeyPair(await generatePrivateKey("p256"));
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: subject,
    keys,
    signingAlgorithm: algorithm,
    extensions: alternative.length > 0
      ? [new x509.SubjectAlternativeNameExtension([...alternative], false)]
      : [],
  });
  return copyBytes(new Uint8Array(csr.rawData));
}

test("a request for another name is refused, in its subject and beside it", () =>
  inWorld(async (world) => {
    await world.serve();
    const client = await registered(world, "alice");
    const san = (type: "dns" | "url" | "email" | "ip", value: string): CsrNames => ({
      subject: "CN=alice",
      alternative: [{ type, value }],
    });
    const refused: readonly CsrNames[] = [
      { subject: "CN=bob" },
      { subject: "CN=Alice" },
      { subject: "CN=server.pki.internal" },
      san("dns", "bob.user.pki.internal"),
      san("dns", "server.pki.internal"),
      san("dns", "*.user.pki.internal"),
      san("dns", "alice.user.pki.internal.example.org"),
      san("url", "spiffe://pki.internal/user/bob"),
      san("url", "spiffe://pki.internal/server"),
      san("url", "spiffe://pki.internal/user/alice/"),
      san("email", "bob@pki.internal"),
      san("ip", "127.0.0.1"),
      {
        subject: "CN=alice",
        alternative: [
          { type: "url", value: "spiffe://pki.internal/user/alice" },
          { type: "url", value: "spiffe://pki.internal/user/bob" },
        ],
      },
    ];
    for (const names of refused) {
      const answer = await client.ask("CSR", { csr: encodeBase64(await makeCsrFor(names)) });
      assert.equal(answer.code, "REFUSED", JSON.stringify([names, answer]));
      assert.match(answer.message ?? "", /it asks for another name than "alice"/);
    }
    // The first is not DER either: the members of a set have an order.
    for (const subject of ["CN=bob+CN=alice", "CN=alice+CN=bob", "CN=alice, CN=bob"]) {
      const answer = await client.ask("CSR", { csr: encodeBase64(await makeCsrFor({ subject })) });
      assert.equal(answer.code, "MALFORMED", JSON.stringify([subject, answer]));
      assert.match(answer.message ?? "", /2 common names|set whose members are not in order/);
    }
    const accepted: readonly CsrNames[] = [
      { subject: "" },
      { subject: "CN=alice" },
      san("url", "spiffe://pki.internal/user/alice"),
      san("dns", "alice.user.pki.internal"),
    ];
    for (const names of accepted) {
      const { certificate } = await client.ok("CSR", {
        csr: encodeBase64(await makeCsrFor(names)),
      });
      const made = parseCertificate(parseBase64(String(certificate)));
      assert.deepEqual(made.commonNames, ["alice"]);
      assert.deepEqual(made.names.map((name) => "value" in name ? name.value : name.type), [
        "spiffe://pki.internal/user/alice",
        "alice.user.pki.internal",
      ]);
    }
    client.close();
  }));

test("a request that was altered behind its signature is refused", () =>
  inWorld(async (world) => {
    await world.serve();
    const client = await registered(world, "alice");
    const csr = await makeCsr(await generatePrivateKey("p256"), "alice");
    const alteredAt = (at: number) => {
      const altered = copyBytes(csr);
      altered[at] = (altered[at] ?? 0) ^ 1;
      return altered;
    };
    // The signature is the last thing in it, the key in its middle; every tenth byte all over it.
    const places = new Set([csr.length - 1, csr.length - 20]);
    for (let at = 0; at < csr.length; at += 10) places.add(at);
    for (const at of places) {
      const answer = await client.ask("CSR", { csr: encodeBase64(alteredAt(at)) });
      assert.equal(answer.type, "ERROR", `byte ${at}`);
      assert.match(answer.code ?? "", /^(MALFORMED|REFUSED)$/, `byte ${at}: ${answer.message}`);
    }
    const { message = "" } = await client.ask("CSR", {
      csr: encodeBase64(alteredAt(csr.length - 1)),
    });
    assert.match(message, /its signature is not by the key in it/);
    for (const other of [csr.subarray(0, -1), Uint8Array.of(...csr, 0), csr.subarray(1)]) {
      await client.refused("MALFORMED", "CSR", { csr: encodeBase64(other) });
    }
    await client.ok("CSR", { csr: encodeBase64(csr) });
    client.close();
  }));

test("who has not logged in gets nothing certified, published or found", () =>
  inWorld(async (world) => {
    await world.withUsers("bob");
    const key = await generatePrivateKey("p256");
    const csr = encodeBase64(await makeCsr(key, "alice"));
    const pem = fs.readFileSync(join(world.home, "server", "certs", "bob.pem"), "utf8");
    const [, leaf = ""] = /CERTIFICATE-----([^-]+)/.exec(pem) ?? [];
    const certificate = leaf.replace(/\s/g, "");
    const bytes32 = encodeBase64(new Uint8Array(32));
    const proof = { nonce: bytes32, clientNonce: bytes32, signature: bytes32 };
    const refuseAll = async (client: RawClient) => {
      await client.refused("REFUSED", "CSR", { csr });
      await client.refused("REFUSED", "CERTUP", { certificate });
      await client.refused("REFUSED", "CERTUP_FINISH", proof);
      await client.refused("REFUSED", "CERTREQ", { id: "bob" });
    };
    await withClient(RawClient.open(world), async (client) => {
      await refuseAll(client);
      await client.ok("HELLO");
      await refuseAll(client);
      const record = await client.startRegistration("alice");
      await refuseAll(client);
      await client.ok("REGISTER_FINISH", { record });
      await refuseAll(client); // registered is not logged in
      assert.ok(await client.startLogin("alice"));
      await refuseAll(client);
      await client.refused("REFUSED", "LOGIN_FINISH", {
        finish: "A".repeat(86),
        binding: bytes32,
      });
      await refuseAll(client);
    });
    // Requests that overtake the login they depend on are judged after it, not before.
    await withClient(greeted(world), async (client) => {
      const login = await client.startLogin("alice");
      client.say("LOGIN_FINISH", { ...login, binding: bytes32 });
      client.say("CERTREQ", { id: "bob" });
      assert.deepEqual(
        [await client.next(), await client.next()].map(({ code }) => code),
        ["REFUSED", "REFUSED"],
      );
      const again = await client.startLogin("alice");
      client.say("LOGIN_FINISH", again);
      client.say("CERTREQ", { id: "bob" });
      assert.deepEqual(
        [await client.next(), await client.next()].map(({ type }) => type),
        ["OK", "OK"],
      );
    });
  }));
