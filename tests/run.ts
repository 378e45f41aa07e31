/**
 * Everything that must hold, in one run: installs the tools that some tests need, checks format, lint
 * and types, builds, runs all tests, and ends with one line `N passed, N failed`. Arguments name the
 * test files or folders to run instead of all: `deno task test tests/x509`.
 */

import { spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { isAbsolute, join } from "node:path";
import process from "node:process";
import { TEMPLATES } from "./e2e/template.ts";

const ROOT = join(import.meta.dirname ?? ".", "..");
const DENO = process.execPath;

/** What properties and other random tests begin with, so that a run is like the one before. */
const SEED = "20261127";

/** Test files at a time. On two cores a third one works while the others wait for something. */
const JOBS = "3";

/** Programs that tests use as a second opinion or as a terminal, and Debian's package of each. */
const TOOLS: Readonly<Record<string, string>> = {
  openssl: "openssl",
  curl: "curl",
  tmux: "tmux",
  man: "man-db",
  mandoc: "mandoc",
  zsh: "zsh",
  fish: "fish",
  python3: "python3",
  // No program: a library, by where Debian has it.
  "/usr/lib/python3/dist-packages/prometheus_client": "python3-prometheus-client",
  "systemd-analyze": "systemd",
  "systemd-notify": "systemd",
  file: "file",
  sqlite3: "sqlite3",
  certtool: "gnutls-bin",
  ocsptool: "gnutls-bin",
  "gnutls-cli": "gnutls-bin",
  certutil: "libnss3-tools",
  pk12util: "libnss3-tools",
  crlutil: "libnss3-tools",
  ocspclnt: "libnss3-tools",
  keytool: "openjdk-17-jre-headless",
  javac: "openjdk-17-jdk-headless",
  ip: "iproute2",
  tc: "iproute2",
  nft: "nftables",
  sysctl: "procps",
  unshare: "util-linux",
  nsenter: "util-linux",
  mount: "mount",
};

function step(title: string, command: string, args: readonly string[]): void {
  console.log(`== ${title}`);
  const { status } = spawnSync(command, args, {
    cwd: ROOT,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (status !== 0) {
    console.log(`${title}: failed`);
    console.log("0 passed, 1 failed");
    process.exit(1);
  }
}

function isInstalled(program: string): boolean {
  return (process.env["PATH"] ?? "").split(":").some((folder) =>
    fs.existsSync(isAbsolute(program) ? program : join(folder, program))
  );
}

/** Installs what is missing where that is possible; elsewhere the tests that need it say so and are skipped. */
function installTools(): void {
  const missing = Object.keys(TOOLS).filter((program) => !isInstalled(program));
  if (missing.length === 0) return;
  const packages = [...new Set(missing.map((program) => TOOLS[program] ?? program))];
  if (!isInstalled("apt-get") || process.getuid?.() !== 0) {
    console.log(`== without ${missing.join(", ")}: tests that need them are skipped`);
    return;
  }
  console.log(`== installing ${packages.join(", ")}`);
  const quiet = { stdio: "ignore" } as const;
  spawnSync("apt-get", ["update", "-qq"], quiet);
  spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...packages], quiet);
  const stillMissing = missing.filter((program) => !isInstalled(program));
  if (stillMissing.length > 0) {
    console.log(
      `== could not install ${stillMissing.join(", ")}: tests that need them are skipped`,
    );
  }
}

interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Counts from the JUnit report of `deno test`. */
function readCounts(reportPath: string): Counts {
  const report = fs.readFileSync(reportPath, "utf8");
  const count = (pattern: RegExp) => [...report.matchAll(pattern)].length;
  const total = count(/<testcase[ >]/g);
  const failed = count(/<(?:failure|error)[ >]/g);
  const skipped = count(/<skipped[ />]/g);
  return { passed: total - failed - skipped, failed, skipped };
}

installTools();
step("format, lint, types", DENO, ["task", "--quiet", "check"]);
step("build", DENO, ["task", "--quiet", "build"]);
step("build with faults, for tests", DENO, ["task", "--quiet", "build", "--faults"]);

fs.rmSync(join(ROOT, TEMPLATES), { recursive: true, force: true });

console.log("== tests");
const report = join(fs.mkdtempSync(join(ROOT, ".test-")), "report.xml");
const selection = process.argv.slice(2);
const { status } = spawnSync(DENO, [
  "test",
  "--quiet",
  "--allow-all",
  "--no-check",
  "--parallel",
  `--junit-path=${report}`,
  ...(selection.length > 0 ? selection : ["tests"]),
], {
  cwd: ROOT,
  stdio: ["ignore", "inherit", "inherit"],
  env: { PKI_TEST_SEED: SEED, PKI_KILL_SEED: SEED, ...process.env, DENO_JOBS: JOBS },
});
const { passed, failed, skipped } = readCounts(report);
fs.rmSync(join(report, ".."), { recursive: true, force: true });
// A run that failed without a failed test (a leak, an error outside a test) is a failure too.
const failures = status === 0 ? failed : Math.max(failed, 1);
console.log(`${passed} passed, ${failures} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exit(failures === 0 ? 0 : 1);
