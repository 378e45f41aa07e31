/**
 * Builds one executable: esbuild bundles `main.ts` and each worker's entry, bun packs the bundles
 * together with its engine. Run with `deno task build`.
 *
 *   --target linux-x64|linux-arm64|darwin-x64|darwin-arm64|windows-x64   another system's executable
 *   --faults   ./pki-faults, with switches that make it fail on purpose, for tests
 */

import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { basename, join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import config from "./deno.json" with { type: "json" };
import { WORKER_ENTRIES } from "./lib/base/worker.ts";

const ROOT = import.meta.dirname ?? ".";

/**
 * ES modules have none of these, which some packages still use. Whoever uses none goes without: the
 * worker of a connection is started for each, and loading two more modules takes it a while.
 */
const COMMONJS_NAMES = /\b(?:require|__filename|__dirname)\b/;
const BANNER = [
  'import { createRequire as __createRequire } from "node:module";',
  'import { fileURLToPath as __fileURLToPath } from "node:url";',
  "const require = __createRequire(import.meta.url);",
  "const __filename = __fileURLToPath(import.meta.url);",
  'const __dirname = __filename.replace(/[^/]*$/, "");',
].join("");

/** The packer, from its platform package: the `bun` package's own program is a placeholder. */
function findBun(): string {
  const os = process.platform === "win32" ? "windows" : process.platform;
  const arch = process.arch === "arm64" ? "aarch64" : process.arch;
  const name = `bun-${os}-${arch}`;
  const version = config.imports.bun.replace(/^.*@/, "");
  const store = join(ROOT, "node_modules", ".deno");
  for (const variant of [name, `${name}-musl`]) {
    const folder = join(
      store,
      `@oven+${variant}@${version}`,
      "node_modules",
      "@oven",
      variant,
      "bin",
    );
    for (const file of ["bun", "bun.exe"]) {
      const path = join(folder, file);
      if (fs.existsSync(path) && isRunnable(path)) return path;
    }
  }
  throw new Error(`the packer is not in ${store}: run "deno install" first`);
}

/** A program for the other C library is there too; it does not start. */
function isRunnable(path: string): boolean {
  return spawnSync(path, ["--version"]).status === 0;
}

/** The commit that is built, as far as git knows it, and whether tracked files differ from it. */
function findCommit(): { readonly commit: string; readonly isModified: boolean } {
  const git = (...args: readonly string[]) => {
    const { status, stdout } = spawnSync("git", ["-C", ROOT, ...args], { encoding: "utf8" });
    return status === 0 ? stdout.trim() : undefined;
  };
  const commit = git("rev-parse", "HEAD");
  const prefix = git("rev-parse", "--show-prefix");
  // Sources that were unpacked within somebody else's repository are not of its commit.
  if (commit === undefined || prefix !== "") return { commit: "unknown", isModified: false };
  return { commit, isModified: git("status", "--porcelain", "--untracked-files=no") !== "" };
}

async function bundle(folder: string, hasFaults: boolean): Promise<string[]> {
  const entries: Record<string, string> = { main: join(ROOT, "main.ts") };
  for (const [name, path] of Object.entries(WORKER_ENTRIES)) {
    entries[`${name}_worker`] = join(ROOT, "lib", "base", path);
  }
  const { outputFiles } = await build({
    entryPoints: entries,
    outdir: folder,
    absWorkingDir: ROOT,
    bundle: true,
    format: "esm",
    platform: "node",
    target: "es2024",
    define: {
      PKI_BUNDLED: "true",
      PKI_FAULTS: String(hasFaults),
      PKI_VERSION: JSON.stringify(config.version),
      PKI_COMMIT: JSON.stringify(findCommit()),
    },
    minifySyntax: true,
    minifyWhitespace: true,
    legalComments: "none",
    logLevel: "warning",
    write: false,
  });
  for (const { path, text } of outputFiles) {
    fs.writeFileSync(path, COMMONJS_NAMES.test(text) ? `${BANNER}\n${text}` : text);
  }
  return Object.keys(entries).map((name) => join(folder, `${name}.js`));
}

function pack(bundles: readonly string[], outfile: string, target: string | undefined): void {
  const { status, stderr } = spawnSync(findBun(), [
    "build",
    "--compile",
    "--bytecode",
    "--format=esm",
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    ...(target ? [`--target=bun-${target}`] : []),
    ...bundles,
    "--outfile",
    outfile,
  ], { encoding: "utf8", stdio: ["ignore", "ignore", "pipe"] });
  if (status !== 0) throw new Error(`packing failed: ${stderr}`);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { target: { type: "string" }, faults: { type: "boolean", default: false } },
  });
  const { target, faults } = values;
  const startMs = performance.now();
  const name = faults ? "pki-faults" : target ? `pki-${target}` : "pki";
  const outfile = join(ROOT, name + (target?.startsWith("windows") ? ".exe" : ""));
  // Beside the result: several builds may run, and a program that runs is never written into.
  const folder = fs.mkdtempSync(join(ROOT, ".build-"));
  try {
    const packed = join(folder, "packed.exe");
    pack(await bundle(folder, faults), packed, target);
    fs.renameSync(packed, outfile);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
  const megabytes = (fs.statSync(outfile).size / 1024 / 1024).toFixed(0);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  console.log(`built ./${basename(outfile)}: ${megabytes} MB in ${seconds} s`);
}

try {
  await main();
} catch (error) {
  console.error(`cannot build: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
}
