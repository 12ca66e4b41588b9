// A test double of PostgREST 14, for machines that have none: @supabase/lite reads the tables, and what it does otherwise
// than PostgREST (transactions, errors, tokens, relationships, POST /rpc) is done here. What the double cannot do, it
// answers with 501, so that no test rests on it. Serves <URL>/rest/v1 and prints the URL.
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
import { connectionOptions } from "./connections.mjs";

const SCHEMA = process.env.PGRST_DB_SCHEMAS;
const ANON = process.env.PGRST_DB_ANON_ROLE;
const AUDIENCE = process.env.PGRST_JWT_AUD;
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

/** An answer that ends the work on a request. */
class Refusal extends Error {
  constructor(...refused) {
    super();
    this.response = refuse(...refused);
  }
}

function leaveOut(what) {
  return refuse(501, "DOUBLE", `The double of PostgREST cannot ${what}.`);
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
  // a connection that ends without a farewell has no code
  if (/^(ECONNRESET|EPIPE)$/.test(code) || /^Connection terminated|not queryable$/.test(message))
    return refuse(400, "", "");
  if (message === "timeout exceeded when trying to connect")
    return refuse(504, "PGRST003", "Timed out acquiring connection from connection pool.");
  throw error;
}

/** What PostgREST sets for each transaction; `hoisted` are settings of the function that is called. */
function setUp({ claims, timeZone, method, headers }, roles, hoisted) {
  const settings = Object.entries({ ...roles[claims.role], ...hoisted });
  return sql`select ${sql.join([
    sql`set_config('role', ${claims.role}, true)`,
    sql`set_config('request.jwt.claims', ${JSON.stringify(claims)}, true)`,
    sql`set_config('request.method', ${method}, true)`,
    sql`set_config('request.headers', ${JSON.stringify(headers)}, true)`,
    sql`set_config('search_path', ${SCHEMA}, true)`,
    sql`(select set_config('timezone', name, true) from pg_timezone_names where name = ${timeZone ?? null})`,
    ...settings.map(([name, value]) => sql`set_config(${name}, ${value}, true)`),
  ])}`;
}

