import assert from "node:assert/strict";
import * as fs from "node:fs";
import { Buffer } from "node:buffer";
import { join } from "node:path";
import { test } from "node:test";
import { concatBytes, encodeBase64, utf8 } from "../../lib/base/bytes.ts";
import { LIMITS } from "../../lib/base/limits.ts";
import { startLogin, startRegistration } from "../../lib/protocol/opaque.ts";
import { decryptPrivateKey } from "../../lib/x509/keys.ts";
import { inWorld, needs, PASSWORDS, runProgram, type World } from "./harness.ts";
import { frame, header, RawClient, requestFrame, startRelay, withClient } from "./raw_client.ts";

/** `{"seq":1,"type":"HELLO"}` in a frame of exactly this many bytes. */
function paddedHello(length: number): Uint8Array {
  const text = '{"seq":1,"type":"HELLO"';
  return concatBytes(header(length), utf8(`${text}${" ".repeat(length - text.length - 1)}}`));
}

test("a dialogue may come in writes of one byte", () =>
  inWorld(async (world) => {
    await world.serve();
    await withClient(RawClient.open(world), async (client) => {
      const { request } = startRegistration("a password of nobody", {
        id: "alice",
        rootFingerprint: world.server.fingerprint,
      });
      const whole = concatBytes(
        requestFrame(1, "HELLO"),
        requestFrame(2, "REGISTER", { id: "alice", request }),
      );
      for (const byte of whole) client.write(Uint8Array.of(byte));
      assert.deepEqual([(await client.next()).seq, (await client.next()).type], [1, "OK"]);
    });
  }));

test("messages may be glued together, and cut anywhere", () =>
  inWorld(async (world) => {
    await world.serve();
    const whole = concatBytes(
      requestFrame(1, "HELLO"),
      requestFrame(2, "CERTREQ", { id: "alice" }),
      requestFrame(3, "NONSENSE"),
      requestFrame(9, "HELLO"),
    );
    const first = requestFrame(1, "HELLO").length;
    for (const cut of [whole.length, 1, 3, 5, first - 1, first, first + 2, whole.length - 1]) {
      await withClient(RawClient.open(world), async (client) => {
        client.write(whole.subarray(0, cut));
        client.write(whole.subarray(cut));
        const answers = [];
        for (let count = 0; count < 4; count++) answers.push(await client.next());
        assert.deepEqual(
          answers.map(({ seq, type, code }) => [seq, code ?? type]),
          [[1, "OK"], [2, "REFUSED"], [3, "MALFORMED"], [9, "OK"]],
          `cut at ${cut}`,
        );
      });
    }
  }));

