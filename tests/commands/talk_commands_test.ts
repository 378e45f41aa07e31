import assert from "node:assert/strict";
import { test } from "node:test";
import {
  completeCommand,
  describeCommands,
  describeUnknown,
  findCommand,
  readTyped,
  type TalkCommand,
} from "../../commands/talk_commands.ts";

const run = () => {};
const COMMANDS: readonly TalkCommand[] = [
  { name: "help", brief: "This list", run },
  { name: "who", brief: "Who is on the line", run },
  { name: "send", usage: "FILE…", brief: "Send files", run },
  { name: "status", brief: "What is under way", run },
];

test("readTyped() tells what is said from what is asked for", () => {
  const text = (text: string) => ({ kind: "text", text });
  const command = (name: string, rest = "") => ({ kind: "command", name, rest });
  const ROWS = [
    ["hello", text("hello")],
    [" /hello", text(" /hello")],
    ["a\n/b", text("a\n/b")],
    ["//etc/hosts", text("/etc/hosts")],
    ["///", text("//")],
    ["/", command("")],
    ["/quit", command("quit")],
    ["/quit  ", command("quit")],
    ["/send a b.txt", command("send", "a b.txt")],
    ["/send   'a  b'  c ", command("send", "'a  b'  c")],
    ["/send a\nb", command("send", "a\nb")],
    ["/etc/hosts", command("etc/hosts")],
  ] as const;
  for (const [typed, meaning] of ROWS) {
    assert.deepEqual(readTyped(typed), meaning, JSON.stringify(typed));
  }
});

test("findCommand() takes capitals, and no beginnings", () => {
  assert.equal(findCommand(COMMANDS, "WHO")?.name, "who");
  assert.equal(findCommand(COMMANDS, "wh"), undefined);
  assert.equal(findCommand(COMMANDS, ""), undefined);
});

test("describeUnknown() suggests what was meant, and how to say it all the same", () => {
  const slash = "to say something that begins with a slash, type two";
  assert.equal(describeUnknown(COMMANDS, "snd"), `there is no /snd: did you mean /send?\n${slash}`);
  assert.equal(
    describeUnknown(COMMANDS, "etc/hosts"),
    `there is no /etc/hosts: /help lists what there is\n${slash}`,
  );
});

const FILES = ["a b.txt", "notes/", "report.pdf", "report.txt"];

test("completeCommand() goes on as far as it is clear, and says what there is where it is not", () => {
  const commands: readonly TalkCommand[] = COMMANDS.map((command) =>
    command.name === "send"
      ? { ...command, candidates: (typed) => FILES.filter((file) => file.startsWith(typed)) }
      : command
  );
  const ROWS: ReadonlyArray<readonly [typed: string, text: string, choices?: readonly string[]]> = [
    ["/h", "/help"],
    ["/se", "/send "],
    ["/s", "/s", ["/send", "/status"]],
    ["/st", "/status"],
    ["/x", "/x"],
    ["h", "h"],
    ["/help x", "/help x"],
    ["/send n", "/send notes/"],
    ["/send rep", "/send report."],
    ["/send report.", "/send report.", ["report.pdf", "report.txt"]],
    ["/send report.p", "/send report.pdf "],
    ["/send x.txt report.p", "/send x.txt report.pdf "],
    ["/send a", "/send a\\ b.txt "],
    ["/send 'a", "/send a\\ b.txt "],
    ["/send x", "/send x"],
    ["/send a | b", "/send a | b"],
  ];
  for (const [typed, text, choices = []] of ROWS) {
    assert.deepEqual(completeCommand(commands, typed), { text, choices }, typed);
  }
});

test("describeCommands() lists them in columns, with the keys that nobody guesses", () => {
  const rows = describeCommands(COMMANDS).split("\n");
  assert.equal(rows[0], "  /help        This list");
  assert.equal(rows[2], "  /send FILE…  Send files");
  assert.ok(rows.some((row) => row.startsWith("  Alt-Enter    ")));
});