/** Calls the function of `db-pre-request`, which may refuse a request, as its caller. */
async function callBefore(connection, roles) {
  const name = roles.authenticator?.["pgrst.db_pre_request"];
  if (name) await sql`select ${sql.id(...name.split("."))}()`.execute(connection);
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
    try {
      return await this.inTransaction(asking.getStore().readOnly, work);
    } catch (error) {
      return refuseAsPostgrest(error);
    }
  }

  /** Does the work in one transaction as the caller. */
  async inTransaction(readOnly, work, hoisted = {}) {
    const { roles } = await this.#catalog.read();
    const transaction = this.kysely.transaction().setAccessMode(readOnly ? "read only" : "read write");
    let first;
    try {
      return await transaction.execute(async (connection) => {
        try {
          await setUp(asking.getStore(), roles, hoisted).execute(connection);
          await callBefore(connection, roles);
          return await work(connection);
        } catch (error) {
          first = error;
          throw error;
        }
      });
    } catch (error) {
      // not that of the rollback on a closed connection
      throw first ?? error;
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
               (select json_object_agg(split_part(line, '=', 1), substr(line, strpos(line, '=') + 1))
                from unnest(p.proconfig) as line where line like 'statement_timeout=%') as hoisted,
               coalesce(json_object_agg(p.proargnames[n], format_type(t, null)) filter (where n > 0), '{}') as types,
               coalesce(json_agg(p.proargnames[n]) filter (where n <= p.pronargs - p.pronargdefaults), '[]') as required
        from pg_proc p left join unnest(p.proargtypes) with ordinality as a (t, n) on true
        where p.pronamespace = ${SCHEMA}::regnamespace and (p.pronargs = 0 or p.proargnames is not null)
        group by p.oid`.execute(owner.kysely);
      // PostgREST reads the settings of roles for all databases, once
      const settings = await sql`
        select r.rolname, json_object_agg(split_part(line, '=', 1), substr(line, strpos(line, '=') + 1)) as settings
        from pg_roles r cross join unnest(r.rolconfig) as line
        where pg_has_role('authenticator', r.oid, 'member')
        group by r.rolname`.execute(owner.kysely);
      const roles = Object.fromEntries(settings.rows.map(({ rolname, settings }) => [rolname, settings]));
      const tables = await owner.introspect();
      // a foreign key is one to one by a constraint; lite would take a partial unique index for one
      const constraints = new Set(tables.unique_constraints.map(({ table, name }) => `${table}.${name}`));
      tables.indexes = tables.indexes.filter(({ table, name }) => constraints.has(`${table}.${name}`));
      // lite confuses tables of the same name in several schemas
      for (const [kind, objects] of Object.entries(tables))
        if (objects[0]?.schema) tables[kind] = objects.filter(({ schema }) => schema === SCHEMA);
      const keys = Map.groupBy(tables.foreign_keys, (row) => `${row.table}.${row.foreign_key_name}`).values();
      const relations = [...keys].flatMap(([row, ...more]) => {
        const { foreign_key_name: name, table, column, ref_table, ref_column } = row;
        // a key of several columns cannot be named by one of them
        const [from, to] = more.length > 0 ? [] : [column, ref_column];
        return [
          { name, origin: table, other: ref_table, from, to },
          { name, origin: ref_table, other: table, from: to, to: from },
        ];
      });
      return { functions: rows, roles, tables, relations };
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

const FILTER = /^pgrst_scalar((?:->\w+)*)(?:->>(\w+))?=(match|like|cs)\.(.*)$/s;

/** A filter on a function's result, evaluated in its transaction; the only kind that the double knows. */
function filterOf(filter) {
  const [, path, last, operator, value] = FILTER.exec(filter);
  const inner = path.split("->").reduce((outer, key) => (key ? sql`${outer} -> ${key}::text` : outer), sql`result`);
  const text = sql`${inner} ->> ${last ?? null}::text`;
  if (operator === "match") return sql`${text} ~ ${value}::text`;
  if (operator === "like") return sql`${text} like ${value.replaceAll("*", "%")}::text`;
  return sql`${inner} @> ${sql.lit(value)}`;
}

/** POST /rpc, as PostgREST does it: the database itself reads the arguments from JSON and writes the answer as JSON. */
async function call(name, filters, request) {
  const sent = (await request.text()) || "{}";
  let given;
  try {
    given = JSON.parse(sent);
  } catch {
    return refuse(400, "PGRST102", "Empty or invalid json");
  }
  if (given?.constructor !== Object) return leaveOut("take arguments without names");
  given = Object.keys(given).sort();
  try {
    const found = await catalog.find(name, given);
    if (!found) return refuseUnknown(`${SCHEMA}.${name}`, given);
    const { types, read_only, returns_set, returns_void, hoisted } = found;
    const named = sql.join(given.map((a) => sql`${sql.ref(a)} => ${sql.ref(`arguments.${a}`)}`));
    const columns = sql.join(given.map((a) => sql`${sql.ref(a)} ${sql.raw(types[a])}`));
    const source = given.length > 0 ? sql`from json_to_record(${sent}::text::json) as arguments (${columns})` : sql``;
    const results = sql`(select ${sql.ref(`${SCHEMA}.${name}`)}(${named}) as result ${source}) as results`;
    const where = filters.length > 0 ? sql`where ${sql.join(filters.map(filterOf), sql` and `)}` : sql``;
    const json = returns_set ? sql`coalesce(json_agg(result), '[]')` : sql`coalesce(json_agg(result) -> 0, 'null')`;
    const body = returns_void ? sql`count(result)` : json;
    const setByFunction = sql`current_setting('response.headers', true)`;
    const answer = sql`select ${body}::text as body, ${setByFunction} as headers from ${results} ${where}`;
    const { rows } = await authenticator.inTransaction(
      read_only,
      (connection) => answer.execute(connection),
      hoisted ?? {},
    );
    const [{ body: result, headers: set }] = rows;
    const headers = Object.assign({}, ...JSON.parse(set || "[]"));
    if (returns_void) return new Response(null, { status: 204, headers });
    return new Response(result, { headers: { "Content-Type": "application/json; charset=utf-8", ...headers } });
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

/** The parts of a `select`: separated by commas outside of parentheses. */
function partsOf(select) {
  const parts = [""];
  let depth = 0;
  for (const character of select) {
    depth += { "(": 1, ")": -1 }[character] ?? 0;
    if (character === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += character;
  }
  return parts.map((part) => part.trim());
}

/** The name of a table in place of a column, for which lite would take the whole row. */
function noColumn(table) {
  return [400, "42703", `column ${table}.${table} does not exist`];
}

const EMBEDDED = /^(\.{3})?(?:([^:()]+):)?([^!:()]+)((?:![^!()]+)*)\((.*)\)$/s;
const AGGREGATE = /(^|\.)(avg|count|max|min|sum)$/;
const COLUMN = /^(?:[^:]+:(?!:))?([^:.-]+)/;

/**
 * The `select` with the foreign key that each embedded table comes by, because lite guesses it otherwise. Throws what
 * PostgREST answers where it finds none, or several. It also relates tables by a third one, whose primary key contains
 * both foreign keys, and a table to itself, one to many: this schema has neither.
 */
function qualify(select, table, relations) {
  const qualified = partsOf(select).map((part) => {
    const [embedded, spread = "", alias, target, modifiers, inner] = EMBEDDED.exec(part) ?? [];
    if (!embedded) {
      if (COLUMN.exec(part)?.[1] === table) throw new Refusal(...noColumn(table));
      return part;
    }
    if (inner === "" && AGGREGATE.test(target))
      throw new Refusal(400, "PGRST123", "Use of aggregate functions is not allowed");
    const hints = modifiers.split("!").slice(1);
    const joins = hints.filter((hint) => ["inner", "left"].includes(hint));
    const hint = hints.find((hint) => !joins.includes(hint));
    const [found, ...more] = relations.filter(
      ({ name, origin, other, from, to }) =>
        origin === table &&
        other !== table &&
        (hint ? other === target && [name, from, to].includes(hint) : [other, name, from].includes(target)),
    );
    const names = `'${table}' and '${target}'`;
    if (!found)
      throw new Refusal(400, "PGRST200", `Could not find a relationship between ${names} in the schema cache`);
    if (more.length > 0)
      throw new Refusal(300, "PGRST201", `Could not embed because more than one relationship was found for ${names}`);
    const name = alias ?? (target === found.other || spread ? undefined : target);
    const chosen = [found.other, found.name, ...joins].join("!");
    return `${spread}${name ? `${name}:` : ""}${chosen}(${qualify(inner, found.other, relations)})`;
  });
  return qualified.join();
}

/** Embedded rows are jsonb, whose keys are in the order of length, and then of bytes. */
function asJsonb(value) {
  if (Array.isArray(value)) return value.map(asJsonb);
  if (value === null || typeof value !== "object") return value;
  const entries = Object.entries(value).map(([key, part]) => [Buffer.from(key), asJsonb(part)]);
  entries.sort(([a], [b]) => a.length - b.length || a.compare(b));
  return Object.fromEntries(entries);
}

const JSON_TYPES = /^(\*\/\*|application\/json)$/;
const MEDIA_TYPES = /^(\*\/\*|application\/json|text\/csv|application\/vnd\.pgrst\.(object|array)(\+json)?)$/;

/** GET of a table, and what else lite does as PostgREST. */
async function read(name, request) {
  const url = new URL(request.url);
  const { relations } = await catalog.read();
  const ordered = (url.searchParams.get("order") ?? "").split(",").map((part) => part.split(".")[0]);
  if (url.searchParams.has(name) || ordered.includes(name)) return refuse(...noColumn(name));
  const select = url.searchParams.get("select");
  try {
    if (select) url.searchParams.set("select", qualify(select, name, relations));
  } catch (error) {
    if (error instanceof Refusal) return error.response;
    throw error;
  }
  const response = await app.fetch(new Request(url, { method: request.method, headers: request.headers }));
  if (
    request.method === "HEAD" ||
    !select?.includes("(") ||
    !response.ok ||
    !response.headers.get("Content-Type")?.includes("json")
  )
    return response;
  const rows = await response.json();
  const shown = [rows].flat().map((row) => Object.fromEntries(Object.entries(row).map(([k, v]) => [k, asJsonb(v)])));
  const headers = new Headers(response.headers);
  headers.delete("Content-Length");
  return new Response(JSON.stringify(Array.isArray(rows) ? shown : shown[0]), { status: response.status, headers });
}

/** The claims of the token, with a role; anon's where there is no token. Throws jose's errors, or the answer. */
async function claimsOf(request) {
  const [scheme, token] = (request.headers.get("Authorization") ?? "").split(" ");
  if (scheme.toLowerCase() !== "bearer") return { role: ANON };
  const options = { algorithms: ["HS256"], clockTolerance: CLOCK_SKEW };
  const { payload } = await jwtVerify(token ?? "", SECRET, options);
  if (AUDIENCE && payload.aud && ![payload.aud].flat().includes(AUDIENCE))
    throw new Refusal(401, "PGRST303", "JWT not in audience");
  if (payload.iat > Date.now() / 1000 + CLOCK_SKEW) throw new Refusal(401, "PGRST303", "JWT issued at future");
  return { role: ANON, ...payload };
}

async function answer(request) {
  let claims;
  try {
    claims = await claimsOf(request);
  } catch (error) {
    if (error instanceof Refusal) return error.response;
    if (!(error instanceof errors.JOSEError)) throw error;
    if (error instanceof errors.JWTExpired) return refuse(401, "PGRST303", "JWT expired");
    return refuse(401, "PGRST301", "No suitable key or wrong key type");
  }
  const { pathname, search } = new URL(request.url);
  const readOnly = ["GET", "HEAD"].includes(request.method);
  const timeZone = /(?:^|,)\s*timezone=([^,\s]+)/.exec(request.headers.get("Prefer"))?.[1];
  const { cookie, ...headers } = Object.fromEntries(request.headers);
  return asking.run({ claims, readOnly, timeZone, method: request.method, headers }, async () => {
    try {
      await catalog.read();
    } catch (error) {
      console.error(error);
      return refuse(503, "PGRST002", "Could not query the database for the schema cache. Retrying.");
    }
    const types = (request.headers.get("Accept") ?? "*/*").split(",").map((type) => type.split(";")[0].trim());
    if (!types.some((type) => MEDIA_TYPES.test(type)))
      return refuse(406, "PGRST107", `None of these media types are available: ${types.join(", ")}`);
    const [, rpc, name] = /^\/rest\/v1\/(rpc\/)?([^/]+)$/.exec(pathname) ?? [];
    if (!name) return leaveOut("describe the API");
    if (rpc) {
      const { method, headers } = request;
      const isJson =
        /^application\/json/.test(headers.get("Content-Type") ?? "application/json") &&
        types.some((type) => JSON_TYPES.test(type));
      const hasOptions = (headers.get("Content-Profile") ?? SCHEMA) !== SCHEMA || /count=/.test(headers.get("Prefer"));
      const filters = [...new URLSearchParams(search)].map((filter) => filter.join("="));
      if (method !== "POST" || !filters.every((filter) => FILTER.test(filter)) || !isJson || hasOptions)
        return leaveOut("call a function but by a POST of JSON, which is answered with its whole result");
      return call(decodeURIComponent(name), filters, request);
    }
    // lite would check the token again, without tolerance for clock skew
    request.headers.delete("Authorization");
    return readOnly ? read(decodeURIComponent(name), request) : app.fetch(request);
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
