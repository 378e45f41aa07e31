/** Settings of the server: each way to give one, what goes before what, and every refusal. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  parseConfiguration,
  printConfiguration,
  reconfigure,
  resolveConfiguration,
} from "../../commands/server_configuration.ts";
import { guessAddress, isLoopback } from "../../lib/server/reachable.ts";
import {
  holdsOnLoopback,
  resolveLimits,
  SERVER_LIMIT_NAMES,
  SERVER_LIMITS,
} from "../../lib/base/server_limits.ts";
import {
  type GivenSettings,
  optionOf,
  parseSetting,
  SETTING_NAMES,
  SETTINGS,
  variableOf,
} from "../../commands/server_settings.ts";

const FOLDER = fs.mkdtempSync(join(tmpdir(), "pki-configuration-"));
after(() => fs.rmSync(FOLDER, { recursive: true }));

const PATH = "/srv/pki/pki.json";
const HOST_NAME = "box.example.org";

/** Every setting, in the form of each source. */
const ALL: Readonly<Record<string, { readonly json: unknown; readonly text: string }>> = {
  host: { json: "::", text: "0.0.0.0" },
  port: { json: 8443, text: "9443" },
  domain: { json: "pki.example.org", text: "pki.example.net" },
  passphraseFile: { json: "/run/a", text: "/run/b" },
  maxConnections: { json: 12, text: "13" },
  witness: { json: "/mnt/a", text: "/mnt/b" },
  registration: { json: "closed", text: "invite" },
  publicAddress: { json: "a.example.org:1", text: "b.example.org:2" },
  metrics: { json: "127.0.0.1:9464", text: "[::1]:0" },
  metricsExposed: { json: false, text: "true" },
  logFormat: { json: "json", text: "text" },
  logLevel: { json: "debug", text: "error" },
  limits: { json: { idleSeconds: 60 }, text: '{"idleSeconds":61}' },
};

function resolve(
  { file, env = {}, options = {} }: {
    readonly file?: unknown;
    readonly env?: Readonly<Record<string, string>>;
    readonly options?: GivenSettings;
  },
) {
  const folder = fs.mkdtempSync(join(FOLDER, "data-"));
  if (file !== undefined) fs.writeFileSync(join(folder, "pki.json"), JSON.stringify(file));
  return resolveConfiguration({ folder, env, options, hostName: HOST_NAME });
}

test("every setting is a key, an option and a variable of the same name", () => {
  assert.deepEqual(Object.keys(ALL), SETTING_NAMES);
  assert.equal(variableOf("maxConnections"), "PKI_SERVE_MAX_CONNECTIONS");
  assert.equal(optionOf("maxConnections"), "--max-connections");
  // What the client reads from the environment must not mean something else here.
  const ofClients = ["PKI_HOME", "PKI_SERVER", "PKI_ID", "PKI_PASSWORD", "PKI_PASSWORD_FILE"];
  for (const name of SETTING_NAMES) assert.ok(!ofClients.includes(variableOf(name)));
});

for (const name of SETTING_NAMES) {
  test(`resolveConfiguration() takes ${name} from option, environment, file, default, in this order`, () => {
    const { json, text } = ALL[name] ?? assert.fail();
    const file = { [name]: json };
    const env = { [variableOf(name)]: text };
    const { isNumber, isJson, isSwitch } = SETTINGS[name];
    const asText = isNumber ? Number(text) : isJson || isSwitch ? JSON.parse(text) : text;
    assert.deepEqual(resolve({ file }).settings[name], json);
    assert.equal(resolve({ file }).sources[name], "file");
    assert.deepEqual(resolve({ file, env }).settings[name], asText);
    assert.equal(resolve({ file, env }).sources[name], "environment");
    const options = { [name]: parseSetting(name, text) } as GivenSettings;
    const other = { [variableOf(name)]: isJson ? JSON.stringify(json) : String(json) };
    assert.deepEqual(resolve({ file, env: other, options }).settings[name], asText);
    assert.equal(resolve({ file, env: other, options }).sources[name], "option");
    const { sources, settings } = resolve({});
    assert.equal(sources[name], settings[name] === undefined ? undefined : "default");
    // An empty variable is how shells say that there is none.
    assert.deepEqual(resolve({ file, env: { [variableOf(name)]: "" } }).sources[name], "file");
  });
}

