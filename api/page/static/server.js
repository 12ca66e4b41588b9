// Asks the server. The browser sends the cookie of the admin session, which no script can read.

import { visible } from "./texts.js";

const PATIENCE_MS = 20_000; // longer than the server's own timeout

/** What stands before /admin in the page's address: the prefix that a proxy strips. */
export const PREFIX = location.pathname.replace(/\/admin(\/(index\.html)?)?$/, "");

/** A failed request: its status (0 if the server cannot be reached) and the error of the server. */
export class NoAnswer extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** The JSON at a path of /api/admin, whose texts can all be seen. Throws NoAnswer. */
export async function ask(path, { signal, method = "GET", body } = {}) {
  const sent = body && { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const late = AbortSignal.timeout(PATIENCE_MS);
  let response;
  try {
    // keeps figures out of the browser's cache on disk
    const either = signal ? AbortSignal.any([signal, late]) : late;
    response = await fetch(`${PREFIX}/api/admin${path}`, { ...sent, method, signal: either, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new NoAnswer(0, "");
  }
  const answer = await response
    .text()
    .then((json) => JSON.parse(json, (_, value) => (typeof value === "string" ? visible(value) : value)))
    .catch(() => null);
  if (!response.ok) throw new NoAnswer(response.status, answer?.error ?? String(response.status));
  if (answer === null) throw new NoAnswer(0, "");
  return answer;
}
