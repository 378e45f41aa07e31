/** Completion in real shells, as somebody presses Tab. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { inWorld, needs, ROOT, type World } from "./harness.ts";
import { inTerminal, type Terminal } from "./terminal.ts";

/** How each shell is started: with our script, a short prompt, and nothing of this machine's. */
const SHELLS: Readonly<Record<string, (folder: string) => string>> = {
  bash: (folder) => {
    const lines = ["PS1='> '", "bind 'set show-all-if-ambiguous on'", `. ${folder}/script`];
    fs.writeFileSync(`${folder}/bashrc`, `${lines.join("\n")}\n`);
    return `bash --noprofile --rcfile ${folder}/bashrc -i`;
  },
  zsh: (folder) => {
    const lines = ["PS1='> '", "autoload -Uz compinit", "compinit -u -D", `. ${folder}/script`];
    fs.writeFileSync(`${folder}/.zshrc`, `${lines.join("\n")}\n`);
    return `env ZDOTDIR=${folder} zsh -d -i`;
  },
  fish: (folder) => {
    const lines = [
      "function fish_prompt; printf '> '; end",
      "set -g fish_greeting",
      "set -g fish_autosuggestion_enabled 0",
      `source ${folder}/script`,
    ];
    fs.writeFileSync(`${folder}/config.fish`, `${lines.join("\n")}\n`);
    return `env XDG_CONFIG_HOME=${folder}/c XDG_DATA_HOME=${folder}/d HOME=${folder} ` +
      `fish --no-config --private -i -C 'source ${folder}/config.fish'`;
  },
};

/** What is typed before Tab, and what the line is then. */
const LINES: readonly (readonly [typed: string, line: string])[] = [
  ["pki conn", "pki connect"],
  ["pki issuer rev", "pki issuer revoke"],
  ["pki csr --key-t", "pki csr --key-type"],
  ["pki csr --key-type=p2", "pki csr --key-type=p256"],
  ["pki csr --key-type p3", "pki csr --key-type p384"],
  ["pki request car", "pki request carol"],
  ["pki --id ali", "pki --id alice"],
  ["pki --quiet request --id=bo", "pki --quiet request --id=bob"],
  ["pki --home other request da", "pki --home other request dave"],
  ["pki csr --csr=./req", "pki csr --csr=./request.pem"],
  ["pki csr --csr ./req", "pki csr --csr ./request.pem"],
  ["pki csr --home ./some-", "pki csr --home ./some-folder/"],
  // What was typed is never run, and what does not close is no fault.
  ["pki --id '`touch ran`' csr --key-t", "pki --id '`touch ran`' csr --key-type"],
  ['pki --id "$PATH" requ', 'pki --id "$PATH" request'],
];

/** A home in which people are known; nobody looks into the keys. */
function makeHome(folder: string, ids: readonly string[], peers: Readonly<Record<string, string>>) {
  for (const id of ids) {
    fs.mkdirSync(`${folder}/ids/${id}`, { recursive: true });
    fs.writeFileSync(`${folder}/ids/${id}/key.pem`, "");
  }
  fs.writeFileSync(`${folder}/config.json`, JSON.stringify({ peers }), { mode: 0o600 });
}

async function inShell(
  world: World,
  shell: string,
  body: (terminal: Terminal) => Promise<void>,
): Promise<void> {
  const folder = world.path("shell");
  fs.mkdirSync(folder);
  makeHome(world.home, ["alice", "bob"], { "[::1]:7450": "carol" });
  makeHome(`${folder}/other`, ["dave"], {});
  fs.writeFileSync(`${folder}/request.pem`, "");
  fs.mkdirSync(`${folder}/some-folder`);
  const start = SHELLS[shell]?.(folder);
  await inTerminal(world, ["completion", shell], body, {
    env: { PATH: `${ROOT}:${process.env["PATH"]}` },
    behind: `> ${folder}/script && cd ${folder} && exec ${start}`,
  });
}

for (const shell of Object.keys(SHELLS)) {
  test(
    `pki is completed in ${shell}`,
    needs("tmux", shell),
    () =>
      inWorld((world) =>
        inShell(world, shell, async (terminal) => {
          await terminal.waitFor(/^>/m);
          for (const [typed, line] of LINES) {
            const escaped = line.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
            await terminal.type(`${typed}\t`);
            await terminal.waitFor(new RegExp(`^> ${escaped} *$`, "m"));
            await terminal.press("C-u");
            await terminal.waitFor(/^> *$/m);
          }
          // What only the shell could say is not completed by bash, which gives the whole line.
          await terminal.type("pki --id $(touch ran) csr --key-t\t");
          const end = shell === "bash" ? "" : "ype";
          await terminal.waitFor(
            new RegExp(`^> pki --id \\$\\(touch ran\\) csr --key-t${end} *$`, "m"),
          );
          await terminal.press("C-u");
          await terminal.type("pki issuer \t");
          await terminal.waitFor(/^add.*ls|^add/m);
          assert.equal(fs.existsSync(world.path("shell/ran")), false, "what was typed was run");
        })
      ),
  );
}
