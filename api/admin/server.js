// Asks the server, with the proof that the reader gave.

const KEPT = "ts-admin-proof"; // for this tab only

/** Why the server did not answer: its status (0 where it cannot be reached) and its sentence. */
export class NoAnswer extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

/** What the reader signed in with, {kind: "key" | "token", secret}; null where that was not needed. */
export const proof = () => JSON.parse(sessionStorage.getItem(KEPT));

export const keepProof = (given) => sessionStorage.setItem(KEPT, JSON.stringify(given));

export const forgetProof = () => sessionStorage.removeItem(KEPT);

/** The JSON at a path of /api/admin. Throws NoAnswer. */
export async function ask(path, { signal, given = proof() } = {}) {
  const headers = {};
  if (given?.kind === "key") headers["X-TS-APIKEY"] = inBytes(given.secret);
  if (given?.kind === "token") headers.Authorization = `Bearer ${inBytes(given.secret)}`;
  let response;
  try {
    // figures are not for the browser's disk
    response = await fetch(`/api/admin${path}`, { headers, signal, cache: "no-store" });
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
