/** Attacks on TLS itself: what is offered, what is shown, and what comes once it is encrypted. */

import { createPrivateKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { concatBytes, utf8 } from "../../lib/base/bytes.ts";
import { importKeyPair, x509 } from "../../lib/x509/provider.ts";
import { parseCertificatesPem } from "../../lib/x509/pem.ts";
import { Forge } from "../e2e/forge.ts";
import { header, requestFrame } from "../e2e/raw_client.ts";
import type { Attack, Scene } from "./scene.ts";
import { type HandshakeOptions, type Shown, TlsClient } from "./tls_client.ts";
import {
  CONTENT,
  extension,
  HANDSHAKE,
  handshakeMessage,
  type Offer,
  record,
  SUITE,
  VERSION,
} from "./tls_hello.ts";
import { Wire } from "./wire.ts";

const HELLO = requestFrame(1, "HELLO");
/** Makes the server close at once, where it has read everything before. */
const BAD_LENGTH = header(0);

const { privateKey: someKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });

const at = ({ port, nextAddress }: Scene) => ({ port, from: nextAddress() });

/**
 * The end, and why, if that still comes through: a socket that is closed over unread bytes takes back
 * what was written last.
 */
const CUT = /^(alert [a-z_]+, )?closed$/;

/** What is heard after a handshake of this kind, and a HELLO unless it is to be over by then. */
async function greet(
  scene: Scene,
  handshake: HandshakeOptions,
  { after = () => {}, isCut = false }: {
    readonly after?: (client: TlsClient) => void;
    readonly isCut?: boolean;
  } = {},
): Promise<string> {
  const client = await TlsClient.connect(at(scene));
  try {
    client.hello(handshake.offer);
    try {
      await client.finishHandshake(handshake);
    } catch (error) {
      const { message } = error as Error;
      return message === "closed" ? message : `${message}, ${await client.hear()}`;
    }
    after(client);
    if (!isCut) client.data(concatBytes(HELLO, BAD_LENGTH));
    return await client.hear();
  } finally {
    client.wire.close();
  }
}

const offer = (name: string, offered: Offer, hears: Attack["hears"]): Attack => ({
  name: `a ClientHello with ${name}`,
  run: (scene) => greet(scene, { offer: offered }),
  hears,
});

const GOES_ON = "data, PROTOCOL, closed";

const OFFERS: readonly Attack[] = [
  offer("nothing wrong", {}, GOES_ON),
  offer("compression", { compressions: [1, 0] }, "alert illegal_parameter, closed"),
  offer("nothing but compression", { compressions: [1] }, "alert illegal_parameter, closed"),
  offer("no compression method at all", { compressions: [] }, "alert decode_error, closed"),
  offer("TLS 1.2", { versions: [VERSION.tls12] }, "alert protocol_version, closed"),
  offer("TLS 1.1 and 1.0", {
    versions: [VERSION.tls11, VERSION.tls10],
  }, "alert protocol_version, closed"),
  offer("TLS 1.2 as of before 1.3", { versions: [] }, "alert protocol_version, closed"),
  offer(
    "a version of the future",
    { versions: [0x0305, 0x7f1c] },
    "alert protocol_version, closed",
  ),
  offer("all versions", { versions: [0x0301, 0x0302, 0x0303, 0x0304] }, GOES_ON),
  offer("ChaCha20 alone", { suites: [SUITE.chacha] }, "PROTOCOL, closed"),
  offer("CBC alone", { suites: [SUITE.ecdheAes128Cbc] }, "alert handshake_failure, closed"),
  offer("no cipher suite", { suites: [] }, "alert decode_error, closed"),
  offer("60 KB of cipher suites", {
    suites: [...Array.from({ length: 30_000 }, (_, at) => 0x8000 + at), SUITE.aes128],
  }, GOES_ON),
  offer("another protocol", { protocols: ["h2"] }, "alert no_application_protocol, closed"),
  offer("the protocol in capitals", {
    protocols: ["PKI/1"],
  }, "alert no_application_protocol, closed"),
  offer("an empty protocol", { protocols: [""] }, "alert decode_error, closed"),
  offer("no protocol", { protocols: [] }, "PROTOCOL, closed"),
  offer("the same extension twice", {
    extensions: [extension(16, new Uint8Array())],
  }, "alert decode_error, closed"),
  offer("a session of before", {
    extensions: [
      extension(45, Uint8Array.of(1, 1)),
      // One ticket of 32 bytes that was never given out, and a binder for it.
      extension(
        41,
        concatBytes(
          Uint8Array.of(0, 38, 0, 32),
          randomBytes(32),
          Uint8Array.of(0, 0, 0, 0, 0, 33, 32),
          randomBytes(32),
        ),
      ),
    ],
  }, GOES_ON),
  offer("40 KB of an extension that nobody knows", {
    extensions: [extension(0x7777, new Uint8Array(40_000))],
  }, GOES_ON),
  offer("as much as its lengths can say", {
    suites: [...Array.from({ length: 32_000 }, (_, at) => 0x8000 + at), SUITE.aes128],
    extensions: [extension(0x7777, new Uint8Array(65_000))],
  }, CUT),
];

