/**
 * Whom a peer believes: a certificate of this CA, in time, of a user; nothing else, whatever TLS
 * thinks of it. And whom a client believes to be the server.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { test } from "node:test";
import { parseUtf8, utf8 } from "../../lib/base/bytes.ts";
import { OID } from "../../lib/x509/certificate.ts";
import { encodeFrame, FrameReader } from "../../lib/protocol/frame.ts";
import { type Credential, expired, Forge, notYetValid } from "./forge.ts";
import { inWords, inWorld, needs, type Running, type World } from "./harness.ts";
import { callWithOpenssl, listenWithOpenssl } from "./openssl_peer.ts";
import { callAs, control, PEER_ALPN, RawListener, READY, REVEAL } from "./raw_peer.ts";

/** Registers users and has their keys certified; a password file is made where there is none. */
async function certify(world: World, ...ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const path = world.passwordFile(id);
    if (!fs.existsSync(path)) fs.writeFileSync(path, `${passwordOf(id)}\n`, { mode: 0o600 });
    await world.ok(id, ["csr", "--register", "--no-publish"]);
  }
}

function passwordOf(id: string): string {
  return `${id} counts the stairs twice`;
}

test("openssl is a peer like any other", needs("openssl"), () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const forge = await Forge.ofServer(world);
    const bob = await forge.user("bob");
    const listener = await world.listen("alice", ["--once"], { input: "from alice" });
    const { port } = listener;
    const calling = callWithOpenssl(world, forge, {
      port,
      credential: bob,
      args: ["-alpn", PEER_ALPN, "-verify_return_error"],
    });
    assert.equal(parseUtf8(await calling.peer.converse(utf8("from openssl"))), "from alice");
    const listened = await listener.running.finished;
    assert.equal(listened.code, 0, listened.stderr);
    assert.equal(listened.stdout, "from openssl");
    assert.match(listened.stderr, /"event":"connected","peer":"bob"/);
    await calling.running.end();

    const listening = await listenWithOpenssl(world, forge, bob);
    const [said, called] = await Promise.all([
      listening.peer.converse(utf8("from openssl")),
      world.as("alice", [
        ...["connect", `127.0.0.1:${listening.port}`, "--expect", "bob"],
      ], { input: "from alice" }),
    ]);
    assert.equal(called.code, 0, called.stderr);
    assert.equal(called.stdout, "from openssl");
    assert.equal(parseUtf8(said), "from alice");
    await listening.running.end();
  }));

interface BadCaller {
  readonly name: string;
  readonly credential: Credential | undefined;
  readonly says: RegExp;
}

async function badCredentials(world: World, forge: Forge): Promise<readonly BadCaller[]> {
  const foreign = await Forge.foreign(world);
  return [
    { name: "none", credential: undefined, says: /none was shown/ },
    {
      name: "another CA's with the same names",
      credential: await foreign.user("bob"),
      says: /it is not of this CA/,
    },
    {
      name: "expired",
      credential: await forge.user("bob", expired()),
      says: /it expired 20/,
    },
    {
      name: "not yet valid",
      credential: await forge.user("bob", notYetValid()),
      says: /it is not valid before 20/,
    },
    {
      name: "the server's",
      credential: await forge.server(),
      says: /it is not meant for this use/,
    },
    {
      name: "the server's names for client and server",
      credential: await forge.server({ extendedKeyUsage: [OID.clientAuth, OID.serverAuth] }),
      says: /it is not a user's/,
    },
    {
      name: "a user's for clients only",
      credential: await forge.user("bob", { extendedKeyUsage: [OID.clientAuth] }),
      says: /it is not meant for this use/,
    },
    {
      name: "a user's for servers only",
      credential: await forge.user("bob", { extendedKeyUsage: [OID.serverAuth] }),
      says: /it is not meant for this use/,
    },
    {
      name: "a user of another trust domain",
      credential: await forge.user("bob", { uris: ["spiffe://other.internal/user/bob"] }),
      says: /it is not a user's/,
    },
    {
      name: "two users at once",
      credential: await forge.user("bob", {
        uris: ["spiffe://pki.internal/user/bob", "spiffe://pki.internal/user/carol"],
      }),
      says: /it is not a user's/,
    },
    {
      name: "a common name alone",
      credential: await forge.user("bob", { uris: [] }),
      says: /it is not a user's/,
    },
    {
      name: "an id with a path in it",
      credential: await forge.user("bob", { uris: ["spiffe://pki.internal/user/../bob"] }),
      says: /it is not a user's/,
    },
    {
      name: "a name outside the issuing CA's domain",
      credential: await forge.user("bob", { dns: ["bob.example.org"] }),
      says: /a name that its issuing CA must not certify/,
    },
  ];
}

