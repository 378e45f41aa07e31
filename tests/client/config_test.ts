import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { ConfigFile } from "../../lib/client/config.ts";
import { inHome } from "./temporary_home.ts";

/** A configuration in a folder that is not there yet. */
async function inFile(work: (file: ConfigFile, path: string) => void | Promise<void>) {
  await inHome(async ({ folder }) => {
    const path = join(folder, "config.json");
    await work(new ConfigFile(path), path);
  });
}

test("ConfigFile.change() writes nothing where it changes nothing", async () => {
  await inFile((file, path) => {
    file.change((config) => ({ ...config }));
    assert.equal(fs.existsSync(dirname(path)), false);
    file.change((config) => ({ ...config, server: "a:1" }));
    const { ino, mode } = fs.statSync(path);
    assert.equal(mode & 0o777, 0o600);
    file.change((config) => ({ ...config, server: "a:1" }));
    assert.equal(fs.statSync(path).ino, ino);
  });
});

test("ConfigFile.change() changes what is there once it may, and leaves no lock", async () => {
  await inFile((file, path) => {
    file.change(() => ({ server: "a:1" }));
    let turns = 0;
    file.change((config) => {
      // Between the first look and the lock, another command has remembered something.
      if (turns++ === 0) fs.writeFileSync(path, '{"server":"a:1","domain":"pki.test"}');
      return { ...config, identity: "alice" };
    });
    assert.deepEqual(file.load(), { server: "a:1", domain: "pki.test", identity: "alice" });
    assert.deepEqual(fs.readdirSync(dirname(path)), ["config.json"]);
  });
});

test("ConfigFile.change() leaves no lock and the old content after a fault", async () => {
  await inFile((file, path) => {
    file.change(() => ({ server: "a:1" }));
    let turns = 0;
    const edit = () => {
      if (turns++ === 0) return { server: "b:1" };
      throw new Error("a fault");
    };
    assert.throws(() => file.change(edit), { message: "a fault" });
    assert.deepEqual(file.load(), { server: "a:1" });
    assert.deepEqual(fs.readdirSync(dirname(path)), ["config.json"]);
  });
});

test("ConfigFile.change() takes away the lock of one who died", async () => {
  await inFile((file, path) => {
    file.change(() => ({ server: "a:1" }));
    const lock = `${path}.lock`;
    fs.writeFileSync(lock, "left behind");
    const longAgo = new Date(Date.now() - 60_000);
    fs.utimesSync(lock, longAgo, longAgo);
    file.change((config) => ({ ...config, identity: "alice" }));
    assert.equal(file.load().identity, "alice");
    assert.equal(fs.existsSync(lock), false);
  });
});

const PROCESSES = 4;
const PEERS_EACH = 25;

test("ConfigFile.change() loses nothing where several commands change it at once", async () => {
  await inFile(async (file, path) => {
    const module = new URL("../../lib/client/config.ts", import.meta.url).href;
    const program = join(dirname(dirname(path)), "writer.ts");
    fs.writeFileSync(
      program,
      `import process from "node:process";
import { ConfigFile } from ${JSON.stringify(module)};
const [path, name] = process.argv.slice(2);
for (let i = 0; i < ${PEERS_EACH}; i++) {
  new ConfigFile(path).change((config) => ({
    ...config,
    peers: { ...config.peers, [\`\${name}:\${i}\`]: "bob" },
  }));
}
`,
    );
    const config = new URL("../../deno.json", import.meta.url).pathname;
    const args = ["run", "-A", "--no-check", "--config", config, program, path];
    const codes = await Promise.all(
      Array.from({ length: PROCESSES }, async (_, i) => {
        const child = spawn(process.execPath, [...args, `p${i}`], { stdio: "inherit" });
        const [code] = await once(child, "exit");
        return code;
      }),
    );
    assert.deepEqual(codes, Array.from({ length: PROCESSES }, () => 0));
    assert.equal(Object.keys(file.load().peers ?? {}).length, PROCESSES * PEERS_EACH);
  });
});
