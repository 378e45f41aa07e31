/** What can be told from a statement's text without compiling it. */

/**
 * Leading white space as SQLite has it, comments and empty statements. Not anchored at its end:
 * it would try every way to divide a line of dashes into comments.
 */
const BLANKS = /^(?:[ \t\n\f\r\ufeff;]|--[^\n]*|\/\*[^]*?(?:\*\/|$))*/;

/** The text from its first token on; empty if there is none. */
export function trimBlanks(sql: string): string {
  return sql.replace(BLANKS, "");
}

/** Whether running this may change what other statements mean; rather too often than too rarely. */
export function touchesSchema(sql: string): boolean {
  return /\b(?:create|alter|drop|attach|detach|rollback|pragma|vacuum|reindex|analyze)\b/i.test(
    sql,
  );
}

/** In small letters: `select`, `insert`, `with`, … */
export function firstWord(sql: string): string {
  return /^\w*/.exec(trimBlanks(sql))?.[0].toLowerCase() ?? "";
}

/** The text without `EXPLAIN` or `EXPLAIN QUERY PLAN` before it. */
export function withoutExplain(sql: string): string {
  const rest = trimBlanks(sql);
  if (firstWord(rest) !== "explain") return rest;
  const explained = trimBlanks(rest.slice("explain".length));
  if (firstWord(explained) !== "query") return explained;
  return trimBlanks(trimBlanks(explained.slice("query".length)).slice("plan".length));
}