test(
  "a listener turns away whom it cannot trust, and goes on listening",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice");
      const forge = await Forge.ofServer(world);
      const listener = await world.listen("alice", [], { input: "from alice" });
      const { port } = listener;
      for (const { name, credential, says } of await badCredentials(world, forge)) {
        const before = listener.running.stderr.length;
        const { running, peer } = callWithOpenssl(world, forge, { port, credential });
        await peer.control("HELLO");
        peer.send(control(peer.hello));
        const refused = await peer.control("REFUSED");
        assert.equal(refused["code"], "UNTRUSTED", name);
        assert.match(String(refused["message"]), says, name);
        peer.send(control(READY)); // does not help
        assert.deepEqual(await peer.typesToClose(), [], `${name}: it hears nothing more`);
        await running.end();
        await listener.running.waitFor(new RegExp(`^[^]{${before}}[^]*"turned-away".*\n`));
        const said = listener.running.stderr.slice(before);
        assert.match(said, /^\{"event":"turned-away","kind":"untrusted",.*\}\n$/, name);
        assert.match(said, says, name);
      }
      const good = callWithOpenssl(world, forge, { port, credential: await forge.user("bob") });
      assert.equal(parseUtf8(await good.peer.converse(utf8("good"))), "from alice");
      await listener.running.waitFor(/"event":"ended","peer":"bob"/);
      assert.equal(listener.running.stdout, "good");
      await good.running.end();
    }),
);

test("a caller tells nothing to a listener whom it cannot trust", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const forge = await Forge.ofServer(world);
    const rows = await badCredentials(world, forge);
    for (const { name, credential, says } of rows) {
      if (!credential) continue; // a TLS server without a certificate is none
      const refused = Promise.withResolvers<readonly [unknown, readonly number[]]>();
      const listener = await RawListener.start(credential, (peer) => {
        const play = async () => {
          peer.send(control(peer.hello), control(REVEAL), control(READY));
          await peer.control("HELLO");
          const { code } = await peer.control("REFUSED");
          return [code, await peer.typesToClose()] as const;
        };
        play().then(refused.resolve, refused.reject);
      });
      const called = await world.as("alice", ["connect", listener.where, "--yes"], {
        input: "a secret",
      });
      assert.equal(called.code, 6, `${name}: ${called.stderr}`);
      assert.match(called.stderr, says, name);
      assert.equal(called.stdout, "", name);
      assert.deepEqual(await refused.promise, ["UNTRUSTED", []], name);
      listener.close();
    }
  }));

test("--expect refuses another user, whose certificate is good", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob");
    const forge = await Forge.ofServer(world);
    const listener = await RawListener.start(await forge.user("mallory"), (peer) => {
      peer.send(control(peer.hello), control(REVEAL), control(READY));
    });
    const args = ["connect", listener.where, "--expect", "alice", "--yes"];
    const called = await world.as("bob", args, {
      input: "for alice only",
    });
    assert.equal(called.code, 6, called.stderr);
    assert.match(called.stderr, /pki: error: "mallory" answers at .*, not "alice"/);
    listener.close();

    const real = await world.listen("alice", ["--once"], { input: "from alice" });
    const calling = (id: string) => ["connect", `127.0.0.1:${real.port}`, "--expect", id];
    const wrong = await world.as("bob", calling("carol"), { input: "for carol only" });
    assert.equal(wrong.code, 6, wrong.stderr);
    assert.match(wrong.stderr, /"alice" answers at .*, not "carol"/);
    await real.running.waitFor(/"event":"turned-away","kind":"untrusted".*somebody else is called/);
    const right = await world.as("bob", calling("alice"), { input: "from bob" });
    assert.equal(right.code, 0, right.stderr);
    const listened = await real.running.finished;
    assert.equal(listened.code, 0, listened.stderr);
    assert.equal(listened.stdout, "from bob");
  }));

test("--allow turns away whom it does not name", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob", "carol");
    const listener = await world.listen("alice", ["--allow", "carol,dora", "--once"]);
    const where = `127.0.0.1:${listener.port}`;
    const refused = await world.as("bob", ["connect", where], { input: "from bob" });
    assert.equal(refused.code, 4, refused.stderr);
    assert.match(refused.stderr, /the peer refuses: "bob" is not among those who may call/);
    await listener.running.waitFor(/"event":"turned-away","kind":"refused"/);
    await world.ok("carol", ["connect", where], { input: "from carol" });
    const listened = await listener.running.finished;
    assert.equal(listened.code, 0, listened.stderr);
    assert.equal(listened.stdout, "from carol");
  }));