test("resolveConfiguration() fills in what follows from other settings", () => {
  const rows: readonly (readonly [GivenSettings, Partial<GivenSettings>])[] = [
    [{}, { registration: "open", publicAddress: "127.0.0.1:7443", logLevel: "notice" }],
    [{ host: "localhost", port: 1 }, { registration: "open", publicAddress: "localhost:1" }],
    [{ host: "::1" }, { registration: "open", publicAddress: "[::1]:7443" }],
    [{ host: "0.0.0.0" }, { registration: "invite", publicAddress: `${HOST_NAME}:7443` }],
    [{ host: "::" }, { registration: "invite", publicAddress: `${HOST_NAME}:7443` }],
    [{ host: "192.0.2.1" }, { registration: "invite", publicAddress: "192.0.2.1:7443" }],
    [{ host: "192.0.2.1", registration: "open" }, { registration: "open" }],
    [{ port: 0 }, { publicAddress: undefined as never }],
    [{ port: 0, publicAddress: "a:1" }, { publicAddress: "a:1" }],
    [{ logFormat: "json" }, { logLevel: "info" }],
    [{ logFormat: "json", logLevel: "error" }, { logLevel: "error" }],
  ];
  for (const [options, wanted] of rows) {
    const { settings } = resolve({ options });
    for (const [name, value] of Object.entries(wanted)) {
      assert.equal(settings[name as keyof GivenSettings], value, JSON.stringify(options));
    }
  }
  assert.equal(guessAddress({ host: "0.0.0.0", port: 5 }, HOST_NAME), `${HOST_NAME}:5`);
});

test("isLoopback() is true of what only this machine reaches", () => {
  for (const host of ["127.0.0.1", "127.1.2.3", "::1", "localhost"]) assert.ok(isLoopback(host));
  for (const host of ["0.0.0.0", "::", "10.0.0.1", "127.example.org", "box", "1127.0.0.1"]) {
    assert.ok(!isLoopback(host), host);
  }
});

