// Asks the server, with the proof that the reader gave.

import { visible } from "./texts.js";

const KEPT = "ts-admin-proof"; // for this tab only
const PATIENCE_MS = 20_000; // longer than the server's own timeout

/** What stands before /admin in the page's address: the prefix that a proxy strips. */
const PREFIX = location.pathname.replace(/\/admin(\/(index\.html)?)?$/, "");

/** A failed request: its status (0 if the server cannot be reached) and the error of the server. */
export class NoAnswer extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** The stored credential, {kind: "key" | "token", secret}; null if none was needed. */
export function proof() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null; // damaged: treated as missing
  }
}

export const keepProof = (given) => sessionStorage.setItem(KEPT, JSON.stringify(given));

export const forgetProof = () => sessionStorage.removeItem(KEPT);

/** The JSON at a path of /api/admin, whose texts can all be seen. Throws NoAnswer. */
export async function ask(path, { signal, given = proof() } = {}) {
  const headers = {};
  if (given?.kind === "key") headers["X-TS-APIKEY"] = inBytes(given.secret);
  if (given?.kind === "token") headers.Authorization = `Bearer ${inBytes(given.secret)}`;
  const late = AbortSignal.timeout(PATIENCE_MS);
  let response;
  try {
    // keeps figures out of the browser's cache on disk
    const either = signal ? AbortSignal.any([signal, late]) : late;
    response = await fetch(`${PREFIX}/api/admin${path}`, { headers, signal: either, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new NoAnswer(0, "");
  }
  const body = await response
    .text()
    .then((json) => JSON.parse(json, (_, value) => (typeof value === "string" ? visible(value) : value)))
    .catch(() => null);
  if (!response.ok) throw new NoAnswer(response.status, body?.error ?? String(response.status));
  if (body === null) throw new NoAnswer(0, "");
  return body;
}

/** Encodes a text for a header, one character for each byte of its UTF-8: fetch accepts no other form. */
const inBytes = (text) => String.fromCharCode(...new TextEncoder().encode(text));
