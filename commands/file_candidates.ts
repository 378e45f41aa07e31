/** Names of files that Tab proposes where one may be typed, in the interactive session and in talks. */

import * as fs from "node:fs";
import { basename, join } from "node:path";
import { printable } from "../lib/base/printable.ts";

/** Names of a folder that are proposed; somebody with more goes on typing. */
const FILES_MAX = 200;

/** Files as far as they were typed; behind `--option=` too. */
export function proposeFiles(typed: string, kind: "any" | "folders"): readonly string[] {
  const [, option = "", path = ""] = /^(--[\w-]+=)?(.*)$/s.exec(typed) ?? [];
  const begun = path.endsWith("/") || path === "" ? "" : basename(path);
  const folder = path.slice(0, path.length - begun.length);
  let entries: readonly fs.Dirent[];
  try {
    entries = fs.readdirSync(folder === "" ? "." : folder, { withFileTypes: true });
  } catch {
    return []; // no such folder, or not ours to read: nothing to propose
  }
  return entries
    .filter(({ name }) => name.startsWith(begun) && (begun !== "" || !name.startsWith(".")))
    // What a terminal would act on is not shown to it; who means such a file names it in a shell.
    .filter(({ name }) => printable(name) === name)
    .map((entry) => ({ name: entry.name, isFolder: isFolder(folder, entry) }))
    .filter(({ isFolder }) => isFolder || kind === "any")
    .map(({ name, isFolder }) => `${option}${folder}${name}${isFolder ? "/" : ""}`)
    .sort()
    .slice(0, FILES_MAX);
}

function isFolder(folder: string, entry: fs.Dirent): boolean {
  if (!entry.isSymbolicLink()) return entry.isDirectory();
  return fs.statSync(join(folder, entry.name), { throwIfNoEntry: false })?.isDirectory() ?? false;
}
