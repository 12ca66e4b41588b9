// supabase-js against the Data API. tests/clients/test_javascript.py starts the project and inserts the scene.
import assert from "node:assert/strict";
import { test } from "node:test";
import { createClient } from "@supabase/supabase-js";

const { SUPABASE_URL, SUPABASE_ANON_KEY, ANNAS_TOKEN, BENS_TOKEN, EXPIRED_TOKEN } = process.env;

const client = (token) => createClient(SUPABASE_URL, SUPABASE_ANON_KEY, token && { accessToken: async () => token });
const [anon, anna, ben] = [client(), client(ANNAS_TOKEN), client(BENS_TOKEN)];

/** The data of an answer without an error. */
async function dataOf(query) {
  const { data, error } = await query;
  assert.equal(error, null);
  return data;
}

test("anon sees open offers only", async () => {
  assert.deepEqual(await dataOf(anon.from("vouchers").select("id, valid_from").order("id")), [
    { id: "v-consulting", valid_from: "2030-01-07T09:00:00+00:00" },
    { id: "v-viewing", valid_from: "2030-01-08T14:00:00+00:00" },
  ]);
  const { status, error } = await anon.from("voucher_bookings").select();
  assert.equal(status, 401);
  assert.equal(error.code, "42501");
});

test("filters, order, limit and range", async () => {
  const ids = async (refine) => (await dataOf(refine(ben.from("vouchers").select("id")))).map(({ id }) => id);
  assert.deepEqual(await ids((q) => q.order("valid_from", { ascending: false })), [
    "v-garden",
    "v-viewing",
    "v-consulting",
  ]);
  assert.deepEqual(await ids((q) => q.eq("status", "booked")), ["v-garden"]);
  assert.deepEqual(await ids((q) => q.gt("valid_from", "2030-01-07T09:00:00Z").order("id").limit(1)), ["v-garden"]);
  assert.deepEqual(await ids((q) => q.order("id").range(1, 1)), ["v-garden"]);
  assert.deepEqual(await ids((q) => q.or("status.eq.booked,price_amount.is.null").order("id")), [
    "v-garden",
    "v-viewing",
  ]);
  assert.deepEqual(await ids((q) => q.not("price_amount", "is", null).ilike("title", "%garten%")), ["v-garden"]);
  assert.deepEqual(await ids((q) => q.contains("terms", { template: "viewing" })), ["v-viewing"]);
});

test("one row, or none", async () => {
  const one = ben.from("vouchers").select("id").eq("id", "v-garden").single();
  assert.deepEqual(await dataOf(one), { id: "v-garden" });
  assert.equal(await dataOf(anon.from("vouchers").select("id").eq("id", "v-garden").maybeSingle()), null);
  const { status, error } = await anon.from("vouchers").select("id").eq("id", "v-garden").single();
  assert.equal(status, 406);
  assert.equal(error.code, "PGRST116");
});

test("count", async () => {
  const some = await ben.from("vouchers").select("id", { count: "exact" }).order("id").limit(1);
  assert.deepEqual([some.count, some.data], [3, [{ id: "v-consulting" }]]);
  const none = await anon.from("vouchers").select("*", { count: "exact", head: true });
  assert.deepEqual([none.count, none.data], [2, null]);
});

test("embedding", async () => {
  const booked = "id, voucher_bookings!inner(slot_start, holder:thinkers!holder_id(public_id))";
  assert.deepEqual(await dataOf(ben.from("vouchers").select(booked)), [
    {
      id: "v-garden",
      voucher_bookings: [{ slot_start: "2030-01-09T10:00:00+00:00", holder: { public_id: "clara" } }],
    },
  ]);
  const best = ben
    .from("mortgage_applications")
    .select("id, properties(id), mortgage_offers(interest_rate, lender:thinkers(public_id))")
    .order("interest_rate", { referencedTable: "mortgage_offers" });
  assert.deepEqual(await dataOf(best), [
    {
      id: "app-house",
      properties: { id: "house-123" },
      mortgage_offers: [
        { interest_rate: 0.0298, lender: { public_id: "coop" } },
        { interest_rate: 0.0315, lender: { public_id: "bank" } },
      ],
    },
  ]);
});

test("functions write as the caller", async () => {
  const slot = { voucher_id: "v-viewing", slot_start: "2030-01-08T15:00:00Z" };
  const { booking } = await dataOf(ben.rpc("book_voucher", slot));
  try {
    const mine = ben.from("voucher_bookings").select("status, vouchers(title)").eq("id", booking.id).single();
    assert.deepEqual(await dataOf(mine), { status: "booked", vouchers: { title: "Besichtigung Gartenhaus" } });
    const { status, error } = await anna.rpc("book_voucher", slot);
    assert.deepEqual([status, error.code, error.message], [409, "PT409", "slot_taken"]);
  } finally {
    await dataOf(ben.rpc("cancel_booking", { booking_id: booking.id, reason: "krank" }));
  }
  assert.equal(await dataOf(anon.rpc("ping")), true);
});

test("an error keeps status and code", async () => {
  const refused = async (query) => {
    const { data, status, error } = await query;
    assert.equal(data, null);
    return [status, error.code, error.message];
  };
  assert.deepEqual(await refused(ben.rpc("book_voucher", { voucher_id: "v-nosuch", slot_start: null })), [
    404,
    "PT404",
    "voucher_not_found",
  ]);
  assert.deepEqual(await refused(anna.rpc("accept_mortgage_offer", { offer_id: "offer-bank" })), [
    403,
    "PT403",
    "not_the_offers_borrower",
  ]);
  assert.deepEqual(await refused(ben.from("vouchers").update({ title: "x" }).eq("id", "v-garden")), [
    403,
    "42501",
    "permission denied for table vouchers",
  ]);
  assert.deepEqual(await refused(anon.from("vouchers").insert({ id: "x" })), [
    401,
    "42501",
    "permission denied for table vouchers",
  ]);
  assert.deepEqual(await refused(client(EXPIRED_TOKEN).from("vouchers").select()), [401, "PGRST303", "JWT expired"]);
  assert.deepEqual((await refused(ben.rpc("nosuch", { a: 1 }))).slice(0, 2), [404, "PGRST202"]);
  assert.deepEqual((await refused(ben.from("nosuch").select())).slice(0, 2), [404, "PGRST205"]);
});
