// Prints the TypeScript types of the schema public as `supabase gen types` does, with the library that the CLI runs in a
// container. Takes the URL of the database from DATABASE_URL.
import { generateTypescript, introspect, sortGeneratorMetadata } from "@supabase/postgrest-typegen";
import pg from "pg";
import { connectionOptions } from "./connections.mjs";

const pool = new pg.Pool(connectionOptions(process.env.DATABASE_URL));
try {
  const schema = sortGeneratorMetadata(await introspect(pool, { includedSchemas: ["public"] }));
  process.stdout.write(await generateTypescript(schema, { detectOneToOneRelationships: true }));
} finally {
  await pool.end();
}
