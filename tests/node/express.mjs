// The routes of tests/bench in Express, which keep the same in Maps: no rules, no file, no database. Prints its URL; the
// environment has the sizes of the data (tests/bench/world.py).
import { randomUUID } from "node:crypto";
import express from "express";

const HOUR = 3_600_000;
const EVENTS_KEPT = 10_000;
const { holders, begins } = process.env;
const first = begins * 1000;
const iso = (time) => new Date(time).toISOString();

const sessions = new Map();
const vouchers = new Map();
const bookings = new Map();
const transfers = new Map();
const taken = new Set();
const bookingsOf = new Map();
const events = [];

function log(type, actorId, subjectType, subjectId, meta) {
  events.push({ id: randomUUID(), type, actorId, subjectType, subjectId, meta, createdAt: iso(Date.now()) });
  if (events.length > 2 * EVENTS_KEPT) events.splice(0, EVENTS_KEPT);
}

function offer(id, issuerUid, from, until, title, price) {
  const voucher = {
    voucherId: id,
    issuerUid,
    holderUid: null,
    serviceType: "generic.service",
    title,
    description: "",
    durationMinutes: 60,
    validFrom: from,
    validUntil: until,
    allowedSlots: [],
    price,
    terms: {},
    transferable: false,
    status: "issued",
    createdAt: iso(Date.now()),
  };
  vouchers.set(id, voucher);
  return voucher;
}

function book(voucher, start, holderUid) {
  const slotId = `slot-${iso(start)}`;
  if (taken.has(voucher.voucherId + slotId)) return null;
  const booking = {
    bookingId: `b-${randomUUID()}`,
    voucherId: voucher.voucherId,
    issuerUid: voucher.issuerUid,
    holderUid,
    slotId,
    slotStart: iso(start),
    slotEnd: iso(start + HOUR),
    status: "booked",
    createdAt: iso(Date.now()),
  };
  taken.add(voucher.voucherId + slotId);
  bookings.set(booking.bookingId, booking);
  if (!bookingsOf.has(holderUid)) bookingsOf.set(holderUid, []);
  bookingsOf.get(holderUid).push(booking);
  return booking;
}

for (const [kind, number, hours] of [
  ["open", 100, 322],
  ["book", 1000, 8760],
]) {
  for (let n = 0; n < number; n++) {
    const price = { amount: 12_000, currency: "EUR" };
    const voucher = offer(`${kind}-${n}`, "thinker-0", iso(first), iso(first + hours * HOUR), "Beratung", price);
    if (kind === "open") book(voucher, first, "thinker-0");
  }
}
for (let n = 0; n < holders * 20; n++) {
  const voucher = offer(`v${n}`, "t1", iso(first), iso(first + HOUR), "Beratung", null);
  book(voucher, first, `t${1 + (n % holders)}`);
}
for (let n = 0; n < 1000; n++) {
  const pairCode = `paired-${Math.floor(n / 2)}`;
  sessions.set(`paired-${n}`, { pairCode, status: "online", roomId: `room-${pairCode}`, lastSeen: Date.now() });
  log("presence.heartbeat", `paired-${n}`, "presence_session", `paired-${n}`, { pairCode, status: "online" });
}

const app = express();
app.disable("x-powered-by");
app.use(express.json());

app.post("/api/presence/heartbeat", ({ body }, answer) => {
  const { thinker_id: thinker, pair_code: pairCode, status } = body;
  const seen = { ...sessions.get(thinker), pairCode, status, lastSeen: Date.now() };
  sessions.set(thinker, seen);
  log("presence.heartbeat", thinker, "presence_session", thinker, { pairCode, status });
  answer.json({ ok: true, last_seen: seen.lastSeen });
});

app.post("/api/presence/match", ({ body }, answer) => {
  const own = sessions.get(body.thinker_id);
  answer.json({ ok: true, room_id: own?.pairCode === body.pair_code ? own.roomId : null });
});

app.post("/api/voucher/issue", ({ body }, answer) => {
  const { issuerUid, validFrom, validUntil, title, price } = body;
  const voucher = offer(`v-${randomUUID()}`, issuerUid, validFrom, validUntil, title, { ...price, currency: "EUR" });
  log("voucher.issue", issuerUid, "voucher", voucher.voucherId, { serviceType: voucher.serviceType });
  answer.json({ ok: true, voucher });
});

app.get("/api/slots/available", ({ query }, answer) => {
  const voucher = vouchers.get(query.voucherId);
  const items = [];
  for (let start = Date.parse(voucher.validFrom); start < Date.parse(voucher.validUntil); start += HOUR) {
    const slotId = `slot-${iso(start)}`;
    if (start > Date.now() && !taken.has(voucher.voucherId + slotId)) {
      items.push({ slotId, voucherId: voucher.voucherId, start: iso(start), end: iso(start + HOUR) });
    }
  }
  answer.json({ ok: true, items });
});

app.post("/api/voucher/book", ({ body }, answer) => {
  const voucher = vouchers.get(body.voucherId);
  const booking = book(voucher, Date.parse(body.slotId.slice("slot-".length)), body.holderUid);
  if (!booking) return answer.status(409).json({ ok: false });
  Object.assign(voucher, { status: "booked", holderUid: body.holderUid });
  log("voucher.book", body.holderUid, "voucher_booking", booking.bookingId, { voucherId: voucher.voucherId });
  answer.json({ ok: true, booking, voucher });
});

app.post("/api/telbank/transfers", ({ body }, answer) => {
  const now = iso(Date.now());
  const transfer = { ...body, id: `in-${randomUUID()}`, meta: {}, status: "logged", createdAt: now, updatedAt: now };
  transfers.set(transfer.id, transfer);
  log("transfer.logged", null, "transfer", transfer.id, { walletAddress: body.walletAddress, direction: "in" });
  answer.json({ ok: true, transfer });
});

app.get("/api/voucher/bookings", ({ query }, answer) => {
  answer.json({ ok: true, items: (bookingsOf.get(query.holderUid) ?? []).toReversed() });
});

app.get("/api/admin/events", (_, answer) => {
  answer.json({ ok: true, items: events.slice(-50).reverse() });
});

const server = app.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