/** Waits as a listener on a port that is known already. */
async function listenAt(world: World, id: string, port: number): Promise<Running> {
  const running = world.startAs(id, ["listen", "--host", "127.0.0.1", "--port", `${port}`]);
  await running.waitFor(/is listening on port/);
  return running;
}

test("who answered at an address is remembered", () =>
  inWorld(async (world) => {
    await world.withUsers("alice", "bob", "carol");
    const first = await world.listen("alice", ["--once"]);
    const where = `localhost:${first.port}`;
    const call = (...more: readonly string[]) =>
      world.as("bob", ["connect", where, ...more], { input: "" });
    assert.equal((await call()).code, 0);
    assert.equal((await first.running.finished).code, 0);

    const carol = await listenAt(world, "carol", first.port);
    for (const flags of [[], ["--yes"], ["--json"]]) {
      const refused = await call(...flags);
      assert.equal(refused.code, 6, refused.stderr);
      const said = inWords(refused.stderr);
      assert.match(said, /"carol" answers at localhost:\d+, where "alice" did before/);
      assert.match(said, /pki: hint: .*--expect carol/);
    }
    assert.equal((await call("--expect", "alice")).code, 6);
    assert.equal((await call("--expect", "carol")).code, 0);
    assert.equal((await call()).code, 0, "carol is the one who is remembered now");
    await carol.end();

    const alice = await listenAt(world, "alice", first.port);
    assert.equal((await call()).code, 6);
    await alice.end();
  }));

/** A TLS server that speaks `pki/1` as far as HELLO; gives the types of what it was asked. */
async function pretendToServe(
  credential: Credential,
  { world, rootDer }: { readonly world: World; readonly rootDer: Uint8Array },
): Promise<{ readonly listener: RawListener; readonly heard: string[] }> {
  const heard: string[] = [];
  const statement = fs.readFileSync(join(world.home, "server", "log.pub"), "utf8");
  const [key, signature] = statement.split("\n");
  const listener = await RawListener.start(credential, (_peer, socket) => {
    const frames = new FrameReader();
    socket.on("data", (chunk: Uint8Array) => {
      frames.push(new Uint8Array(chunk));
      for (let body = frames.read(); body; body = frames.read()) {
        const { seq, type } = JSON.parse(parseUtf8(body)) as { seq: number; type: string };
        heard.push(type);
        const answer = {
          seq,
          type: "OK",
          root: Buffer.from(rootDer).toString("base64"),
          domain: "pki.internal",
          versions: ["pki/1"],
          time: new Date().toISOString(),
          log: { key, signature },
        };
        socket.write(encodeFrame(utf8(JSON.stringify(answer))));
      }
    });
  }, { alpn: "pki/1" });
  return { listener, heard };
}

test("a user whose name looks like a host or the server is only a user", () =>
  inWorld(async (world) => {
    await world.serve();
    const ids = ["localhost", "server", "server.pki.internal"];
    await certify(world, "alice", ...ids);
    const forge = await Forge.ofServer(world);
    const foreign = await Forge.foreign(world);
    const ask = async (credential: Credential) => {
      const { listener, heard } = await pretendToServe(credential, {
        world,
        rootDer: forge.rootDer,
      });
      try {
        const asked = await world.as("alice", ["request", "bob"], {
          env: { PKI_SERVER: listener.where },
        });
        return { ...asked, heard };
      } finally {
        listener.close();
      }
    };
    const ofAnother = await foreign.server();
    const credentials: [string, Credential][] = [
      ["the server of another CA", ofAnother],
      ["the server, expired", await forge.server(expired())],
      [
        "a user's names with the server's",
        await forge.server({
          uris: ["spiffe://pki.internal/server", "spiffe://pki.internal/user/localhost"],
        }),
      ],
    ];
    for (const id of ids) {
      credentials.push([id, await forge.registered(world, id, passwordOf(id))]);
    }
    for (const [name, credential] of credentials) {
      const { code, stderr, heard } = await ask(credential);
      assert.equal(code, 6, `${name}: ${stderr}`);
      assert.match(stderr, /cannot trust the server at 127\.[\d.]+:\d+: cannot trust/, name);
      // Another CA is asked whether the pinned root has signed for its root.
      const told = credential === ofAnother ? ["HELLO"] : [];
      assert.deepEqual(heard, told, `${name} is told nothing else`);
    }
    const { heard } = await ask(await forge.server());
    const login = ["HELLO", "LOGIN_CERTIFICATE"];
    assert.deepEqual(heard.slice(0, 2), login, "the server's own is believed");
  }));

