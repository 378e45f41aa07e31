/** Which program this is: what `pki --version` says, and what a backup says of its maker. */

import process from "node:process";

/** Set by `build.ts`; a program that runs from source has neither. */
declare const PKI_VERSION: string | undefined;
declare const PKI_COMMIT: { readonly commit: string; readonly isModified: boolean } | undefined;

export const VERSION = typeof PKI_VERSION === "undefined" ? "(from source)" : PKI_VERSION;

/** As many digits of a commit as tell it from others in a project of this size. */
const COMMIT_DIGITS = 12;

export interface Build {
  readonly version: string;
  /** 40 hex digits, or `unknown`. */
  readonly commit: string;
  /** Whether tracked files differed from the commit. */
  readonly isModified: boolean;
}

export const BUILD: Build = {
  version: VERSION,
  ...(typeof PKI_COMMIT === "undefined" ? { commit: "unknown", isModified: false } : PKI_COMMIT),
};

interface Engine {
  readonly name: string;
  readonly version: string;
}

/** What runs this program: bun within the executable, deno or node from source. */
function findEngine(): Engine {
  for (const name of ["bun", "deno"]) {
    const version = process.versions[name];
    if (version !== undefined) return { name, version };
  }
  return { name: "node", version: process.versions.node };
}

/** Facts for a program. */
export function describeVersion(build: Build = BUILD) {
  const engine = findEngine();
  return {
    version: build.version,
    commit: build.commit,
    modified: build.isModified,
    engine: engine.name,
    engineVersion: engine.version,
    platform: process.platform,
    arch: process.arch,
  };
}

/** The same in one line for a person. */
export function versionLine(build: Build = BUILD): string {
  const { version, commit, modified, engine, engineVersion, platform, arch } = describeVersion(
    build,
  );
  const short = commit.slice(0, COMMIT_DIGITS);
  return `pki ${version}, commit ${short}${modified ? " (modified)" : ""}, ` +
    `${engine} ${engineVersion}, ${platform} ${arch}`;
}
