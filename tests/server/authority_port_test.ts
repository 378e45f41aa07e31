import assert from "node:assert/strict";
import { test } from "node:test";
import { MessageChannel } from "node:worker_threads";
import { answerCalls } from "../../lib/base/call.ts";
import type { Certification, Certified } from "../../lib/ca/authority.ts";
import {
  callAuthority,
  packCertification,
  packCertified,
  unpackCertification,
} from "../../lib/server/authority_port.ts";
import type { DirectoryAuthority } from "../../lib/server/directory.ts";
import type { FromAuthority, ToAuthority } from "../../lib/server/ports.ts";

const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, byte) => byte);

const CERTIFICATIONS: readonly Certification[] = [
  { profile: "user", id: "alice", csr: ALL_BYTES },
  { profile: "service", id: "cron", spki: ALL_BYTES, days: 3 },
  { profile: "server", dns: ["a.test", "b.test"], addresses: ["192.0.2.1"], csr: ALL_BYTES },
];

test("unpackCertification() gives back what packCertification() was given", () => {
  for (const certification of CERTIFICATIONS) {
    assert.deepEqual(unpackCertification(packCertification(certification)), certification);
  }
});

/** Workers that answer when the test says so, and what each was asked. */
async function withAuthority(
  workers: number,
  use: (world: {
    readonly authority: DirectoryAuthority;
    readonly asked: (readonly ToAuthority[])[];
    readonly answers: ((answer: FromAuthority) => void)[][];
    untilAsked(count: number): Promise<void>;
  }) => Promise<void>,
): Promise<void> {
  const channels = Array.from({ length: workers }, () => new MessageChannel());
  const asked: ToAuthority[][] = channels.map(() => []);
  const answers: ((answer: FromAuthority) => void)[][] = channels.map(() => []);
  let onAsked = () => {};
  channels.forEach(({ port1 }, worker) =>
    answerCalls(port1, (question: ToAuthority) => {
      const { promise, resolve } = Promise.withResolvers<FromAuthority>();
      asked[worker]?.push(question);
      answers[worker]?.push(resolve);
      onAsked();
      return promise;
    })
  );
  try {
    await use({
      authority: callAuthority(channels.map(({ port2 }) => port2)),
      asked,
      answers,
      untilAsked: (count) =>
        new Promise((resolve) => {
          onAsked = () => {
            if (asked.flat().length >= count) resolve();
          };
          onAsked();
        }),
    });
  } finally {
    for (const { port1, port2 } of channels) {
      port1.close();
      port2.close();
    }
  }
}

test("callAuthority() brings back what the authority certified, byte for byte", async () => {
  for (const ignored of [[], ["a challenge password"]]) {
    const certified: Certified = {
      certificate: ALL_BYTES,
      issuer: ALL_BYTES.slice().reverse(),
      ignored,
    };
    await withAuthority(1, async ({ authority, answers, untilAsked }) => {
      const certifying = authority.certify({ profile: "user", id: "alice", csr: ALL_BYTES });
      await untilAsked(1);
      answers[0]?.[0]?.(packCertified(certified));
      assert.deepEqual(await certifying, certified);
    });
  }
});

test("callAuthority() asks the worker that has the fewest questions to answer", async () => {
  await withAuthority(2, async ({ authority, asked, answers, untilAsked }) => {
    const ask = () => authority.certifyServer(ALL_BYTES);
    const counts = () => asked.map(({ length }) => length);
    const first = ask();
    const second = ask();
    await untilAsked(2);
    assert.deepEqual(counts(), [1, 1]);
    answers[1]?.[0]?.({ certificate: "x" });
    assert.deepEqual([...await second], [0x78]);
    const third = ask();
    await untilAsked(3);
    assert.deepEqual(counts(), [1, 2], "the first is still busy");
    for (const worker of answers) worker.forEach((answer) => answer({ certificate: "y" }));
    await Promise.all([first, third]);
  });
});

test("callAuthority() has every worker reload, and waits for the last", async () => {
  await withAuthority(3, async ({ authority, asked, answers, untilAsked }) => {
    let isDone = false;
    const reloading = authority.reload().then(() => isDone = true);
    await untilAsked(3);
    assert.deepEqual(asked.map((questions) => questions.map(({ type }) => type)), [
      ["reload"],
      ["reload"],
      ["reload"],
    ]);
    answers[0]?.[0]?.({});
    answers[2]?.[0]?.({});
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isDone, false);
    answers[1]?.[0]?.({});
    await reloading;
  });
});

test("callAuthority() refuses an answer to something else", async () => {
  await withAuthority(1, async ({ authority, answers, untilAsked }) => {
    const certifying = authority.certify({ profile: "user", id: "alice", csr: ALL_BYTES });
    await untilAsked(1);
    answers[0]?.[0]?.({ signed: "x" });
    await assert.rejects(certifying, {
      kind: "internal",
      message: "the authority answered what was not asked",
    });
  });
});
