/** Garbage and slow clients where metrics are served: anybody on this machine. */

import { randomBytes } from "node:crypto";
import { concatBytes, utf8 } from "../../lib/base/bytes.ts";
import { PLACES_MAX } from "../../lib/server/metrics_places.ts";
import { until } from "../e2e/harness.ts";
import type { Attack, Scene } from "./scene.ts";
import { Wire } from "./wire.ts";

const GOOD = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";

const open = ({ metricsPort: port }: Scene) => Wire.open({ port });

/** The status, if there is an answer, and the end. */
async function hear(wire: Wire): Promise<string> {
  const text = new TextDecoder().decode(await wire.rest());
  wire.close();
  const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(text) ?? [];
  return [...(status === undefined ? [] : [status]), "closed"].join(", ");
}

const sent = (name: string, bytes: Uint8Array | string, hears: Attack["hears"]): Attack => ({
  name: `at the metrics ${name}`,
  run: async (scene) => {
    const wire = await open(scene);
    wire.write(typeof bytes === "string" ? utf8(bytes) : bytes);
    return await hear(wire);
  },
  hears,
  isElsewhere: true,
});

/** A request's head, with these lines. */
const asking = (first: string, ...lines: readonly string[]) =>
  [first, ...lines, "Connection: close", "", ""].join("\r\n");

const host = "Host: 127.0.0.1";
/** An answer that was written over unread bytes may be taken back by the system. */
const REFUSED = /^(4\d\d, )?closed$/;

export const METRICS_ATTACKS: readonly Attack[] = [
  sent("a good request", GOOD, "200, closed"),
  sent("noise", concatBytes(Uint8Array.of(0), randomBytes(1000)), REFUSED),
  sent("a ClientHello", concatBytes(Uint8Array.of(22, 3, 1, 0, 5), randomBytes(500)), REFUSED),
  sent("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSED),
  sent("another name", asking("GET /metrics HTTP/1.1", "Host: evil.example"), "421, closed"),
  sent("two names", asking("GET /metrics HTTP/1.1", "Host: evil.example", host), REFUSED),
  sent("another path", asking("GET /../../etc/passwd HTTP/1.1", host), "404, closed"),
  sent(
    "a body without an end",
    asking("POST /metrics HTTP/1.1", host, "Content-Length: 999999999999"),
    REFUSED,
  ),
  sent(
    "chunks without an end",
    asking("POST /metrics HTTP/1.1", host, "Transfer-Encoding: chunked") + "ffffffff\r\n",
    REFUSED,
  ),
  sent(
    "100 KB of a header",
    asking("GET /metrics HTTP/1.1", host, `X: ${"a".repeat(100_000)}`),
    REFUSED,
  ),
  sent(
    "20,000 headers",
    asking("GET /metrics HTTP/1.1", host, ...Array<string>(20_000).fill("X: a")),
    REFUSED,
  ),
  sent("100 KB of a path", asking(`GET /${"a".repeat(100_000)} HTTP/1.1`, host), REFUSED),
];

/** All places taken; whoever is there besides may lose its own. */
export const METRICS_CROWD: readonly Attack[] = [
  {
    name: "at the metrics silence on every place, and then a program that watches",
    run: async (scene) => {
      const silent: Wire[] = [];
      for (let count = 0; count < PLACES_MAX; count++) silent.push(await open(scene));
      const heard: string[] = [];
      for (let scrape = 0; scrape < 2; scrape++) {
        const wire = await open(scene);
        wire.write(utf8(GOOD));
        heard.push(await hear(wire));
      }
      await until(() => silent.some(({ isOver }) => isOver), "the first of them is cut");
      for (const wire of silent) wire.close();
      return heard.join(" and ");
    },
    hears: "200, closed and 200, closed",
    isElsewhere: true,
  },
  {
    name: "at the metrics more clients than there are places",
    run: async (scene) => {
      const crowd = await Promise.all(Array.from({ length: 3 * PLACES_MAX }, () => open(scene)));
      const half = GOOD.length >> 1;
      for (const wire of crowd) wire.write(utf8(GOOD.slice(0, half)));
      const inside = () => crowd.filter(({ isOver }) => !isOver);
      await until(() => inside().length <= PLACES_MAX, "the others are cut");
      const answers = inside().map((wire) => {
        wire.write(utf8(GOOD.slice(half)));
        return hear(wire);
      });
      return [...new Set(await Promise.all(answers))].join(" or ");
    },
    hears: "200, closed",
    isElsewhere: true,
  },
];

/** Ended by a limit of 10 s. */
export const SLOW_METRICS: readonly Attack[] = [
  {
    name: "at the metrics nothing",
    run: async (scene) => await hear(await open(scene)),
    hears: REFUSED,
    isElsewhere: true,
  },
  {
    name: "at the metrics a program that asks again, later than silence is cut",
    run: async (scene) => {
      const wire = await open(scene);
      wire.write(utf8(GOOD.replace("Connection: close\r\n", "")));
      const head = new TextDecoder().decode(await wire.take("HTTP/1.1 200".length));
      await hear(await open(scene));
      wire.write(utf8(GOOD));
      const rest = new TextDecoder().decode(await wire.rest());
      wire.close();
      return `${head}, ${/HTTP\/1\.1 \d{3}/.exec(rest)?.[0]}`;
    },
    hears: "HTTP/1.1 200, HTTP/1.1 200",
    isElsewhere: true,
  },
  {
    name: "at the metrics a header byte by byte",
    run: async (scene) => {
      const wire = await open(scene);
      wire.write(utf8("GET /metrics HTTP/1.1\r\nX: "));
      while (!wire.isOver) {
        wire.write(utf8("a"));
        await wire.overOr(100);
      }
      return await hear(wire);
    },
    hears: REFUSED,
    isElsewhere: true,
  },
];
