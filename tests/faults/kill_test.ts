/**
 * `kill -9` at random moments, round after round, while clients have certificates issued and publish
 * them: whatever was acknowledged is there afterwards, and no checkpoint is ever taken back.
 *
 *   PKI_KILL_ROUNDS   how many rounds [30]
 *   PKI_KILL_SEED     replays the choices of a run; the moment of a kill stays the machine's
 */

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { encodeBase64, parseBase64 } from "../../lib/base/bytes.ts";
import { type Checkpoint, openCheckpoint } from "../../lib/log/checkpoint.ts";
import { type NoteKey, parseVerifierKey } from "../../lib/log/note.ts";
import { checkConsistency, checkInclusion } from "../../lib/log/proof.ts";
import { hashLeaf } from "../../lib/log/tree.ts";
import { generatePrivateKey } from "../../lib/x509/keys.ts";
import { makeCsr } from "../../lib/x509/make_csr.ts";
import { logInCheaply, registerCheaply } from "../e2e/cheap_account.ts";
import { inWorld, type World } from "../e2e/harness.ts";
import { publish } from "../e2e/publish.ts";
import { RawClient } from "../e2e/raw_client.ts";
import { seededRandom } from "./seeded_random.ts";

const ROUNDS = Number(process.env["PKI_KILL_ROUNDS"] ?? 30);
const SEED = Number(process.env["PKI_KILL_SEED"] ?? Date.now() % 2 ** 31);
const USERS = ["alice", "bob", "carol"] as const;
const IN_FLIGHT = 4;
/** Sent requests and answers together; a kill comes with one of them. */
const EVENTS_MAX = 90;
/** A start takes longer than this: some are killed before they are ready. */
const START_MS = 400;

const key = await generatePrivateKey("p256");

interface Issued {
  /** Base64 of DER. */
  readonly certificate: string;
  /** The entry of the log that has it. */
  readonly index: number;
}

/** What the server has acknowledged to one user. */
interface Promised {
  readonly issued: Issued[];
  /** The newest that was published. */
  published: number;
}

/** Everything that clients were told, over all rounds. */
class Memory {
  readonly promised = new Map<string, Promised>(
    USERS.map((id) => [id, { issued: [], published: -1 }]),
  );
  readonly checkpoints = new Map<number, Checkpoint>();
  newestNote: string | undefined;
  verifier: NoteKey | undefined;

  of(id: string): Promised {
    const promised = this.promised.get(id);
    assert.ok(promised);
    return promised;
  }

  /** Takes a checkpoint in; the same size must have the same root, whenever it is seen. */
  see(note: string): Checkpoint {
    assert.ok(this.verifier);
    const checkpoint = openCheckpoint(note, this.verifier);
    const known = this.checkpoints.get(checkpoint.size);
    assert.deepEqual(checkpoint.root, known?.root ?? checkpoint.root, "two logs of one size");
    this.checkpoints.set(checkpoint.size, checkpoint);
    this.newestNote = note;
    return checkpoint;
  }
}

/** Logs in and shows the newest checkpoint that anybody has seen: a server behind it would stop. */
async function logIn(world: World, id: string, memory: Memory): Promise<RawClient> {
  const client = await RawClient.open(world);
  const { log } = await client.ok("HELLO") as unknown as { log: { key: string } };
  memory.verifier ??= parseVerifierKey(log.key);
  assert.deepEqual(parseVerifierKey(log.key), memory.verifier, "the log's key changed");
  const more = memory.newestNote === undefined ? {} : { checkpoint: memory.newestNote };
  await logInCheaply(client, { world, id, more });
  return client;
}

/** Issues, publishes and looks at the log until the server is gone. */
async function load(
  client: RawClient,
  { id, memory, onEvent }: {
    readonly id: string;
    readonly memory: Memory;
    readonly onEvent: () => void;
  },
): Promise<void> {
  const csr = encodeBase64(await makeCsr(key, id));
  const promised = memory.of(id);
  for (;;) {
    for (let count = 0; count < IN_FLIGHT; count++) {
      client.say("CSR", { csr });
      onEvent();
    }
    for (let count = 0; count < IN_FLIGHT; count++) {
      const { type, certificate, index } = await client.next();
      assert.equal(type, "OK");
      promised.issued.push({ certificate: String(certificate), index: Number(index) });
      onEvent();
    }
    const newest = promised.issued.reduce((a, b) => a.index > b.index ? a : b);
    assert.equal(await publish(client, newest.certificate, key), "OK");
    promised.published = newest.index;
    onEvent();
    const { checkpoint } = await client.ok("PROOF");
    memory.see(String(checkpoint));
    onEvent();
  }
}