/** Bytes sent in place of a handshake, or behind a ClientHello. */
const bytes = (name: string, make: (client: TlsClient) => Uint8Array, hears: Attack["hears"]) => ({
  name,
  run: async (scene: Scene) => {
    const client = await TlsClient.connect(at(scene));
    client.wire.write(make(client));
    const heard = await client.hear().catch(() => "what cannot be read, closed");
    client.wire.close();
    return heard;
  },
  hears,
});

const split = (whole: Uint8Array) =>
  concatBytes(
    ...[...whole.subarray(5)].map((byte) => record(CONTENT.handshake, Uint8Array.of(byte))),
  );

const GARBAGE: readonly Attack[] = [
  bytes("HTTP in place of TLS", () => utf8("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "closed"),
  bytes("SSH in place of TLS", () => utf8("SSH-2.0-x\r\n"), "alert protocol_version, closed"),
  bytes("zeros in place of TLS", () => new Uint8Array(1000), "alert protocol_version, closed"),
  bytes("a megabyte of noise in place of TLS", () => randomBytes(1_000_000), CUT),
  bytes("a frame in place of TLS", () => HELLO, "alert protocol_version, closed"),
  bytes(
    "a record of 65,535 bytes",
    () => concatBytes(Uint8Array.of(22, 3, 1, 0xff, 0xff), new Uint8Array(65_535)),
    "alert record_overflow, closed",
  ),
  bytes(
    "a ClientHello that says it has 16 MB",
    () => record(CONTENT.handshake, Uint8Array.of(1, 0xff, 0xff, 0xff, 3, 3)),
    "alert illegal_parameter, closed",
  ),
  bytes(
    "an empty record a thousand times",
    () => concatBytes(...Array(1000).fill(record(CONTENT.handshake, new Uint8Array()))),
    CUT,
  ),
  bytes(
    "warnings a thousand times",
    () => concatBytes(...Array(1000).fill(record(CONTENT.alert, Uint8Array.of(1, 90)))),
    CUT,
  ),
  bytes(
    "a ServerHello from a client",
    () => record(CONTENT.handshake, handshakeMessage(HANDSHAKE.serverHello, new Uint8Array(40))),
    "alert unexpected_message, closed",
  ),
  bytes(
    "data before the handshake",
    () => record(CONTENT.data, HELLO),
    "alert unexpected_message, closed",
  ),
  {
    name: "data before the server has said anything, as early data",
    run: async (scene) => {
      const client = await TlsClient.connect(at(scene));
      client.hello({ extensions: [extension(42, new Uint8Array())] });
      client.wire.write(record(CONTENT.data, randomBytes(HELLO.length + 17)));
      await client.finishHandshake();
      client.data(concatBytes(HELLO, BAD_LENGTH));
      return await client.hear();
    },
    // It is skipped (RFC 8446, section 4.2.10): no key could open it.
    hears: GOES_ON,
  },
  {
    name: "a megabyte of early data",
    run: async (scene) => {
      const client = await TlsClient.connect(at(scene));
      client.hello({ extensions: [extension(42, new Uint8Array())] });
      const portion = record(CONTENT.data, randomBytes(10_000));
      for (let count = 0; count < 100; count++) client.wire.write(portion);
      await client.wire.rest();
      client.wire.close();
      return "closed";
    },
    hears: "closed",
  },
  {
    name: "a ClientHello in records of one byte",
    run: async (scene) => {
      const client = await TlsClient.connect(at(scene));
      client.wire.write(split(client.helloRecord()));
      await client.finishHandshake();
      client.data(concatBytes(HELLO, BAD_LENGTH));
      return await client.hear();
    },
    hears: GOES_ON,
  },
];

/** What comes when everything is encrypted. */
const inside = (
  name: string,
  send: (client: TlsClient) => void,
  hears: Attack["hears"],
): Attack => ({
  name: `behind the handshake ${name}`,
  run: (scene) => greet(scene, {}, { after: send, isCut: hears !== GOES_ON }),
  hears,
});

const repeat = (count: number, work: () => void) => {
  for (let done = 0; done < count; done++) work();
};

const INSIDE: readonly Attack[] = [
  inside("renegotiation", (client) => {
    const hello = client.helloRecord({ versions: [VERSION.tls12] }).subarray(5);
    client.send(CONTENT.handshake, hello);
  }, "alert unexpected_message, closed"),
  inside("a HelloRequest", (client) => {
    client.send(CONTENT.handshake, handshakeMessage(0, new Uint8Array()));
  }, "alert unexpected_message, closed"),
  inside("new keys again and again", (client) => repeat(1000, () => client.updateKeys(true)), CUT),
  inside("some empty records", (client) => {
    repeat(20, () => client.data(new Uint8Array()));
  }, GOES_ON),
  inside("a thousand empty records", (client) => {
    repeat(1000, () => client.send(CONTENT.data, new Uint8Array()));
  }, CUT),
  inside("a thousand records of padding", (client) => {
    repeat(1000, () => client.send(CONTENT.data, new Uint8Array(), 10_000));
  }, CUT),
  inside("a thousand warnings", (client) => {
    repeat(1000, () => client.send(CONTENT.alert, Uint8Array.of(1, 90)));
  }, CUT),
  inside("a record of no type", (client) => {
    client.send(0, new Uint8Array());
  }, "alert decrypt_error, closed"),
  inside("a heartbeat", (client) => {
    client.send(24, Uint8Array.of(1, 0x40, 0));
  }, "alert unexpected_message, closed"),
  inside("a record longer than TLS allows", (client) => {
    client.send(CONTENT.data, new Uint8Array(16_700));
  }, "alert record_overflow, closed"),
  inside("a record that was changed", (client) => {
    const sealed = client.seal(CONTENT.data, HELLO);
    sealed[10] = (sealed[10] ?? 0) ^ 1;
    client.wire.write(sealed);
  }, "alert bad_record_mac, closed"),
  inside("a record that comes twice", (client) => {
    const sealed = client.seal(CONTENT.data, new Uint8Array());
    client.wire.write(concatBytes(sealed, sealed));
  }, "alert bad_record_mac, closed"),
  inside("a record in the clear", (client) => {
    client.wire.write(record(CONTENT.data, HELLO));
  }, "alert bad_record_mac, closed"),
  inside("noise", (client) => client.wire.write(randomBytes(100_000)), CUT),
];

/** Certificates of every kind. */
const shows = (
  name: string,
  show: (scene: Scene) => Promise<Shown>,
  hears: Attack["hears"],
): Attack => ({
  name: `a client that shows ${name}`,
  run: async (scene) =>
    await greet(scene, { shown: await show(scene) }, {
      isCut: typeof hears !== "string" || hears.startsWith("alert"),
    }),
  hears,
});

const dersOf = (pem: string) => parseCertificatesPem(pem, "the certificate");

const CERTIFICATES: readonly Attack[] = [
  shows("a certificate of another CA", async ({ world }) => {
    const { keyPem, certPem } = await (await Forge.foreign(world)).user("alice");
    return { certificates: dersOf(certPem), key: createPrivateKey(keyPem) };
  }, "UNTRUSTED, PROTOCOL, closed"),
  shows("a hundred certificates", async ({ world }) => {
    const { keyPem, certPem } = await (await Forge.foreign(world)).user("alice");
    const [leaf = new Uint8Array(), issuing = new Uint8Array()] = dersOf(certPem);
    return { certificates: [leaf, ...Array(99).fill(issuing)], key: createPrivateKey(keyPem) };
  }, "UNTRUSTED, PROTOCOL, closed"),
  shows("a certificate of 60 KB", async () => {
    const { keys, algorithm } = await importKeyPair(someKey);
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      name: "CN=alice",
      keys,
      signingAlgorithm: algorithm,
      extensions: [new x509.Extension("1.2.3.4", false, new Uint8Array(60_000))],
    });
    return { certificates: [new Uint8Array(certificate.rawData)], key: someKey };
  }, "UNTRUSTED, PROTOCOL, closed"),
  shows("a megabyte of certificates", async ({ world }) => {
    const { keyPem, certPem } = await (await Forge.foreign(world)).user("alice");
    const [leaf = new Uint8Array(), issuing = new Uint8Array()] = dersOf(certPem);
    return { certificates: [leaf, ...Array(2000).fill(issuing)], key: createPrivateKey(keyPem) };
  }, CUT),
  shows(
    "garbage as a certificate",
    () => Promise.resolve({ certificates: [randomBytes(500)], key: someKey }),
    "alert decode_error, closed",
  ),
  shows(
    "an empty certificate",
    () => Promise.resolve({ certificates: [new Uint8Array()], key: someKey }),
    "alert decode_error, closed",
  ),
  shows("bob's certificate without his key", async ({ world }) => {
    const { certPem } = await (await Forge.ofServer(world)).registered(world, "bob");
    return { certificates: dersOf(certPem), key: someKey };
  }, "alert decrypt_error, closed"),
];

