// A test double of PostgREST, for machines that have none: @supabase/lite reads the tables, and what it does otherwise
// than PostgREST (transactions, errors, tokens, POST /rpc) is done here. Serves <URL>/rest/v1 and prints the URL.
//
// It takes PostgREST's own settings from the environment. OWNER_URI is a second connection that may see the whole
// catalog: lite reads the information_schema, which shows the authenticator nothing. It ends when its standard input does.
import { AsyncLocalStorage } from "node:async_hooks";
import { serve } from "@hono/node-server";
import { App } from "@supabase/lite";
import { PostgresConnection } from "@supabase/lite/postgres";
import { errors, jwtVerify } from "jose";
import { Kysely, PostgresDialect, sql } from "kysely";
import pg from "pg";

const SCHEMA = process.env.PGRST_DB_SCHEMAS;
const ANON = process.env.PGRST_DB_ANON_ROLE;
const SECRET = new TextEncoder().encode(process.env.PGRST_JWT_SECRET);
// clock skew, as in PostgREST
const CLOCK_SKEW = 30;

// PostgREST's published table from SQLSTATE to status, most specific first; other codes are 400
const STATUS = [
  [/^(08|53(?!400)|57P01)/, 503],
  [/^(23503|23505)$/, 409],
  [/^25006$/, 405],
  [/^(0L|0P|28)/, 403],
  [/^(42883|42P01)$/, 404],
  [/^P0001$/, 400],
  [/^(09|21000|25|2D|38|39|3B|40|42P17|53400|54|55|57|58|F0|HV|P0|XX)/, 500],
];

/** The claims of the request that is being answered. */
const asking = new AsyncLocalStorage();

function refuse(status, code, message, details = null, hint = null) {
  return Response.json({ code, details, hint, message }, { status });
}

function statusOf({ code, message }) {
  const { claims } = asking.getStore();
  if (code === "42501") return claims.role === ANON ? 401 : 403;
  if (code === "22023" && /^role .* does not exist$/.test(message)) return 401;
  const chosen = /^PT(\d{3})$/.exec(code);
  if (chosen) return Number(chosen[1]);
  return STATUS.find(([codes]) => codes.test(code))?.[1] ?? 400;
}

/** The answer to an error of the database; every other error is a bug, and thrown. */
function refuseAsPostgrest(error) {
  const { code, message, severity, detail, hint } = error;
  if (severity && code !== "57P03") return refuse(statusOf(error), code, message, detail, hint);
  if (/^(57P03|ECONNREFUSED|ENOENT)$/.test(code))
    return refuse(503, "PGRST000", "Database connection error. Retrying the connection.", message);
  if (/^(ECONNRESET|EPIPE)$/.test(code) || /^Connection terminated|not queryable$/.test(message))
    return refuse(503, "PGRST001", "Database client error. Retrying the connection.", message);
  if (message === "timeout exceeded when trying to connect")
    return refuse(504, "PGRST003", "Timed out acquiring connection from connection pool.");
  throw error;
}

/** What PostgREST sets for each transaction. */
function setUp(claims) {
  return sql`select set_config('role', ${claims.role}, true),
    set_config('request.jwt.claims', ${JSON.stringify(claims)}, true), set_config('search_path', ${SCHEMA}, true)`;
}

function connectionOptions(uri) {
  // JavaScript refuses a URL without a host
  const url = new URL(uri.replace("@/", "@localhost/"));
  return {
    host: url.searchParams.get("host") ?? url.hostname,
    port: Number(url.port || 5432),
    user: url.username,
    password: url.password,
    database: url.pathname.slice(1),
  };
}

// values as PostgREST returns them: the database's own JSON
const asNumber = (text) => (Number.isFinite(Number(text)) ? Number(text) : text);
const asIso = (time) => time.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00");
const { INT8, NUMERIC, DATE, TIMESTAMP, TIMESTAMPTZ } = pg.types.builtins;
const PARSERS = {
  [INT8]: asNumber,
  [NUMERIC]: asNumber,
  [DATE]: String,
  [TIMESTAMP]: asIso,
  [TIMESTAMPTZ]: asIso,
};