test("a frame's length is 1 to 65,536; behind another nothing is read", () =>
  inWorld(async (world) => {
    await world.serve();
    for (const length of [0, 65_537, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
      await withClient(RawClient.open(world), async (client) => {
        client.write(concatBytes(header(length), requestFrame(1, "HELLO")));
        await client.brokeProtocol(new RegExp(`its length is ${length}, 1 to 65536 allowed`));
      });
      await withClient(RawClient.open(world), async (client) => {
        await client.ok("HELLO");
        for (const byte of header(length)) client.write(Uint8Array.of(byte));
        await client.brokeProtocol();
      });
    }
    await withClient(RawClient.open(world), async (client) => {
      client.write(frame("5"));
      await client.brokeProtocol(/not an object/);
    });
    await withClient(RawClient.open(world), async (client) => {
      client.write(paddedHello(LIMITS.frameBytesMax));
      assert.equal((await client.next()).type, "OK");
    });
  }));

test("what has no number cannot be answered: PROTOCOL, and the end", () =>
  inWorld(async (world) => {
    await world.serve();
    const bodies: Readonly<Record<string, string | Uint8Array>> = {
      "not JSON": '{"seq":2,"type":"HELLO"',
      "one space": " ",
      "two values": '{"seq":2,"type":"HELLO"}{"seq":3,"type":"HELLO"}',
      "single quotes": "{'seq':2,'type':'HELLO'}",
      "a byte order mark": '\ufeff{"seq":2,"type":"HELLO"}',
      "not UTF-8": concatBytes(utf8('{"seq":2,"type":"HELLO","x":"'), Uint8Array.of(0xff, 0x22)),
      "an overlong form": concatBytes(
        utf8('{"seq":2,"type":"'),
        Uint8Array.of(0xc1, 0x88), // "H" in two bytes
        utf8('ELLO"}'),
      ),
      "a lone surrogate": concatBytes(
        utf8('{"seq":2,"type":"HELLO","x":"'),
        Uint8Array.of(0xed, 0xa0, 0x80),
        utf8('"}'),
      ),
      "UTF-16": new Uint8Array(Buffer.from('{"seq":2,"type":"HELLO"}', "utf16le")),
      "an array": '[{"seq":2,"type":"HELLO"}]',
      "null": "null",
      "a number": "2",
      "a string": '"HELLO"',
      "no seq": '{"type":"HELLO"}',
      "seq 0": '{"seq":0,"type":"HELLO"}',
      "seq -1": '{"seq":-1,"type":"HELLO"}',
      "seq 1.5": '{"seq":2.5,"type":"HELLO"}',
      "seq as text": '{"seq":"2","type":"HELLO"}',
      "seq null": '{"seq":null,"type":"HELLO"}',
      "seq true": '{"seq":true,"type":"HELLO"}',
      "seq in an array": '{"seq":[2],"type":"HELLO"}',
      "seq beyond 2^53": '{"seq":9007199254740993,"type":"HELLO"}',
      "seq infinite": '{"seq":1e999,"type":"HELLO"}',
      "seq in the prototype": '{"__proto__":{"seq":2},"type":"HELLO"}',
      "seq that does not grow": '{"seq":1,"type":"HELLO"}',
      "nested as deep as fits": "[".repeat(60_000),
    };
    for (const [name, body] of Object.entries(bodies)) {
      await withClient(RawClient.open(world), async (client) => {
        await client.ok("HELLO"); // seq 1
        client.write(concatBytes(frame(body), requestFrame(50, "HELLO")));
        await client.brokeProtocol(/^cannot read message: /)
          .catch((error: Error) => assert.fail(`${name}: ${error.message}`));
      });
    }
    await withClient(RawClient.open(world), async (client) => {
      client.write(concatBytes(requestFrame(7, "HELLO"), requestFrame(6, "HELLO")));
      assert.equal((await client.next()).type, "OK");
      await client.brokeProtocol(/"seq" does not grow/);
    });
    await withClient(RawClient.open(world), async (client) => {
      client.write(frame(' {"type" : "HELLO", "seq": 9007199254740991 }\n'));
      assert.deepEqual(
        [await client.next()].map(({ seq, type }) => [seq, type]),
        [[Number.MAX_SAFE_INTEGER, "OK"]],
      );
    });
  }));

test("what cannot be understood is answered with MALFORMED, and the connection goes on", () =>
  inWorld(async (world) => {
    await world.serve();
    const malformed = [
      '"type":"NONSENSE"',
      '"type":"hello"',
      '"type":"HELLO "',
      '"type":""',
      '"type":null',
      '"type":["HELLO"]',
      '"type":"__proto__"',
      '"type":"constructor"',
      '"type":"toString"',
      '"type":"hasOwnProperty"',
      '"kind":"HELLO"',
      '"type":"HELLO","extra":1',
      '"type":"HELLO","":1',
      '"type":"HELLO","__proto__":{"type":"LOGIN"}',
      '"type":"HELLO","constructor":1',
      '"type":"HELLO","toString":1',
      '"type":"HELLO","id":"alice"',
      `"type":"HELLO","x":${"[".repeat(5000)}${"]".repeat(5000)}`,
      '"type":"LOGIN","id":"alice"',
      '"type":"LOGIN","request":"AAAA"',
      '"type":"LOGIN","id":["alice"],"request":"AAAA"',
      '"type":"LOGIN","id":{"toString":"alice"},"request":"AAAA"',
      '"type":"LOGIN","id":"alice","request":""',
      '"type":"LOGIN","id":"alice","request":"A+/A"',
      '"type":"LOGIN","id":"alice","request":"AAAA"', // of the right form, not an OPAQUE message
      `"type":"LOGIN","id":"alice","request":"${"A".repeat(1025)}"`,
      '"type":"REGISTER","id":"alice","request":"AAAA"',
      '"type":"CERTREQ","id":"alice","user":"bob"',
      '"type":"ANNOUNCE","addresses":["localhost:1","nowhere"],"seconds":60',
      '"type":"ANNOUNCE","addresses":[],"seconds":59',
      '"type":"ANNOUNCE","addresses":[],"seconds":60,"id":"bob"',
      '"type":"LOCATE","id":"../bob"',
      '"type":"CSR","csr":""',
      '"type":"CSR","csr":"AAA"',
      '"type":"CSR","csr":"AAB="',
      `"type":"CSR","csr":"${encodeBase64(new Uint8Array(LIMITS.derBytesMax + 1))}"`,
    ];
    await withClient(RawClient.open(world), async (client) => {
      await client.ok("HELLO");
      for (const [index, fields] of malformed.entries()) {
        const seq = index + 2;
        client.write(frame(`{"seq":${seq},${fields}}`));
        const answer = await client.next();
        assert.deepEqual(
          [answer.seq, answer.type, answer.code],
          [seq, "ERROR", "MALFORMED"],
          fields.slice(0, 100),
        );
      }
      client.write(requestFrame(1000, "HELLO"));
      assert.equal((await client.next()).type, "OK");
    });
  }));

type State = "new" | "greeted" | "registering" | "proving" | "open";

/** What docs/protocol.md lets a client ask for, by the state of its connection. */
const ALLOWED: Readonly<Record<State, readonly string[]>> = {
  new: ["HELLO"],
  greeted: ["HELLO", "REGISTER", "LOGIN"],
  registering: ["REGISTER", "REGISTER_FINISH", "LOGIN"],
  proving: ["REGISTER", "LOGIN", "LOGIN_FINISH"],
  open: ["CSR", "CERTUP", "CERTUP_FINISH", "CERTREQ", "ANNOUNCE", "LOCATE"],
};

/** Well-formed requests of every type. */
function wellFormed(world: World): Readonly<Record<string, object>> {
  const parties = { id: "bob", rootFingerprint: world.server.fingerprint };
  const bytes32 = encodeBase64(new Uint8Array(32));
  return {
    HELLO: {},
    REGISTER: { id: "bob", request: startRegistration("nobody's password", parties).request },
    REGISTER_FINISH: { record: "A".repeat(256) },
    LOGIN: { id: "bob", request: startLogin("nobody's password", parties).request },
    LOGIN_FINISH: { finish: "A".repeat(86), binding: bytes32 },
    CSR: { csr: encodeBase64(Uint8Array.of(0x30, 0)) },
    CERTUP: { certificate: encodeBase64(Uint8Array.of(0x30, 0)) },
    CERTUP_FINISH: { nonce: bytes32, clientNonce: bytes32, signature: bytes32 },
    CERTREQ: { id: "bob" },
    ANNOUNCE: { addresses: ["localhost:7450"], seconds: 60 },
    LOCATE: { id: "bob" },
  };
}

test("every request out of its state is REFUSED, changes nothing, and the connection goes on", () =>
  inWorld(async (world) => {
    await world.serve();
    const refuseOthers = async (client: RawClient, state: State) => {
      for (const [type, body] of Object.entries(wellFormed(world))) {
        if (ALLOWED[state].includes(type)) continue;
        const { message = "" } = await client.refused("REFUSED", type, body);
        assert.match(message, new RegExp(`^cannot do ${type} now: `), state);
      }
    };
    await withClient(RawClient.open(world), async (client) => {
      await refuseOthers(client, "new");
      await client.ok("HELLO");
      await refuseOthers(client, "greeted");
      const record = await client.startRegistration("alice");
      await refuseOthers(client, "registering");
      await client.ok("REGISTER_FINISH", { record });
      await refuseOthers(client, "greeted");
      const login = await client.startLogin("alice");
      assert.ok(login);
      await refuseOthers(client, "proving");
      await client.ok("LOGIN_FINISH", login);
      await refuseOthers(client, "open");
      await client.refused("NOT_FOUND", "CERTREQ", { id: "bob" });
    });
  }));

test("a dialogue that was begun anew has forgotten the one before", () =>
  inWorld(async (world) => {
    await world.serve();
    await withClient(RawClient.open(world), async (client) => {
      await client.ok("HELLO");
      const record = await client.startRegistration("alice");
      const login = await client.startLogin("bob");
      assert.equal(login, undefined, "nobody is called bob");
      await client.refused("REFUSED", "REGISTER_FINISH", { record });
      await client.register("alice");
      const first = await client.startLogin("alice");
      const second = await client.startLogin("alice");
      assert.ok(first && second);
      await client.refused("REFUSED", "LOGIN_FINISH", first);
      await client.refused("REFUSED", "LOGIN_FINISH", second); // spent by the failure
      assert.equal((await client.logIn("alice")).type, "OK");
    });
  }));

test("a hundred requests at once are all answered, each under its number", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    await withClient(RawClient.loggedIn(world, "alice"), async (client) => {
      const requests = [];
      for (let count = 0; count < 100; count++) {
        requests.push(requestFrame(1000 + count, "CERTREQ", { id: count % 2 ? "alice" : "bob" }));
      }
      client.write(concatBytes(...requests));
      const answers = [];
      for (let count = 0; count < 100; count++) answers.push(await client.next());
      answers.sort((a, b) => a.seq - b.seq);
      assert.deepEqual(
        answers.map(({ seq, type, code }) => [seq, code ?? type]),
        requests.map((_, count) => [1000 + count, count % 2 ? "OK" : "NOT_FOUND"]),
      );
    });
  }));