const REFUSED: readonly (readonly [json: string, message: string])[] = [
  ["", "not JSON: "],
  ["{", "not JSON: "],
  ['{"port":1} x', "not JSON: "],
  ["{'port':1}", "not JSON: "],
  ['{"port":1,"host":"::1","port":2}', "port stands twice"],
  ['{"limits":{"idleSeconds":1,"idleSeconds":1}}', "limits.idleSeconds stands twice"],
  ['{"a\\u001b":1,"a\\u001b":2}', "a\ufffd stands twice"],
  ["[]", "not an object"],
  ["null", "not an object"],
  ['"port"', "not an object"],
  ['{"prot":1}', "prot: no such setting"],
  ['{"maxConnection":1}', "maxConnection: no such setting: did you mean maxConnections?"],
  ['{"max-connections":1}', "max-connections: no such setting: did you mean maxConnections?"],
  ['{"__proto__":{}}', "__proto__: no such setting"],
  ['{"a\\u001b[31mb":1}', "a\ufffd[31mb: no such setting"],
  ['{"passphrase":"hunter2"}', "passphrase: no secret belongs here"],
  ['{"password":"hunter2"}', "password: no secret belongs here"],
  ['{"acceptLoss":true}', "acceptLoss: this is for one start only"],
  ['{"rootKey":"/x"}', "rootKey: this is for one start only"],
  ['{"host":""}', 'host: "" is not an address to listen on'],
  ['{"host":"a b"}', 'host: "a b" is not an address to listen on'],
  ['{"host":7}', "host: 7 is not an address to listen on"],
  ['{"port":"7443"}', 'port: "7443" is not a port: 0 to 65535'],
  ['{"port":-1}', "port: -1 is not a port: 0 to 65535"],
  ['{"port":65536}', "port: 65536 is not a port: 0 to 65535"],
  ['{"port":1.5}', "port: 1.5 is not a port: 0 to 65535"],
  ['{"port":null}', "port: null is not a port: 0 to 65535"],
  ['{"domain":"Example"}', 'domain: "Example" is not a domain name in lower case'],
  ['{"passphraseFile":""}', 'passphraseFile: "" is not a path'],
  ['{"passphraseFile":"a\\u0000"}', 'passphraseFile: "a\\u0000" is not a path'],
  ['{"maxConnections":0}', "maxConnections: 0 is not a number from 1 on"],
  ['{"maxConnections":true}', "maxConnections: true is not a number from 1 on"],
  ['{"witness":[]}', "witness: [] is not a path"],
  ['{"registration":"all"}', 'registration: "all" is none of open, invite, closed'],
  ['{"metrics":"9464"}', 'metrics: "9464" is not host:port'],
  ['{"publicAddress":"a:0"}', 'publicAddress: "a:0" is not host:port'],
  ['{"publicAddress":"a b"}', 'publicAddress: "a b" is not host:port'],
  ['{"logFormat":"xml"}', 'logFormat: "xml" is none of text, json'],
  ['{"logLevel":"warn"}', 'logLevel: "warn" is none of error, warning, notice, info, debug'],
  ['{"limits":1}', 'limits: not an object of numbers, like {"idleSeconds":60}'],
  ['{"limits":[]}', 'limits: not an object of numbers, like {"idleSeconds":60}'],
  ['{"limits":{"idelSeconds":1}}', "limits: idelSeconds: no such limit: did you mean idleSeconds?"],
  ['{"limits":{"__proto__":1}}', "limits: __proto__: no such limit"],
  ['{"limits":{"toString":1}}', "limits: toString: no such limit"],
  ['{"limits":{"a\\u001b":1}}', "limits: a\ufffd: no such limit"],
  ...["0", "-1", "1.5", "1e99", '"60"', "null", "[60]", "31536001"].map((value) =>
    [
      `{"limits":{"idleSeconds":${value}}}`,
      `limits: idleSeconds: ${value === "1e99" ? "1e+99" : value} is not a whole number ` +
      "from 1 to 31536000",
    ] as const
  ),
  [`{"host":"${"a ".repeat(100)}"}`, `host: "${"a ".repeat(39)}a… is not an address to listen on`],
  [`{"host":"${"a".repeat(16_384)}"}`, "more than 16384 characters"],
];

for (const [json, message] of REFUSED) {
  test(`parseConfiguration() refuses ${json.slice(0, 40)}`, () => {
    assert.throws(() => parseConfiguration(json, PATH), (error: Error & { kind: string }) => {
      assert.equal(error.kind, "malformed");
      const whole = `cannot use "${PATH}": ${message}`;
      // After "not JSON" come the words of the engine.
      if (message.endsWith(": ")) assert.ok(error.message.startsWith(whole), error.message);
      else assert.equal(error.message, whole);
      assert.ok(!error.message.includes("hunter2"));
      return true;
    });
  });
}

test("parseConfiguration() reads what is good, and paths from the file's folder on", () => {
  assert.deepEqual(parseConfiguration("{}", PATH), {});
  assert.deepEqual(
    parseConfiguration('{"port":0,"witness":"../w","publicAddress":"a.example.org"}', PATH),
    { port: 0, witness: "/srv/w", publicAddress: "a.example.org:7443" },
  );
  const all = Object.fromEntries(Object.entries(ALL).map(([name, { json }]) => [name, json]));
  assert.deepEqual(parseConfiguration(JSON.stringify(all), PATH), all);
});

test("parseConfiguration() reads limits in the order of the table, up to both ends of each", () => {
  const ends = (end: "min" | "max") =>
    Object.fromEntries(SERVER_LIMIT_NAMES.map((name) => [name, SERVER_LIMITS[name][end]]));
  for (const limits of [ends("min"), ends("max"), {}]) {
    assert.deepEqual(parseConfiguration(JSON.stringify({ limits }), PATH), { limits });
  }
  const { limits = {} } = parseConfiguration('{"limits":{"workersSpare":1,"idleSeconds":2}}', PATH);
  assert.deepEqual(Object.keys(limits), ["idleSeconds", "workersSpare"]);
  const all = resolveLimits(limits);
  assert.deepEqual([all.workersSpare, all.idleSeconds, all.loginSeconds], [1, 2, 60]);
  // Whoever names a limit means everybody.
  assert.equal(holdsOnLoopback("connectionsPerAddress", {}), false);
  assert.equal(holdsOnLoopback("connectionsPerAddress", { connectionsPerAddress: 256 }), true);
  assert.equal(holdsOnLoopback("idleSeconds", {}), true);
});