/**
 * The connections as authenticator. Overrides what lite does otherwise, its grants of everything to everybody too, and
 * its driver: it does not survive when the server ends in the middle of a transaction.
 */
class Authenticator extends PostgresConnection {
  #catalog;

  constructor(uri, catalog) {
    super({});
    const pool = new pg.Pool({
      ...connectionOptions(uri),
      max: 16,
      connectionTimeoutMillis: 10_000,
      options: "-c TimeZone=UTC",
      types: { getTypeParser: (oid, format) => PARSERS[oid] ?? pg.types.getTypeParser(oid, format) },
    });
    // a broken connection fails for its user only, and must not end the process
    pool.on("error", () => {});
    pool.on("connect", (client) => client.on("error", () => {}));
    this.kysely = new Kysely({ dialect: new PostgresDialect({ pool }) });
    this.#catalog = catalog;
  }

  async introspect() {
    return (await this.#catalog.read()).tables;
  }

  async withContext(_, work) {
    const { claims, readOnly } = asking.getStore();
    const transaction = this.kysely.transaction().setAccessMode(readOnly ? "read only" : "read write");
    try {
      return await transaction.execute(async (connection) => {
        await setUp(claims).execute(connection);
        return work(connection);
      });
    } catch (error) {
      return refuseAsPostgrest(error);
    }
  }
}

/** The tables, as lite describes them, and the functions; read with the first request that can. */
class Catalog {
  #contents;

  read() {
    this.#contents ??= this.#ask().catch((error) => {
      this.#contents = undefined;
      throw error;
    });
    return this.#contents;
  }

  async #ask() {
    const owner = new PostgresConnection({ postgresOptions: { ...connectionOptions(process.env.OWNER_URI), max: 1 } });
    try {
      // fails where there is no database; lite would take it for an empty one
      const { rows } = await sql`
        select p.proname as name, p.provolatile <> 'v' as read_only, p.proretset as returns_set,
               p.prorettype = 'void'::regtype as returns_void,
               coalesce(json_object_agg(p.proargnames[n], format_type(t, null)) filter (where n > 0), '{}') as types,
               coalesce(json_agg(p.proargnames[n]) filter (where n <= p.pronargs - p.pronargdefaults), '[]') as required
        from pg_proc p left join unnest(p.proargtypes) with ordinality as a (t, n) on true
        where p.pronamespace = ${SCHEMA}::regnamespace and (p.pronargs = 0 or p.proargnames is not null)
        group by p.oid`.execute(owner.kysely);
      const tables = await owner.introspect();
      // a foreign key is one to one by a constraint; lite would take a partial unique index for one
      const constraints = new Set(tables.unique_constraints.map(({ table, name }) => `${table}.${name}`));
      tables.indexes = tables.indexes.filter(({ table, name }) => constraints.has(`${table}.${name}`));
      return { functions: rows, tables };
    } finally {
      await owner.close();
    }
  }

  /** The function that takes these arguments; undefined where there is none. */
  async find(name, given) {
    const { functions } = await this.read();
    return functions.find(
      ({ name: its, types, required }) =>
        its === name && given.every((argument) => argument in types) && required.every((r) => given.includes(r)),
    );
  }
}