/** Every file and folder below a folder, by its path, but for what is just being written. */
function listFiles(folder: string): readonly string[] {
  const names = fs.readdirSync(folder, { recursive: true }) as string[];
  return names.filter((name) => !/(?:^|\/)\.[^/]+\.tmp$/.test(name)).sort();
}

test("an impossible id is refused wherever it is named, and makes no file", () =>
  inWorld(async (world) => {
    await world.withUsers("alice");
    const hostile = [
      "",
      ".",
      "..",
      "../x",
      "../../x",
      "x/../alice",
      "/tmp/x",
      "a/b",
      "a\\b",
      "..\\x",
      "a\u0000b",
      "alice\u0000",
      "alice\n",
      " alice",
      "alice ",
      "%2e",
      "%2e%2e%2fx",
      "a%00",
      "Alice",
      "ALICE",
      "\u0430lice", // Cyrillic а
      "al\u0131ce", // dotless i
      "\uff41lice", // full-width a
      "alice\u200b", // zero-width space
      "\u202eecila", // right-to-left override
      "bo\u0300b",
      "a..b",
      "a--b",
      "-rf",
      ".hidden",
      "a.",
      "a_b",
      "a@b",
      "a:b",
      "*",
      "$(id)",
      "'; drop table account; --",
      "__proto__",
      "\ud800",
      "a".repeat(LIMITS.idCharactersMax + 1),
      "a".repeat(300),
    ];
    const { request } = startLogin("nobody's password", {
      id: "x",
      rootFingerprint: world.server.fingerprint,
    });
    const before = listFiles(world.folder);
    const good = "a".repeat(LIMITS.idCharactersMax);
    await withClient(RawClient.open(world), async (client) => {
      await client.ok("HELLO");
      for (const type of ["REGISTER", "LOGIN"]) {
        for (const id of hostile) {
          const { message = "" } = await client.refused("MALFORMED", type, { id, request });
          assert.equal(message, `cannot read ${type}: "id" is missing or not as it should be`);
        }
        await client.ok(type, { id: good, request });
      }
    });
    await withClient(RawClient.loggedIn(world, "alice"), async (client) => {
      for (const id of hostile) await client.refused("MALFORMED", "CERTREQ", { id });
      for (const id of ["constructor", "tostring", good, "root.crt", "state.db"]) {
        await client.refused("NOT_FOUND", "CERTREQ", { id });
      }
    });
    assert.deepEqual(listFiles(world.folder), before);
  }));

