// Compiles only if supabase/types/database.ts fits supabase-js and the schema. tests/clients/test_types.py compiles it.
import { createClient } from "@supabase/supabase-js";
import type { Database } from "../../supabase/types/database.ts";

const supabase = createClient<Database>("http://127.0.0.1", "key");

const { data: vouchers } = await supabase.from("vouchers").select("id, price_amount, voucher_bookings(slot_start)");
for (const { id, price_amount, voucher_bookings } of vouchers ?? []) {
  const amount: number | null = price_amount;
  const starts: string[] = voucher_bookings.map(({ slot_start }) => slot_start);
  console.log(id.length, amount, starts);
}

await supabase.rpc("book_voucher", { voucher_id: "v-garden", slot_start: "2030-01-09T10:00:00Z" });
// @ts-expect-error the function needs a slot
await supabase.rpc("book_voucher", { voucher_id: "v-garden" });
// @ts-expect-error there is no such table
await supabase.from("nosuch").select();
