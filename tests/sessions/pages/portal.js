// The calls of the portal's pages: each returns [status, body].

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

function userId() {
  const kept = localStorage.getItem("mot_user_id_v1");
  if (kept) return kept;
  const random = crypto.getRandomValues(new Uint8Array(22));
  const made = [...random].map((n) => LETTERS[n % LETTERS.length]).join("");
  localStorage.setItem("mot_user_id_v1", made);
  return made;
}

async function call(path, options) {
  const answer = await fetch(path, options);
  return [answer.status, await answer.json()];
}

const get = (path, headers = {}) => call(path, { headers });

const post = (path, body, headers = {}) =>
  call(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body: JSON.stringify(body),
  });

const mot = () => ({ "X-MOT-User": userId() });

const verify = (token) => post("/api/presence/verify", { token, sig: null, ts: null });
const heartbeat = (thinker, code) =>
  post("/api/presence/heartbeat", { thinker_id: thinker, pair_code: code, status: "online" });
const match = (thinker, code) => post("/api/presence/match", { thinker_id: thinker, pair_code: code });

const issue = (title) =>
  post("/api/voucher/issue", {
    issuerUid: userId(),
    serviceType: "consulting",
    title,
    description: "",
    durationMinutes: 60,
    validFrom: new Date(Date.now() + 3600_000).toISOString(),
    validUntil: new Date(Date.now() + 7 * 86_400_000).toISOString(),
    transferable: true,
    terms: { template: "consulting" },
  });
const issued = (uid = userId()) => get(`/api/voucher/list?issuerUid=${uid}`);
const held = (uid = userId()) => get(`/api/voucher/list?holderUid=${uid}`);
const slots = (voucher) => get(`/api/slots/available?voucherId=${voucher}`);
const book = (voucher, slot) =>
  post("/api/voucher/book", { voucherId: voucher, slotId: slot, holderUid: userId() });
const bookings = (uid = userId()) => get(`/api/voucher/bookings?holderUid=${uid}`);
const cancel = (voucher) => post("/api/voucher/cancel", { voucherId: voucher });

const apply = () =>
  post(
    "/api/mortgage/application",
    {
      propertyId: "house-1",
      desiredLoan: { amount: 25_000_000, currency: "EUR" },
      desiredDurationYears: 20,
      desiredRateType: "fixed",
      maxInterestRate: 0.04,
      meta: { source: "portal" },
    },
    mot(),
  );
const applications = () => get("/api/mortgage/application-list?role=borrower", mot());
const offers = () => get("/api/mortgage/offer-list?role=borrower", mot());

const telemetry = () =>
  post("/api/telemetry", [{ type: "page.view", path: location.pathname, actorUid: userId(), meta: {} }]);

function upload(fields) {
  const body = new FormData();
  body.append("file", new Blob(["deed"], { type: "text/plain" }), "deed.txt");
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  return call("/api/contracts/upload", { method: "POST", body });
}
const contracts = (voucher) => get(`/api/contracts/list?voucherId=${voucher}`);

const transfer = () =>
  post("/api/telbank/transfers", {
    direction: "in",
    label: "Fiat",
    walletAddress: null,
    network: "Unknown",
    cryptoAmount: 0.1,
    cryptoSymbol: "ETH",
    fiatAmount: 250,
    fiatCurrency: "EUR",
    externalAccount: null,
    meta: { source: "tpga-telbank-console" },
  });
const transfers = () => get("/api/telbank/transfers?walletAddress=&direction=");

// On its first load the portal issues vouchers, lists its own, and reports, all at once.
const firstLoad = () => Promise.all([issue("a"), issue("b"), issued(), bookings(), telemetry(), transfers()]);

let socket;
const heard = [];

// joins the chat of a room; returns whether it opened
const joinRoom = (room, thinker, host = location.host) =>
  new Promise((resolve) => {
    socket = new WebSocket(`wss://${host}/ws`);
    socket.onmessage = (event) => heard.push(JSON.parse(event.data));
    socket.onerror = () => resolve(false);
    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "join", room_id: room, thinker_id: thinker }));
      resolve(true);
    };
  });
const say = (text, thinker) => socket.send(JSON.stringify({ type: "message", thinker_id: thinker, payload: { text } }));
const texts = () => heard.filter((m) => m.type === "message").map((m) => [m.from, m.payload.text]);
