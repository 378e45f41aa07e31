import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { encodeBase64, utf8 } from "../../lib/base/bytes.ts";
import { PkiError } from "../../lib/base/errors.ts";
import { openCheckpoint } from "../../lib/log/checkpoint.ts";
import { DOMAIN, NOW_MS } from "../fakes/ca.ts";
import { FakeLog, type FakeServer } from "./fake_log.ts";
import { assertDistrusts, CA, errorOf, inWorld, startAnew } from "./log_world.ts";

const CERTIFICATE = utf8("certificate");

test("LogMemory.prove() remembers the first checkpoint, and then demands that the log goes on from it", async () => {
  await inWorld(async ({ home, server, log, visit, remembered, evidence, warnings }) => {
    const first = await visit();
    assert.equal(first.knownNote(), undefined);
    await first.prove();
    assert.equal(home.loadCheckpoint(), log.checkpoint(5));
    assert.equal(home.loadLogKey(), `${log.shown.key}\n${log.shown.signature}\n`);
    for (const path of [home.checkpointPath, home.logKeyPath]) {
      assert.equal(fs.statSync(path).mode & 0o777, 0o600);
    }
    const index = log.issue("alice", CERTIFICATE);
    const second = await visit();
    assert.equal(second.knownNote(), log.checkpoint(5));
    await second.prove({ index, id: "alice", certificate: CERTIFICATE });
    assert.equal(remembered(), 6);
    log.grow(100);
    await second.prove(); // on the same connection
    assert.equal(remembered(), 106);
    assert.deepEqual(server.asked, [
      { from: undefined, index: undefined },
      { from: 5, index },
      { from: 6, index: undefined },
    ]);
    assert.deepEqual([evidence(), warnings], [[], []]);
    assert.deepEqual(fs.readdirSync(home.folder).sort(), ["checkpoint", "log.pub"]);
  });
});

test("LogMemory.prove() writes nothing while the log does not grow", async () => {
  await inWorld(async ({ home, visit }) => {
    await (await visit()).prove();
    const { ino } = fs.statSync(home.checkpointPath);
    await (await visit()).prove();
    assert.equal(fs.statSync(home.checkpointPath).ino, ino);
  });
});

const CHANGED = "it does not hold the entries that it showed before";

/** What a server may do to a log that is known with five entries. */
const DEEDS: readonly {
  readonly what: string;
  readonly why: string;
  readonly become: (log: FakeLog) => FakeLog;
}[] = [
  {
    what: "was rolled back",
    why: "it forgot entries that it showed before: 4 are left of 5",
    become: (log) => log.copy(4),
  },
  {
    what: "was forked, and is as long as it was",
    why: CHANGED,
    become: (log) => {
      const fork = log.copy(4);
      fork.append("published", { serial: "fork" });
      return fork;
    },
  },
  {
    what: "was forked and has grown",
    why: CHANGED,
    become: (log) => {
      const fork = log.copy(2);
      fork.append("published", { serial: "fork" });
      fork.grow(20);
      return fork;
    },
  },
];

for (const { what, why, become } of DEEDS) {
  test(`LogMemory.prove() distrusts a log that ${what}`, async () => {
    await inWorld(async (world) => {
      const { home, server, log, visit } = world;
      await (await visit()).prove();
      const known = home.loadCheckpoint();
      server.log = become(log);
      const visited = await visit();
      const kept = await assertDistrusts(world, () => visited.prove(), why);
      assert.equal(kept["knownCheckpoint"], known);
      const { size } = server.log;
      assert.deepEqual(kept["answer"], server.log.prove(size < 5 ? {} : { from: 5 }));
      assert.equal(home.loadCheckpoint(), known, "the good checkpoint is remembered");
      await assertDistrusts(world, () => visited.prove(), why); // and again, until it is good again
      server.log = log;
      await (await visit()).prove();
    });
  });
}

test("LogMemory.prove() distrusts a checkpoint that another key signed, and remembers nothing of it", async () => {
  await inWorld(async (world) => {
    const { home, server, log, visit } = world;
    const other = new FakeLog({ root: CA.root });
    other.grow(5);
    const answer = other.prove({});
    server.answer = () => ({ ...answer });
    const why = "its checkpoint is not signed by its key";
    const visited = await visit();
    const kept = await assertDistrusts(world, () => visited.prove(), why);
    assert.deepEqual(kept["answer"], answer);
    assert.deepEqual(kept["logKey"], log.shown);
    assert.equal(home.loadCheckpoint(), undefined);
    assert.equal(home.loadLogKey(), undefined);
  });
});

