/** What `docs/alerts.yml` and `docs/grafana-dashboard.json` ask for: expressions of PromQL, and labels. */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { ERROR_KINDS } from "../../lib/base/errors.ts";
import { REFUSALS } from "../../lib/server/core_report.ts";
import { OK } from "../../lib/server/measures.ts";

export const DOCS = join(import.meta.dirname ?? ".", "..", "..", "docs");
export const readDoc = (name: string): string => fs.readFileSync(join(DOCS, name), "utf8");

/** One expression, and the labels of its result that are shown. */
export interface Query {
  readonly where: string;
  readonly expression: string;
  readonly shown: readonly string[];
}

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** Labels that Prometheus itself gives to all that it reads. */
const OWN_LABELS: readonly string[] = ["job", "instance"];

const CODES = Object.values(ERROR_KINDS).map(({ wireCode }) => wireCode);

/** What a label of a metric may be although nothing has been counted under it yet. */
const POSSIBLE: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  pki_connections_refused_total: { reason: REFUSALS },
  pki_requests_total: { result: [OK, ...CODES] },
  pki_logins_total: { result: [OK, ...CODES, "unfinished"] },
};

const shownIn = (text: string, pattern: RegExp) =>
  [...text.matchAll(pattern)].map(([, label = ""]) => label);

/** Alerts by name, each with its expression. */
export function readAlerts(): readonly Query[] {
  return readDoc("alerts.yml").split(/^ {6}- alert: /m).slice(1).map((text) => {
    const [where = ""] = text.split("\n");
    const [, block, line] = /^ +expr: (?:\|\n((?: {10}.*\n)+)|(.*)\n)/m.exec(text) ?? [];
    const expression = (block ?? line ?? "").trim();
    assert.notEqual(expression, "", where);
    return { where, expression, shown: shownIn(text, /\$labels\.(\w+)/g) };
  });
}

/** Panels of the dashboard, each with what it asks for. */
export function readPanels(): readonly Query[] {
  const { panels } = JSON.parse(readDoc("grafana-dashboard.json")) as {
    readonly panels: readonly {
      readonly title: string;
      readonly targets?: readonly { readonly expr: string; readonly legendFormat?: string }[];
    }[];
  };
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr, legendFormat = "" }) => ({
      where: title,
      expression: expr,
      shown: shownIn(legendFormat, /\{\{\s*(\w+)\s*\}\}/g),
    }))
  );
}

interface Matcher {
  readonly label: string;
  readonly values: readonly string[];
}

function matchersIn(braces: string): readonly Matcher[] {
  return [...braces.matchAll(/(\w+)(=~|!~|!=|=)"([^"]*)"/g)].map((
    [, label = "", how, text = ""],
  ) => ({
    label,
    values: how?.endsWith("~") ? text.split("|") : [text],
  }));
}

/** Metrics in an expression, with what is asked of their labels. */
function selectorsIn(expression: string) {
  return [...expression.matchAll(/\b((?:pki|process)_\w+|up)\b(?:\{([^}]*)\})?/g)]
    .map(([, name = "", braces = ""]) => ({ name, matchers: matchersIn(braces) }));
}

/** The labels that an expression groups or joins by. */
function groupedBy(expression: string): readonly string[] {
  return [...expression.matchAll(/\b(?:by|on|group_left)\s*\(([^)]*)\)/g)]
    .flatMap(([, labels = ""]) => labels.split(",").map((label) => label.trim()))
    .filter((label) => label !== "");
}

/**
 * What a query asks for that is not served: a metric, a label, a value of one.
 * @param mayBeAbsent metrics that a server does not have at every time
 */
export function findUnserved(
  { where, expression, shown }: Query,
  samples: readonly Sample[],
  mayBeAbsent: readonly string[] = [],
): readonly string[] {
  const wrong: string[] = [];
  const selectors = selectorsIn(expression).filter(({ name }) => name !== "up");
  if (selectors.length === 0 && !/\bup\{/.test(expression)) wrong.push("it asks for nothing");
  const served = new Set(OWN_LABELS);
  for (const { name, matchers } of selectors) {
    const found = samples.filter((sample) => sample.name === name);
    if (found.length === 0) {
      if (!mayBeAbsent.includes(name)) wrong.push(`there is no ${name}`);
      continue;
    }
    for (const { labels } of found) Object.keys(labels).forEach((label) => served.add(label));
    for (const { label, values } of matchers) {
      if (OWN_LABELS.includes(label)) continue;
      const known = [...found.map(({ labels }) => labels[label]), ...POSSIBLE[name]?.[label] ?? []];
      if (found.every(({ labels }) => labels[label] === undefined)) {
        wrong.push(`${name} has no label ${label}`);
      }
      for (const value of values) {
        if (!known.includes(value)) wrong.push(`${name} has no ${label}="${value}"`);
      }
    }
  }
  for (const label of [...groupedBy(expression), ...shown]) {
    if (!served.has(label)) wrong.push(`nothing has a label ${label}`);
  }
  return wrong.map((what) => `${where}: ${what}`);
}

/** Samples of the text form. */
export function parseExposition(text: string): readonly Sample[] {
  return text.split("\n").flatMap((line) => {
    const [, name, braces = ""] = /^(\w+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    if (name === undefined) return [];
    const labels = matchersIn(braces).map(({ label, values: [value = ""] }) => [label, value]);
    return [{ name, labels: Object.fromEntries(labels) }];
  });
}