test("TLS 1.2 is refused, and so is a client of another protocol or of none", () =>
  inWorld(async (world) => {
    await world.serve();
    await assert.rejects(
      RawClient.open(world, { minVersion: "TLSv1.2", maxVersion: "TLSv1.2" }),
      /ProtocolVersion|protocol version/i,
    );
    for (const other of ["h2", "pki/2", "pki/1.0", "PKI/1", "pki-peer/1"]) {
      await assert.rejects(
        RawClient.open(world, { ALPNProtocols: [other] }),
        /NoApplicationProtocol|no application protocol/i,
        other,
      );
    }
    await withClient(RawClient.open(world, { ALPNProtocols: [] }), async (client) => {
      client.write(requestFrame(1, "HELLO"));
      await client.brokeProtocol(/the other side does not speak pki\/1/);
    });
    await withClient(
      RawClient.open(world, { ALPNProtocols: ["h2", "pki/1"] }),
      async (client) => void await client.ok("HELLO"),
    );
  }));

// Deno makes up its "session" events, so this asks OpenSSL, which shows every message of TLS.
test(
  "no session ticket is issued, so no session can be resumed",
  needs("openssl"),
  () =>
    inWorld(async (world) => {
      await world.serve();
      const saved = world.path("session.pem");
      const args = [
        "s_client",
        "-connect",
        `127.0.0.1:${world.server.port}`,
        "-alpn",
        "pki/1",
        "-tls1_3",
        "-msg",
        "-ign_eof",
        "-sess_out",
        saved,
      ];
      // The bad length at the end makes the server close: by then a ticket would have come.
      const input = concatBytes(requestFrame(1, "HELLO"), header(0));
      const { stdout } = await runProgram("openssl", args, { input });
      assert.match(stdout, /"seq":1,"type":"OK"/);
      assert.match(stdout, /Handshake \[length [0-9a-f]+\], Finished/);
      assert.doesNotMatch(stdout, /NewSessionTicket|Session Ticket arrived/i);
      assert.equal(fs.existsSync(saved), false, "OpenSSL saves a session when it gets a ticket");
    }),
);