test("LogMemory.prove() distrusts a log without the certificate, and keeps all that shows it", async () => {
  await inWorld(async (world) => {
    const { home, log, visit } = world;
    const index = log.issue("bob", CERTIFICATE);
    const claim = { index, id: "alice", certificate: CERTIFICATE };
    const why = "it does not contain this certificate";
    const visited = await visit();
    const kept = await assertDistrusts(world, () => visited.prove(claim), why);
    assert.deepEqual(kept, {
      what: `cannot trust the server's log: ${why}`,
      time: new Date(NOW_MS).toISOString(),
      address: "192.0.2.1:7443",
      domain: DOMAIN,
      root: encodeBase64(CA.root.certificate.der),
      logKey: log.shown,
      answer: log.prove({ index }),
      index,
      id: "alice",
      certificate: encodeBase64(CERTIFICATE),
    });
    assert.equal(home.loadCheckpoint(), undefined);
  });
});

test("LogMemory.prove() distrusts a log that says that it has no such entry, and says which", async () => {
  await inWorld(async (world) => {
    const { server, log, visit } = world;
    const claim = { index: 9, id: "alice", certificate: CERTIFICATE };
    const visited = await visit();
    const missing = "it does not contain this certificate";
    await assertDistrusts(world, () => visited.prove(claim), missing);
    await visited.prove();
    log.grow(2);
    await assertDistrusts(world, () => visited.prove(claim), missing);
    server.asked.length = 0;
    server.log = log.copy(4);
    const kept = await assertDistrusts(
      world,
      () => visited.prove(claim),
      "it forgot entries that it showed before: 4 are left of 5",
    );
    assert.deepEqual(kept["answer"], { checkpoint: log.checkpoint(4) });
    assert.deepEqual(server.asked, [
      { from: 5, index: 9 },
      { from: 5, index: undefined },
      { from: undefined, index: undefined },
    ]);
  });
});

test("LogMemory.prove() passes on what the server says against the question", async () => {
  await inWorld(async ({ home, server, visit, evidence }) => {
    for (const kind of ["refused", "not-found"] as const) {
      server.answer = () => {
        throw new PkiError(kind, "not now");
      };
      const visited = await visit();
      const error = await errorOf(() => visited.prove());
      assert.deepEqual([error.kind, error.message], [kind, "the server says: not now"]);
    }
    assert.deepEqual([home.loadCheckpoint(), evidence()], [undefined, []]);
  });
});

test("LogMemory.prove() distrusts a log although the evidence cannot be kept", async () => {
  await inWorld(async ({ home, server, log, visit }) => {
    await (await visit()).prove();
    fs.writeFileSync(home.evidenceFolder, "a file where the folder should be");
    server.log = log.copy(4);
    const visited = await visit();
    const error = await errorOf(() => visited.prove());
    assert.equal(error.kind, "untrusted");
    assert.match(error.hint ?? "", /^the evidence could not be kept: cannot make folder /);
  });
});

// Generations

test("LogMemory accepts a log that was started anew, says so once, and keeps the old checkpoint", async () => {
  await inWorld(async ({ home, server, log, visit, remembered, evidence, warnings }) => {
    await (await visit()).prove();
    server.log = startAnew(2);
    const index = server.log.issue("alice", CERTIFICATE);
    const visited = await visit();
    assert.equal(visited.knownNote(), undefined, "the old checkpoint is not this log's");
    assert.deepEqual(warnings, [], "nothing is proven yet");
    await visited.prove({ index, id: "alice", certificate: CERTIFICATE });
    assert.equal(server.asked.at(-1)?.from, undefined);
    const [file = ""] = evidence();
    const path = join(home.evidenceFolder, file);
    assert.deepEqual(warnings, [
      "the server's log was started anew (generation 2) after a loss: entries that it showed " +
      `before may be gone; its last checkpoint of generation 1 is kept in "${path}"`,
    ]);
    const kept = JSON.parse(fs.readFileSync(path, "utf8"));
    assert.equal(kept.knownCheckpoint, log.checkpoint(5));
    assert.deepEqual(kept.knownLogKey, log.shown);
    assert.deepEqual(kept.logKey, server.log.shown);
    assert.equal(remembered(), 4);
    await (await visit()).prove();
    assert.deepEqual([warnings.length, evidence().length], [1, 1]);
  });
});

test("LogMemory distrusts a smaller generation than the one that it knows, before anything is asked", async () => {
  await inWorld(async (world) => {
    const { server, log, visit } = world;
    server.log = startAnew(3);
    await (await visit()).prove();
    for (const older of [log, startAnew(2)]) {
      server.log = older;
      const asked = server.asked.length;
      const visited = await visit();
      const generation = older === log ? 1 : 2;
      const why = `it is of generation ${generation}, but generation 3 was seen before`;
      await assertDistrusts(world, () => visited.knownNote(), why);
      await assertDistrusts(world, () => visited.prove(), why);
      assert.equal(server.asked.length, asked);
    }
  });
});