test("parseSetting() reads limits of a variable as JSON", () => {
  assert.throws(() => parseSetting("limits", "idleSeconds=1"), {
    kind: "usage",
    message: '"idleSeconds=1" is not JSON',
  });
});

test("resolveConfiguration() names a variable that is wrong, and one that nothing is called", () => {
  assert.throws(() => resolve({ env: { PKI_SERVE_PORT: "high" } }), {
    kind: "usage",
    message: 'cannot use $PKI_SERVE_PORT: "high" is not a port: 0 to 65535',
  });
  const env = { PKI_SERVE_HOSTS: "a", PKI_SERVE_X: "b", PKI_SERVER: "c" };
  assert.deepEqual(resolve({ env }).warnings, [
    "$PKI_SERVE_HOSTS says nothing: did you mean $PKI_SERVE_HOST?",
    "$PKI_SERVE_X says nothing",
  ]);
});

test("printConfiguration() says what holds and why, and its settings are a good pki.json", () => {
  const configuration = resolve({
    file: { host: "192.0.2.7", witness: "../witness", limits: { idleSeconds: 60 } },
    env: { PKI_SERVE_PORT: "8443" },
    options: { logLevel: "debug" },
  });
  const printed = JSON.parse(printConfiguration(configuration));
  const { folder, file } = configuration;
  assert.deepEqual(printed, {
    folder,
    file: join(folder, "pki.json"),
    settings: {
      host: "192.0.2.7",
      port: 8443,
      maxConnections: 1000,
      witness: join(folder, "..", "witness"),
      registration: "invite",
      publicAddress: "192.0.2.7:8443",
      logFormat: "text",
      logLevel: "debug",
      limits: { idleSeconds: 60 },
    },
    sources: {
      host: `file ${file}`,
      port: "environment $PKI_SERVE_PORT",
      maxConnections: "default",
      witness: `file ${file}`,
      registration: "default",
      publicAddress: "default",
      logFormat: "default",
      logLevel: "option --log-level",
      limits: `file ${file}`,
    },
    limits: resolveLimits({ idleSeconds: 60 }),
  });
  const again = resolve({ file: printed.settings });
  assert.deepEqual(again.settings, configuration.settings);
  assert.equal(JSON.parse(printConfiguration(resolve({}))).file, null);
});

test("reconfigure() changes what can change, and names what cannot", () => {
  const folder = fs.mkdtempSync(join(FOLDER, "data-"));
  const write = (value: unknown) =>
    fs.writeFileSync(join(folder, "pki.json"), JSON.stringify(value));
  const input = { folder, env: {}, options: { port: 0 }, hostName: HOST_NAME };
  write({ host: "0.0.0.0", maxConnections: 5, witness: "/a" });
  const running = resolveConfiguration(input);
  assert.equal(running.settings.registration, "invite");
  write({ host: "127.0.0.1", maxConnections: 6, logFormat: "json" });
  const { configuration: { settings }, fixed } = reconfigure(running, input, 4711);
  assert.deepEqual(fixed, ["host", "witness"]);
  assert.equal(settings.host, "0.0.0.0");
  assert.equal(settings.witness, "/a");
  assert.equal(settings.maxConnections, 6);
  assert.equal(settings.logLevel, "info");
  assert.equal(settings.publicAddress, `${HOST_NAME}:4711`);
  // It listens on all addresses still: nobody registers for the asking.
  assert.equal(settings.registration, "invite");
  write({ prot: 1 });
  assert.throws(() => reconfigure(running, input, 4711), { kind: "malformed" });
});
