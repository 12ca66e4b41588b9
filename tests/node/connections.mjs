/** What `pg` takes of a URL as psycopg takes it: JavaScript refuses one without a host. */
export function connectionOptions(uri) {
  const url = new URL(uri.replace("@/", "@localhost/"));
  return {
    host: url.searchParams.get("host") ?? url.hostname,
    port: Number(url.port || 5432),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    database: url.pathname.slice(1),
  };
}
