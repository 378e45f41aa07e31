/** Which session of a sitting a command takes, and what becomes of it when the command is over. */

import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import type { PkiContext } from "../../commands/context.ts";
import { Surroundings } from "../../commands/globals.ts";
import { type LoginFlags, openSession } from "../../commands/sign_in.ts";
import { type LoginMeans, Sitting } from "../../commands/sitting.ts";
import type { Home } from "../../lib/client/home.ts";
import { fingerprintOf } from "../../lib/x509/certificate.ts";
import { makeTestCa, NOW_MS } from "../fakes/ca.ts";
import { connect } from "../client/fake_socket.ts";
import { CA } from "../client/log_world.ts";
import { inHome } from "../client/temporary_home.ts";

const { anchor: ANCHOR } = CA.judging;
const OTHER = (await makeTestCa()).judging.anchor;
const SERVER = "ca.test:7443";

/** A home that has pinned the root, and a sitting with an open session. */
class World {
  readonly sitting = new Sitting();
  readonly interruption = new AbortController();
  readonly server = connect(new Uint8Array());
  readonly #home: Home;

  constructor(home: Home, by: LoginMeans) {
    this.#home = home;
    home.pin(ANCHOR, SERVER);
    this.sitting.of(home, "alice").keepSession({
      connection: this.server.connection,
      anchor: ANCHOR,
      log: undefined as never,
      address: SERVER,
      by,
    });
  }

  /** Opens a session as a command does; another one than the kept one is never reached. */
  open(flags: LoginFlags = {}, id = "alice", invitation?: { readonly token: Uint8Array }) {
    const stream = new PassThrough();
    const context: PkiContext = {
      process: { stdin: stream, stdout: stream, stderr: stream, env: {} },
      homeFolder: "/nonexistent",
      terminal: undefined,
      signal: this.interruption.signal,
      now: () => NOW_MS,
      sitting: this.sitting,
    };
    const all = { ...flags, home: this.#home.folder };
    const options = { id, ...(invitation ? { invitation } : {}) };
    return openSession(new Surroundings(context, all), all, options);
  }

  /** Whether it takes the session that is open, and does not go to the network. */
  async takes(flags?: LoginFlags, id?: string): Promise<boolean> {
    this.interruption.abort(); // who dials is told so at once
    try {
      return (await this.open(flags, id)).connection === this.server.connection;
    } catch (error) {
      assert.equal((error as { kind?: unknown }).kind, "interrupted", String(error));
      return false;
    }
  }
}

test("openSession() takes what the sitting has open, and leaves it open", () =>
  inHome(async (home) => {
    const world = new World(home, "certificate");
    const session = await world.open();
    assert.equal(session.connection, world.server.connection);
    assert.deepEqual([session.id, session.by], ["alice", "certificate"]);
    session.close();
    world.interruption.abort(); // the command is over: this is about something else
    assert.equal(session.connection.isOpen, true);
    world.sitting.close();
    assert.equal(session.connection.isOpen, false);
  }));

test("openSession() lets the command that runs be interrupted, and another begin anew", () =>
  inHome(async (home) => {
    const world = new World(home, "certificate");
    const { connection } = await world.open();
    const asked = connection.request("CERTREQ", { id: "bob" });
    world.interruption.abort();
    await assert.rejects(asked, { kind: "interrupted" });
    assert.equal(await world.takes(), false, "what was interrupted is closed");
  }));

const ROWS: readonly (readonly [string, LoginMeans, boolean, LoginFlags, string?])[] = [
  ["somebody else", "certificate", false, {}, "bob"],
  ["another server", "certificate", false, { server: "ca.test:7444" }],
  ["a password, where a certificate has opened it", "certificate", false, { withPassword: true }],
  ["a password, which has opened it", "password", true, { withPassword: true }],
  [
    "the root's fingerprint",
    "certificate",
    true,
    { fingerprint: fingerprintOf(ANCHOR.root.der) },
  ],
  ["nothing in particular", "password", true, {}],
];

for (const [what, by, isTaken, flags, id] of ROWS) {
  test(`openSession() ${isTaken ? "takes" : "does not take"} the open session for ${what}`, () =>
    inHome(async (home) => assert.equal(await new World(home, by).takes(flags, id), isTaken)));
}

test("openSession() does not take the open session for another root", () =>
  inHome(async (home) => {
    const world = new World(home, "certificate");
    await assert.rejects(
      world.open({ fingerprint: fingerprintOf(OTHER.root.der) }),
      { kind: "untrusted", message: /^the pinned root is / },
    );
    home.replacePins(OTHER, SERVER, NOW_MS); // pinned since, by another command
    assert.equal(await world.takes(), false);
  }));

test("openSession() does not take the open session where an invitation is to be used", () =>
  inHome(async (home) => {
    const world = new World(home, "password");
    world.interruption.abort();
    const opened = world.open({ withPassword: true }, "alice", { token: new Uint8Array(16) });
    await assert.rejects(opened, { kind: "interrupted" });
  }));