test("LogMemory distrusts another key of the same generation, and keeps both as the root signed them", async () => {
  await inWorld(async (world) => {
    const { home, server, log, visit } = world;
    await (await visit()).prove();
    const known = home.loadCheckpoint();
    server.log = startAnew(1);
    const visited = await visit();
    const kept = await assertDistrusts(
      world,
      () => visited.knownNote(),
      "it has another key than before, and was not started anew",
    );
    assert.deepEqual(kept["knownLogKey"], log.shown);
    assert.deepEqual(kept["logKey"], server.log.shown);
    assert.equal(kept["knownCheckpoint"], known);
    assert.equal(home.loadCheckpoint(), known);
  });
});

test("LogMemory takes an issuing CA's signature for the log's key, and none after the root's", async () => {
  await inWorld(async (world) => {
    const { server, visit, warnings } = world;
    const signedByIssuing = (generation: number) => {
      const anew = new FakeLog({ root: CA.root, issuing: CA.issuing, generation });
      anew.grow(3);
      return anew;
    };
    server.log = signedByIssuing(1);
    await (await visit()).prove();
    await (await visit()).prove();
    server.log = signedByIssuing(2);
    await (await visit()).prove();
    server.log = startAnew(3); // by the root, which may be at hand by now
    await (await visit()).prove();
    assert.equal(warnings.length, 2);
    server.log = signedByIssuing(4);
    await assertDistrusts(
      world,
      async () => (await visit()).knownNote(),
      "its key is not signed by the root, as it was before",
    );
  });
});

// Two commands at once

/** Lets another command of the same home work while the first one's proof is on its way. */
function betweenQuestionAndAnswer(server: FakeServer, work: () => Promise<unknown>): void {
  const { answer } = server;
  server.answer = async (request) => {
    server.answer = answer;
    const answered = await answer(request);
    await work();
    return answered;
  };
}

test("LogMemory.prove() of two commands at once keeps the larger checkpoint", async () => {
  await inWorld(async ({ server, log, visit, remembered, evidence }) => {
    await (await visit()).prove();
    const index = log.issue("alice", CERTIFICATE);
    const [slow, fast] = [await visit(), await visit()];
    betweenQuestionAndAnswer(server, async () => {
      log.grow(4);
      await fast.prove();
      assert.equal(remembered(), 10);
    });
    await slow.prove({ index, id: "alice", certificate: CERTIFICATE });
    assert.equal(remembered(), 10);
    // What the other one remembers is proven, too.
    assert.deepEqual(server.asked.slice(1), [
      { from: 5, index },
      { from: 5, index: undefined },
      { from: 10, index },
    ]);
    assert.deepEqual(evidence(), []);
  });
});

test("LogMemory.prove() notices that another command was shown another log", async () => {
  for (const isKnown of [true, false]) {
    await inWorld(async (world) => {
      const { server, log, visit, remembered } = world;
      if (isKnown) await (await visit()).prove();
      const fork = log.copy();
      fork.append("published", { serial: "fork" });
      log.grow(3);
      const [slow, fast] = [await visit(), await visit()];
      betweenQuestionAndAnswer(server, async () => {
        server.log = fork;
        await fast.prove();
        server.log = log;
      });
      await assertDistrusts(world, () => slow.prove(), CHANGED);
      assert.equal(remembered(), 6);
    });
  }
});

test("LogMemory.prove() notices another log also when there is nothing new to remember", async () => {
  await inWorld(async (world) => {
    const { server, log, visit } = world;
    await (await visit()).prove();
    const fork = log.copy();
    fork.append("published", { serial: "fork" });
    const [slow, fast] = [await visit(), await visit()];
    betweenQuestionAndAnswer(server, async () => {
      server.log = fork;
      await fast.prove();
      server.log = log;
    });
    await assertDistrusts(
      world,
      () => slow.prove(),
      "it forgot entries that it showed before: 5 are left of 6",
    );
  });
});

test("LogMemory.prove() of many commands at once leaves one good checkpoint and no other file", async () => {
  await inWorld(async ({ home, server, log, visit, evidence }) => {
    const { answer } = server;
    server.answer = (request) => {
      log.grow(1);
      return answer(request);
    };
    const visits = await Promise.all(Array.from({ length: 12 }, visit));
    await Promise.all(visits.map((one) => one.prove()));
    const { logKey } = await server.connect();
    const known = openCheckpoint(home.loadCheckpoint() ?? "", logKey.note);
    assert.ok(known.size > 5 && known.size <= log.size);
    assert.deepEqual(fs.readdirSync(home.folder).sort(), ["checkpoint", "log.pub"]);
    assert.deepEqual(evidence(), []);
  });
});