test("users called like hosts talk like anybody", () =>
  inWorld(async (world) => {
    await world.serve();
    await certify(world, "localhost", "server");
    const listener = await world.listen("localhost", ["--once"], { input: "from localhost" });
    const caller = await world.ok("server", [
      "connect",
      `localhost:${listener.port}`,
      "--expect",
      "localhost",
    ]);
    assert.equal(caller.stdout, "from localhost");
    assert.equal((await listener.running.finished).code, 0);
  }));

test("a changed root is refused, and the old one is not forgotten", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const { port, running } = world.server;
    const root = fs.readFileSync(join(world.home, "root.crt"), "utf8");
    await running.end();
    const serveAgain = async (...args: readonly string[]) => {
      const again = world.start(["serve", "--port", `${port}`, "--json", ...args]);
      await again.waitFor(/"event":"ready"/);
      return again;
    };
    const other = await serveAgain("--data", world.path("other"));
    for (
      const args of [
        ["request", "alice"],
        ["csr", "--register"],
        ["csr", "--register", "--yes"],
        ["upload"],
      ]
    ) {
      const refused = await world.as("alice", args);
      assert.equal(refused.code, 6, refused.stderr);
      assert.match(refused.stderr, /cannot trust the server at .*: it is not of this CA/);
      assert.match(refused.stderr, /pki: hint: the pinned root is [0-9a-f]{64}/);
    }
    const [, fingerprint] = /"fingerprint":"([0-9a-f]{64})"/.exec(other.stdout) ?? [];
    const insisted = await world.as("alice", [
      "request",
      "alice",
      "--fingerprint",
      fingerprint ?? "",
    ]);
    assert.equal(insisted.code, 6, "not even its own fingerprint replaces a pinned root");
    await other.end();
    assert.equal(fs.readFileSync(join(world.home, "root.crt"), "utf8"), root);
    await serveAgain();
    await world.ok("alice", ["request", "alice"]);
  }));

test("first contact needs the fingerprint, and --yes is not one", () =>
  inWorld(async (world) => {
    const { fingerprint } = await world.serve();
    const home = world.path("elsewhere");
    const register = (...flags: readonly string[]) =>
      world.as("bob", ["csr", "--register", "--home", home, ...flags]);
    const almost = `${fingerprint.slice(0, 63)}${fingerprint.endsWith("0") ? "1" : "0"}`;
    const rows: [readonly string[], number, RegExp][] = [
      [[], 6, /this is the first contact\npki: hint: .*--fingerprint/],
      [["--yes"], 6, /this is the first contact\npki: hint: .*--fingerprint/],
      [["--json"], 6, /this is the first contact/],
      [["--fingerprint", "0".repeat(64)], 6, /its root is [0-9a-f]{64}, not 0{64}/],
      [["--fingerprint", almost, "--yes"], 6, /its root is [0-9a-f]{64}, not/],
      [["--fingerprint", fingerprint.slice(0, 63)], 2, /64 hexadecimal digits/],
      [["--fingerprint", fingerprint.slice(0, 16)], 2, /64 hexadecimal digits/],
      [["--fingerprint", `${fingerprint}00`], 2, /64 hexadecimal digits/],
      [["--fingerprint", ""], 2, /64 hexadecimal digits/],
    ];
    for (const [flags, code, says] of rows) {
      const refused = await register(...flags);
      assert.equal(refused.code, code, `${flags.join(" ")}: ${refused.stderr}`);
      assert.match(refused.stderr, says);
      assert.equal(fs.existsSync(join(home, "root.crt")), false, `${flags.join(" ")} pins nothing`);
      assert.equal(fs.existsSync(join(home, "ids")), false);
    }
    const right = await register("--fingerprint", fingerprint);
    assert.equal(right.code, 0, right.stderr);
    assert.equal(
      fs.readFileSync(join(home, "root.crt"), "utf8"),
      fs.readFileSync(join(world.home, "server", "root.crt"), "utf8"),
    );
    assert.equal((await register()).code, 0, "the root is pinned now");
    assert.equal((await register("--fingerprint", almost)).code, 6);
  }));

