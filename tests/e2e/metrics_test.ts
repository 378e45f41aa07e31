import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { PLACES_MAX } from "../../lib/server/metrics_places.ts";
import { inWorld, needs, type World } from "./harness.ts";
import { inTerminal } from "./terminal.ts";
import { findUnserved, readAlerts, readPanels } from "../server/queries.ts";

/** Of the newest snapshot: a server that has just been set up has none. */
const OF_SNAPSHOTS = ["pki_snapshot_timestamp_seconds", "pki_snapshot_duration_seconds"];

/** Debian's `prometheus_client` for Python, which reads what we write. */
const PARSER = "/usr/lib/python3/dist-packages/prometheus_client";
const PYTHON = "/usr/bin/python3";

const READ = `
import json, sys
if sys.argv[1] == "openmetrics":
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
else:
    from prometheus_client.parser import text_string_to_metric_families as parse
print(json.dumps([[family.type, sample.name, dict(sample.labels), sample.value]
    for family in parse(sys.stdin.read()) for sample in family.samples]))
`;

type Sample = readonly [type: string, name: string, labels: Record<string, string>, value: number];

/** What is served, as another program reads it: samples by name and labels. */
class Scrape {
  readonly samples: readonly Sample[];

  constructor(text: string, format: "prometheus" | "openmetrics") {
    const { stdout, stderr, status } = spawnSync(PYTHON, ["-c", READ, format], {
      input: text,
      encoding: "utf8",
    });
    assert.equal(status, 0, stderr);
    this.samples = JSON.parse(stdout);
  }

  /** `undefined` where there is no such sample. */
  find(name: string, labels: Record<string, string> = {}): number | undefined {
    const found = this.samples.filter(([, one, theirs]) =>
      one === name && Object.entries(labels).every(([label, value]) => theirs[label] === value)
    );
    assert.ok(found.length <= 1, `${name} ${JSON.stringify(labels)} is not one sample`);
    return found[0]?.[3];
  }
}

async function get(url: string, headers: Record<string, string> = {}): Promise<string> {
  const response = await fetch(url, { headers });
  assert.equal(response.status, 200);
  return await response.text();
}

/** A server whose metrics are served, and where. */
async function serveWithMetrics(world: World): Promise<string> {
  const { running } = await world.serve(["--metrics", "127.0.0.1:0", "--log-format", "json"]);
  const [ready] = await running.waitFor(/^\{"event":"ready".*\}$/m);
  const { metrics } = JSON.parse(ready);
  assert.match(metrics, /^127\.0\.0\.1:[1-9]\d*$/);
  const [event] = await running.waitFor(/^.*"server\.ready".*$/m);
  assert.equal(JSON.parse(event).metrics, metrics);
  return `http://${metrics}/metrics`;
}

/** `pki status` of the same server says the same. */
async function checkStatus(world: World, certificates: number): Promise<void> {
  const shown = await world.run(["status"]);
  assert.equal(shown.code, 0, shown.stderr);
  assert.match(
    shown.stdout,
    /^ {2}certificates {2}2 valid \(1 published\), 0 expired, 1 revoked$/m,
  );
  const running = world.start(["status", "--watch", "0.5", "--json"]);
  await running.waitFor(/"sinceStart":false.*\n/);
  const stopped = await running.end();
  assert.equal(stopped.code, 0, stopped.stderr);
  const [first, second] = stopped.stdout.trim().split("\n").map((line) => JSON.parse(line));
  assert.equal(first.sinceStart, true);
  const issued = first.requests.find(({ type }: { type: string }) => type === "CSR");
  assert.equal(issued.count, certificates);
  assert.equal(second.requests.find(({ type }: { type: string }) => type === "CSR").count, 0);
  assert.ok(second.intervalSeconds < first.intervalSeconds);

  // As `| head -1` does: nobody reads what comes next.
  const unread = world.start(["status", "--watch", "0.5", "--json"]);
  await unread.waitFor(/"sinceStart"/);
  unread.child.stdout?.destroy();
  const left = await unread.finished;
  assert.deepEqual([left.code, left.stderr], [1, ""]);
}