/** How a password might be written down. */
function writings(password: string): readonly Buffer[] {
  const bytes = Buffer.from(password);
  return [
    bytes,
    Buffer.from(password, "utf16le"),
    Buffer.from(bytes.toString("hex")),
    Buffer.from(encodeURIComponent(password)),
    // Base64 depends on where the text stands; the middle is the same for each of the three places.
    ...[0, 1, 2].map((shift) => {
      const text = Buffer.concat([Buffer.alloc(shift), bytes]).toString("base64");
      return Buffer.from(text.slice(4, -4));
    }),
  ];
}

test("no password crosses the wire or is stored, in any writing", () =>
  inWorld(async (world) => {
    await world.serve();
    const folder = join(world.home, "server");
    const passphrase = fs.readFileSync(join(world.home, "server.passphrase"), "utf8").trim();
    const read = (name: string) => fs.readFileSync(join(folder, name), "utf8");
    const key = await decryptPrivateKey(read("server.key"), passphrase, "server.key");
    // With the server's own key a relay is not noticed, and reads along.
    const relay = await startRelay(world, {
      key: key.export({ format: "pem", type: "pkcs8" }) as string,
      cert: read("server.crt"),
    });
    const through = ["--server", relay.where];
    // A relay cannot show alice's certificate, whose key it has not; the password is what it hears of.
    await world.ok("alice", ["csr", "--register", ...through]);
    await world.ok("alice", ["upload", "--with-password", ...through]);
    const wrong = await world.as("alice", ["request", "bob", "--with-password", ...through]);
    assert.equal(wrong.code, 5, wrong.stderr);
    const guessed = await world.run([
      "request",
      "alice",
      "--id",
      "alice",
      "--password-file",
      world.passwordFile("bob"),
      "--with-password",
      ...through,
    ]);
    assert.equal(guessed.code, 4, guessed.stderr);
    const { fromClients, fromServer } = relay.heard();
    await relay.close();
    assert.ok(Buffer.from(fromClients).includes('"type":"LOGIN_FINISH"'), "the relay heard all");
    assert.equal((await world.server.running.end()).code, 0);

    const places = new Map<string, Uint8Array>([
      ["from the clients", fromClients],
      ["from the server", fromServer],
      ["what the server printed", utf8(world.server.running.stdout + world.server.running.stderr)],
    ]);
    const stored = fs.readdirSync(world.home, { recursive: true }) as string[];
    for (const name of stored) {
      const path = join(world.home, name);
      if (fs.statSync(path).isFile()) places.set(name, fs.readFileSync(path));
    }
    assert.ok(places.has("server/state.db") && places.has("server/log/000000000000.log"));
    for (const [place, bytes] of places) {
      for (const id of ["alice", "bob"]) {
        for (const writing of writings(PASSWORDS[id] ?? "")) {
          assert.ok(!Buffer.from(bytes).includes(writing), `${place} has the password of ${id}`);
        }
      }
    }
  }));
