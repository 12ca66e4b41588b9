// Asks the server, with the proof that the reader gave.

const KEPT = "ts-admin-proof"; // for this tab only
const PATIENCE_MS = 20_000; // the server itself gives up earlier

/** Why the server did not answer: its status (0 where it cannot be reached) and its sentence. */
export class NoAnswer extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** What the reader signed in with, {kind: "key" | "token", secret}; null where that was not needed. */
export function proof() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT));
  } catch {
    return null; // damaged: as if there were none
  }
}

export const keepProof = (given) => sessionStorage.setItem(KEPT, JSON.stringify(given));

export const forgetProof = () => sessionStorage.removeItem(KEPT);

/** The JSON at a path of /api/admin. Throws NoAnswer. */
export async function ask(path, { signal, given = proof() } = {}) {
  const headers = {};
  if (given?.kind === "key") headers["X-TS-APIKEY"] = inBytes(given.secret);
  if (given?.kind === "token") headers.Authorization = `Bearer ${inBytes(given.secret)}`;
  const late = AbortSignal.timeout(PATIENCE_MS);
  let response;
  try {
    // figures are not for the browser's disk
    const either = signal ? AbortSignal.any([signal, late]) : late;
    response = await fetch(`/api/admin${path}`, { headers, signal: either, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new NoAnswer(0, "");
  }
  const body = await response.json().catch(() => null);
  if (!response.ok) throw new NoAnswer(response.status, body?.error ?? String(response.status));
  if (body === null) throw new NoAnswer(0, "");
  return body;
}

/** A text as a header carries it: a character for each byte of its UTF-8, for which fetch has no other way. */
const inBytes = (text) => String.fromCharCode(...new TextEncoder().encode(text));