test(
  "pki serve --metrics counts what was done",
  needs(PYTHON, PARSER),
  () =>
    inWorld(async (world) => {
      const url = await serveWithMetrics(world);
      const before = new Scrape(await get(url), "prometheus");
      assert.equal(
        before.find("pki_log_entries"),
        2,
        "the server's certificate and the first invitation",
      );
      assert.equal(before.find("pki_requests_total", { type: "CSR", result: "ok" }), 0);
      await world.ok("alice", ["csr", "--register"]);
      await world.ok("alice", ["upload"]);
      await world.ok("alice", ["request", "alice"]);
      assert.equal((await world.ok("alice", ["csr"])).code, 0);
      assert.equal((await world.as("alice", ["request", "nobody"])).code, 5);
      fs.writeFileSync(world.passwordFile("alice"), "not hers at all\n", { mode: 0o600 });
      const elsewhere = await world.as(
        "alice",
        ["csr", "--fingerprint", world.server.fingerprint],
        {
          env: { PKI_HOME: world.path("elsewhere") },
        },
      );
      assert.equal(elsewhere.code, 4);
      fs.writeFileSync(world.passwordFile("mallory"), "nobody's, and long\n", { mode: 0o600 });
      assert.equal((await world.as("mallory", ["csr"])).code, 4);
      const serial =
        JSON.parse((await world.run(["ls", "--user", "alice", "--limit", "1", "--json"])).stdout)
          .serial;
      assert.equal((await world.run(["revoke", "--serial", serial, "--yes"])).code, 0);

      const text = await get(url);
      // Connections end a moment after their commands.
      const after = new Scrape(text, "prometheus");
      const requests = (type: string, result = "ok") =>
        after.find("pki_requests_total", { type, result }) ?? 0;
      assert.equal(requests("REGISTER_FINISH"), 1);
      assert.equal(requests("CSR"), 2);
      assert.equal(requests("CERTUP_FINISH"), 3);
      assert.equal(requests("CERTREQ"), 1);
      assert.equal(requests("CERTREQ", "NOT_FOUND"), 1);
      assert.equal(
        after.find("pki_request_duration_seconds_count", { type: "CERTREQ" }),
        requests("CERTREQ") + requests("CERTREQ", "NOT_FOUND"),
      );
      const logins = (by: string, result: string) =>
        after.find("pki_logins_total", { by, result }) ?? 0;
      assert.equal(logins("password", "ok"), requests("LOGIN_FINISH"));
      assert.equal(logins("certificate", "ok"), requests("LOGIN_CERTIFICATE"));
      assert.ok(logins("password", "ok") >= 1);
      assert.equal(logins("password", "unfinished"), 2, "a wrong password, and nobody's");
      assert.equal(
        after.find("pki_certificates", { state: "valid" }),
        2,
        "the server's and alice's",
      );
      assert.equal(after.find("pki_certificates", { state: "revoked" }), 1);
      assert.equal(after.find("pki_certificates_published"), 1);
      assert.equal(after.find("pki_accounts", { state: "active" }), 1);
      const entries = after.find("pki_log_entries") ?? 0;
      assert.equal(after.find("pki_log_sync_entries_sum"), entries, "all of them by this server");
      const accepted = after.find("pki_connections_accepted_total") ?? 0;
      assert.ok(accepted >= requests("HELLO") && requests("HELLO") >= 7);
      assert.equal(after.find("pki_workers", { state: "in_use" }), after.find("pki_connections"));
      const days = ((after.find("pki_expiry_timestamp_seconds", { kind: "user" }) ?? 0) -
        Date.now() / 1000) / 86_400;
      assert.ok(days > 29 && days < 31, `${days}`);
      assert.ok((after.find("process_open_fds") ?? 0) > 10);
      assert.ok((after.find("process_cpu_seconds_total") ?? 0) > 0);

      const open = new Scrape(
        await get(url, { Accept: "application/openmetrics-text; version=1.0.0" }),
        "openmetrics",
      );
      assert.equal(open.find("pki_requests_total", { type: "CSR", result: "ok" }), 2);
      // What counts only grows, in every series.
      const key = ([, name, labels]: Sample) =>
        `${name} ${JSON.stringify(Object.entries(labels).sort())}`;
      const later = new Map(open.samples.map((sample) => [key(sample), sample[3]]));
      const counted = after.samples.filter(([type, name]) =>
        (type === "counter" || type === "histogram") && !name.endsWith("_created")
      );
      assert.ok(counted.length > 100);
      for (const sample of counted) {
        // A bound is written as it is read: 1 and 1.0 are the same.
        const same = key(sample).replace(/"le","(\d+)\.0"/, '"le","$1"');
        const found = later.get(key(sample)) ?? later.get(same);
        assert.ok(found !== undefined && found >= sample[3], `${key(sample)}: ${found}`);
      }
      // What is asked for in docs/ is there, as this server serves it.
      const served = after.samples.map(([, name, labels]) => ({ name, labels }));
      const queries = [...readAlerts(), ...readPanels()];
      assert.ok(queries.length > 50);
      assert.deepEqual(
        queries.flatMap((query) => findUnserved(query, served, OF_SNAPSHOTS)),
        [],
      );
      await checkStatus(world, requests("CSR"));
      // No id, no address, no name of a client anywhere.
      assert.ok(!/alice|mallory|nobody|127\.0\.0\.1/.test(text));
    }),
);