test(
  "a caller that does not speak our protocol gets nothing",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice");
      const forge = await Forge.ofServer(world);
      const bob = await forge.user("bob");
      const listener = await world.listen("alice", ["--once"], { input: "from alice" });
      const rows: (readonly string[])[] = [
        [], // no ALPN
        ["-alpn", "pki/1"],
        ["-alpn", "http/1.1"],
        ["-alpn", "pki-peer/2,pki-peer/10"],
        ["-alpn", PEER_ALPN, "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
        ["-alpn", PEER_ALPN, "-no_tls1_3", "-tls1_2"],
      ];
      for (const args of rows) {
        const { running, peer } = callWithOpenssl(world, forge, {
          port: listener.port,
          credential: bob,
          args,
        });
        peer.send(control(peer.hello), control(REVEAL), control(READY));
        assert.deepEqual(await peer.typesToClose(), [], args.join(" "));
        assert.equal(peer.bytesHeard, 0, args.join(" "));
        await running.end();
      }
      assert.doesNotMatch(listener.running.stderr, /"peer":/);
      for (const suite of ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"]) {
        const { running, peer } = callWithOpenssl(world, forge, {
          port: listener.port,
          credential: bob,
          args: ["-alpn", PEER_ALPN, "-ciphersuites", suite],
        });
        await peer.control("HELLO");
        await running.end("SIGKILL");
      }
      const good = await callAs(bob, listener.port);
      assert.equal(parseUtf8(await good.converse(utf8("good"))), "from alice");
      const listened = await listener.running.finished;
      assert.equal(listened.code, 0, listened.stderr);
      assert.equal(listened.stdout, "good");
    }),
);

test(
  "a listener that does not speak our protocol is told nothing",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      await world.withUsers("alice");
      const forge = await Forge.ofServer(world);
      const bob = await forge.user("bob");
      const call = (where: string) => world.as("alice", ["connect", where], { input: "a secret" });
      for (const alpn of [null, "pki/1"]) {
        let heard = 0;
        const listener = await RawListener.start(bob, (_peer, socket) => {
          socket.on("data", (chunk: Uint8Array) => heard += chunk.length);
        }, { alpn });
        const called = await call(listener.where);
        assert.ok(
          called.code === 7 || called.code === 8,
          `${alpn}: ${called.code} ${called.stderr}`,
        );
        assert.equal(heard, 0);
        listener.close();
      }
      const rows: [readonly string[], number, RegExp][] = [
        [["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], 7, /not with AES/],
        [["-tls1_2"], 8, /does not speak our TLS 1\.3/],
        [["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"], 7, /the line was cut/],
      ];
      for (const [args, code, says] of rows) {
        const server = world.start(
          [
            "s_server",
            ...["-accept", "127.0.0.1:0", "-alpn", PEER_ALPN],
            ...["-cert", bob.leafPath, "-key", bob.keyPath, "-Verify", "2"],
            ...args,
          ],
          { program: "openssl", keepStdin: true },
        );
        const [, port] = await server.waitFor(/ACCEPT 127\.0\.0\.1:(\d+)/);
        const calling = call(`127.0.0.1:${port}`);
        if (/cut/.test(says.source)) {
          await server.waitFor(/HELLO/);
          server.kill("SIGKILL");
        }
        const called = await calling;
        assert.equal(called.code, code, `${args.join(" ")}: ${called.stderr}`);
        assert.match(called.stderr, says);
        const { stdout } = await server.end("SIGKILL");
        assert.equal(stdout.includes("HELLO"), /cut/.test(says.source), "only AES is spoken to");
        assert.doesNotMatch(stdout, /a secret/);
      }
    }),
);

test("a TLS session is never resumed", needs("openssl"), () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const forge = await Forge.ofServer(world);
    const listener = await world.listen("alice", [], { input: "from alice" });
    const { port } = listener;
    const session = world.path("session.pem");
    const first = callWithOpenssl(world, forge, {
      port,
      credential: await forge.user("bob"),
      args: ["-alpn", PEER_ALPN, "-sess_out", session],
    });
    assert.equal(parseUtf8(await first.peer.converse(utf8("from bob"))), "from alice");
    await first.running.finished;
    // No ticket at all is best; one that an engine sends all the same must be worth nothing.
    if (fs.existsSync(session) && fs.statSync(session).size > 0) {
      const second = callWithOpenssl(world, forge, {
        port,
        args: ["-alpn", PEER_ALPN, "-sess_in", session],
      });
      second.peer.send(control(second.peer.hello));
      const { type } = await second.peer.next();
      if (type !== "closed") await second.peer.control("REFUSED");
      assert.deepEqual(await second.peer.typesToClose(), []);
      await second.running.end();
    }
    const third = await callAs(await forge.user("carol"), port);
    await third.converse(utf8("good"));
    await listener.running.waitFor(/"event":"ended","peer":"carol"/);
    const connected = listener.running.stderr.match(/"event":"connected"/g) ?? [];
    assert.equal(connected.length, 2, "bob, and carol");
  }));