/** POST /rpc, as PostgREST does it: the database itself reads the arguments from JSON and writes the answer as JSON. */
async function call(name, request) {
  const body = (await request.text()) || "{}";
  let given;
  try {
    given = Object.keys(JSON.parse(body)).sort();
  } catch {
    return refuse(400, "PGRST102", "Empty or invalid json");
  }
  try {
    const found = await catalog.find(name, given);
    if (!found) return refuseUnknown(`${SCHEMA}.${name}`, given);
    const { types, read_only, returns_set, returns_void } = found;
    const named = sql.join(given.map((a) => sql`${sql.ref(a)} => ${sql.ref(`arguments.${a}`)}`));
    const columns = sql.join(given.map((a) => sql`${sql.ref(a)} ${sql.raw(types[a])}`));
    const source = given.length > 0 ? sql`from json_to_record(${body}::text::json) as arguments (${columns})` : sql``;
    const results = sql`(select ${sql.ref(`${SCHEMA}.${name}`)}(${named}) as result ${source}) as results`;
    const json = returns_set ? sql`coalesce(json_agg(result), '[]')` : sql`coalesce(json_agg(result) -> 0, 'null')`;
    const { claims } = asking.getStore();
    const transaction = authenticator.kysely.transaction().setAccessMode(read_only ? "read only" : "read write");
    const { rows } = await transaction.execute(async (connection) => {
      await setUp(claims).execute(connection);
      return sql`select ${returns_void ? sql`count(result)` : json}::text as body from ${results}`.execute(connection);
    });
    if (returns_void) return new Response(null, { status: 204 });
    return new Response(rows[0].body, { headers: { "Content-Type": "application/json; charset=utf-8" } });
  } catch (error) {
    return refuseAsPostgrest(error);
  }
}

function refuseUnknown(name, given) {
  const signature = given.length > 0 ? `${name}(${given.join(", ")})` : `${name} without parameters`;
  const searched = given.length > 0 ? `${name} with parameters ${given.join(", ")}` : `${name} without parameters`;
  return refuse(
    404,
    "PGRST202",
    `Could not find the function ${signature} in the schema cache`,
    `Searched for the function ${searched} or with a single unnamed json/jsonb parameter, ` +
      "but no matches were found in the schema cache.",
  );
}

/** The claims of the token, with a role; anon's where there is no token. Throws jose's errors. */
async function claimsOf(request) {
  const [scheme, token] = (request.headers.get("Authorization") ?? "").split(" ");
  if (scheme.toLowerCase() !== "bearer") return { role: ANON };
  const options = { algorithms: ["HS256"], clockTolerance: CLOCK_SKEW };
  const { payload } = await jwtVerify(token ?? "", SECRET, options);
  if (payload.iat > Date.now() / 1000 + CLOCK_SKEW) throw new errors.JWTExpired("JWT issued at future", payload);
  return { role: ANON, ...payload };
}

async function answer(request) {
  let claims;
  try {
    claims = await claimsOf(request);
  } catch (error) {
    if (!(error instanceof errors.JOSEError)) throw error;
    if (error instanceof errors.JWTExpired) return refuse(401, "PGRST303", "JWT expired");
    return refuse(401, "PGRST301", "No suitable key or wrong key type");
  }
  const { pathname } = new URL(request.url);
  const readOnly = ["GET", "HEAD"].includes(request.method);
  return asking.run({ claims, readOnly }, async () => {
    try {
      await catalog.read();
    } catch (error) {
      console.error(error);
      return refuse(503, "PGRST002", "Could not query the database for the schema cache. Retrying.");
    }
    const [, name] = /^\/rest\/v1\/rpc\/([^/]+)$/.exec(pathname) ?? [];
    if (name && request.method === "POST") return call(decodeURIComponent(name), request);
    // lite would check the token again, without tolerance for clock skew
    request.headers.delete("Authorization");
    return app.fetch(request);
  });
}

const catalog = new Catalog();
const authenticator = new Authenticator(process.env.PGRST_DB_URI, catalog);
const app = new App({
  connection: authenticator,
  api: { enabled: true, schemas: [SCHEMA], max_rows: Number(process.env.PGRST_DB_MAX_ROWS) },
  auth: { enabled: false },
  options: { server: { apiKeys: false, admin: false } },
});
process.stdin.resume().on("end", () => process.exit());
serve({ fetch: answer, hostname: "127.0.0.1", port: 0 }, ({ port }) => console.log(`http://127.0.0.1:${port}`));