/** That everything from this position of `issued` on is in the log, and that what is published is found. */
async function checkPromised(
  client: RawClient,
  { id, memory, from }: { readonly id: string; readonly memory: Memory; readonly from: number },
): Promise<void> {
  const { issued, published } = memory.of(id);
  for (const { certificate, index } of issued.slice(from)) {
    const answer = await client.ok("PROOF", { index });
    const { size, root } = memory.see(String(answer["checkpoint"]));
    const leaf = parseBase64(String(answer["leaf"]));
    assert.ok(new TextDecoder().decode(leaf).includes(certificate), `${id}: entry ${index}`);
    const proof = (answer["inclusion"] as string[]).map(parseBase64);
    checkInclusion({ leafHash: hashLeaf(leaf), index, size, root, proof });
  }
  const found = await client.ask("CERTREQ", { id });
  if (published < 0) return;
  assert.equal(found.type, "OK", `${id} was published: ${found.message}`);
  assert.ok(Number(found["index"]) >= published, `${id}: an older certificate is published`);
}

/** That the log goes on from checkpoints that were seen before. */
async function checkCheckpoints(
  client: RawClient,
  memory: Memory,
  seen: readonly Checkpoint[],
): Promise<void> {
  for (const from of seen) {
    const answer = await client.ok("PROOF", { from: from.size });
    const to = memory.see(String(answer["checkpoint"]));
    const proof = (answer["consistency"] as string[]).map(parseBase64);
    checkConsistency({ from, to, proof });
  }
}

/** Kills a start on its way: between two steps of reading, mending and writing. */
async function killStart(world: World, afterMs: number): Promise<void> {
  const running = world.start(["serve", "--port", "0", "--json"]);
  const timer = setTimeout(() => running.kill("SIGKILL"), afterMs);
  const { stderr } = await running.finished;
  clearTimeout(timer);
  assert.doesNotMatch(stderr, /error/, stderr);
}

/** Has clients use the server until one of their messages is the one that it is killed with. */
async function killUnderLoad(
  world: World,
  { clients, memory, events }: {
    readonly clients: readonly RawClient[];
    readonly memory: Memory;
    readonly events: number;
  },
): Promise<void> {
  const { running } = world.server;
  let left = events;
  const onEvent = () => {
    if (--left === 0) running.kill("SIGKILL");
  };
  const ended = await Promise.allSettled(
    clients.map((client, i) => load(client, { id: USERS[i] ?? "", memory, onEvent })),
  );
  for (const end of ended) {
    // An answer that was not right, while the server still lived, is not the kill's doing.
    const isKilled = left <= 0 && end.status === "rejected" &&
      /closed the connection/.test(String(end.reason));
    assert.ok(isKilled, end.status === "rejected" ? String(end.reason) : "it ended by itself");
  }
  const { code, stderr } = await running.finished;
  assert.equal(code, null, stderr);
  assert.doesNotMatch(stderr, /error|checkpoint|snapshot/, stderr);
}

async function endAll(clients: readonly RawClient[]): Promise<void> {
  for (const client of clients) client.close();
  await Promise.all(clients.map((client) => client.rest()));
}

async function runRounds(world: World, random: (below: number) => number): Promise<void> {
  const memory = new Memory();
  await world.serve();
  for (const id of USERS) await registerCheaply(world, id);
  const openAll = () => Promise.all(USERS.map((id) => logIn(world, id, memory)));
  let clients = await openAll();
  for (let round = 0; round < ROUNDS; round++) {
    const before = {
      issued: USERS.map((id) => memory.of(id).issued.length),
      sizes: new Set(memory.checkpoints.keys()),
    };
    await killUnderLoad(world, { clients, memory, events: 1 + random(EVENTS_MAX) });
    if (random(5) === 0) await killStart(world, random(START_MS));
    await world.serve();
    clients = await openAll();
    await Promise.all(
      clients.map((client, i) =>
        checkPromised(client, { id: USERS[i] ?? "", memory, from: before.issued[i] ?? 0 })
      ),
    );
    const fresh = [...memory.checkpoints.values()].filter(({ size }) => !before.sizes.has(size));
    const [first] = clients;
    assert.ok(first);
    await checkCheckpoints(first, memory, fresh);
    if (random(20) === 0) { // so that a later start has a snapshot, and a log that goes beyond it
      await endAll(clients);
      assert.equal((await world.server.running.end()).code, 0);
      await world.serve();
      clients = await openAll();
    }
  }
  for (const [i, client] of clients.entries()) {
    await checkPromised(client, { id: USERS[i] ?? "", memory, from: 0 });
  }
  const [first] = clients;
  assert.ok(first);
  await checkCheckpoints(first, memory, [...memory.checkpoints.values()]);
  await endAll(clients);
  const ended = await world.server.running.end();
  assert.equal(ended.code, 0, ended.stderr);
  const count = [...memory.promised.values()].reduce((sum, { issued }) => sum + issued.length, 0);
  assert.ok(count > ROUNDS, `${count} certificates in ${ROUNDS} rounds: too few to be worth it`);
  console.log(
    `${count} certificates and ${memory.checkpoints.size} checkpoints outlived ${ROUNDS} kills`,
  );
}

test(`what was acknowledged outlives kill -9, ${ROUNDS} times`, async () => {
  console.log(`PKI_KILL_SEED=${SEED}`);
  try {
    await inWorld((world) => runRounds(world, seededRandom(SEED)));
  } catch (error) {
    throw new Error(`with PKI_KILL_SEED=${SEED}: ${error}`, { cause: error });
  }
});