test("pki serve --metrics answers whom it should, and what hangs hangs alone", () =>
  inWorld(async (world) => {
    const url = await serveWithMetrics(world);
    const { hostname, port } = new URL(url);
    /** What comes back for a request as it stands. */
    const raw = (request: string) =>
      new Promise<string>((resolve, reject) => {
        const socket = connect(Number(port), hostname, () => socket.write(request));
        let answer = "";
        socket.on("data", (chunk) => {
          answer += chunk;
          if (/\r\n\r\n/.test(answer)) socket.destroy();
        });
        socket.once("error", reject);
        socket.once("close", () => resolve(answer.split("\r\n")[0] ?? ""));
      });
    const rows: readonly (readonly [string, RegExp])[] = [
      ["GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", /^HTTP\/1\.1 421/],
      ["GET /metrics HTTP/1.1\r\n\r\n", /^HTTP\/1\.1 (?:400|421)/],
      [
        `POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx`,
        /^HTTP\/1\.1 405/,
      ],
      ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", /^HTTP\/1\.1 404/],
      ["GET /metrics/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", /^HTTP\/1\.1 404/],
      [
        `GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ${"x".repeat(20_000)}\r\n\r\n`,
        /^(?!.* 200)/,
      ],
      ["\x16\x03\x01\x00\x05hello\r\n\r\n", /^(?!.* 200)/],
      ["HEAD /metrics HTTP/1.1\r\nHost: [::1]:1\r\n\r\n", /^HTTP\/1\.1 200/],
      ["GET /metrics HTTP/1.1\r\nHost: localhost:1\r\n\r\n", /^HTTP\/1\.1 200/],
    ];
    for (const [request, answer] of rows) {
      assert.match(await raw(request), answer, request.slice(0, 80));
    }

    // More than may be there, which say next to nothing (a system may keep those that say nothing):
    // whoever asks is answered all the same, in the place of the oldest of them.
    const silent: Socket[] = [];
    let cut = 0;
    while (silent.length < 2 * PLACES_MAX) {
      const one = connect(Number(port), hostname);
      one.on("error", () => {}); // "close" follows
      one.once("close", () => cut++);
      await new Promise((resolve) => one.once("connect", resolve));
      one.write("G");
      silent.push(one);
      const scraped = await raw("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
      assert.match(scraped, /^HTTP\/1\.1 200/, `beside ${silent.length} that are silent`);
    }
    // Not when their time is over, which would be in some seconds.
    for (let more = 0; more < PLACES_MAX; more++) {
      assert.match(
        await raw("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        /^HTTP\/1\.1 200/,
      );
    }
    assert.ok(cut >= PLACES_MAX, `${silent.length - cut} have a place`);
    assert.equal((await world.run(["ping"])).code, 0);
    for (const socket of silent) socket.destroy();

    // What cannot be listened on is said before anything is made, and which of the two it is.
    const fresh = world.path("fresh");
    const nobodys = "192.0.2.1"; // RFC 5737: no machine has it
    const refused: readonly (readonly [code: number, says: RegExp, args: readonly string[]])[] = [
      [8, /error: cannot listen on 127\.0\.0\.1:\d+: something else listens there\n.*--port/, [
        ...["--port", port],
      ]],
      [8, /error: cannot listen on 192\.0\.2\.1:0: this machine does not have .*\n.*--host/, [
        ...["--port", "0", "--host", nobodys],
      ]],
      [8, /error: no metrics: cannot listen on 127\.0\.0\.1:\d+: something else.*\n.*--metrics/, [
        ...["--port", "0", "--metrics", `127.0.0.1:${port}`],
      ]],
      [
        8,
        /error: no metrics: cannot listen on 192\.0\.2\.1:0: this machine does not.*\n.*--metrics/,
        [
          ...["--port", "0", "--metrics", `${nobodys}:0`, "--metrics-exposed"],
        ],
      ],
      [2, /error: cannot serve metrics on 127\.0\.0\.77:\d+: clients connect there\n.*--metrics/, [
        ...["--host", "127.0.0.77", "--port", port, "--metrics", `127.0.0.77:${port}`],
      ]],
      [2, /cannot serve metrics on "0\.0\.0\.0": other machines reach it/, [
        ...["--port", "0", "--metrics", "0.0.0.0:0"],
      ]],
    ];
    for (const [code, says, args] of refused) {
      const ended = await world.run(["serve", "--home", fresh, ...args]);
      assert.equal(ended.code, code, `${args.join(" ")}: ${ended.stderr}`);
      assert.match(ended.stderr, says);
      assert.equal(fs.existsSync(fresh), false, args.join(" "));
    }
    // Also of a folder that there is, and without a thread; a server that has it comes first.
    const moved = await world.run(["serve", "--port", port]);
    assert.equal(moved.code, 5, moved.stderr);
    assert.match(moved.stderr, /process \d+ is using it/);
    const { code } = await world.server.running.end();
    assert.equal(code, 0, "a server that serves metrics ends as any other");
  }));

test(
  "pki status --watch shows it in place, and outlives the server",
  needs("tmux"),
  () =>
    inWorld(async (world) => {
      const none = await world.run(["status"]);
      assert.equal(none.code, 5);
      const { running } = await world.serve();
      await inTerminal(world, ["status", "--watch"], async (terminal) => {
        await terminal.waitFor(/UTC, every 2 s; q ends it[^]*accounts +0 active/);
        await terminal.waitFor(/requests +0 a second in the last \d+\.\d s/);
        assert.equal((await running.end()).code, 0);
        await terminal.waitFor(
          /error +cannot show the status: no server runs on[^]*accounts +0 active/,
        );
        await terminal.type("q");
        assert.equal(await terminal.exitCode(), 0);
        const screen = await terminal.screen();
        assert.ok(!screen.includes("accounts"), "what was there before is there again");
      });
      const gone = await world.run(["status"]);
      assert.equal(gone.code, 8);
      assert.match(gone.stderr, /hint: start it with: pki serve/);
    }),
);