export const TLS_ATTACKS: readonly Attack[] = [...OFFERS, ...GARBAGE, ...INSIDE, ...CERTIFICATES];

/** Connections at this many moments of a handshake, left with an end or with a reset. */
export const BROKEN_OFF: readonly Attack[] = (["finish", "reset"] as const).flatMap((leave) =>
  [
    {
      name: `TCP alone, ${leave}`,
      run: async (scene) => {
        const wire = await Wire.open(at(scene));
        wire[leave]();
        return "nothing";
      },
      hears: "nothing",
    },
    {
      name: `half a ClientHello, ${leave}`,
      run: async (scene) => {
        const client = await TlsClient.connect(at(scene));
        client.wire.write(client.helloRecord().subarray(0, 50));
        await client.wire.flushed();
        client.wire[leave]();
        return "nothing";
      },
      hears: "nothing",
    },
    {
      name: `a ClientHello, ${leave}`,
      run: async (scene) => {
        const client = await TlsClient.connect(at(scene));
        client.hello();
        await client.wire.take(100);
        client.wire[leave]();
        return "nothing";
      },
      hears: "nothing",
    },
    {
      name: `all but the client's last flight, ${leave}`,
      run: async (scene) => {
        const client = await TlsClient.open(at(scene), { stopsEarly: true });
        client.wire[leave]();
        return "nothing";
      },
      hears: "nothing",
    },
    {
      name: `a whole handshake, ${leave}`,
      run: async (scene) => {
        const client = await TlsClient.open(at(scene));
        client.wire[leave]();
        return "nothing";
      },
      hears: "nothing",
    },
  ] satisfies readonly Attack[]
);
