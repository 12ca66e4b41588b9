// The page: who asks, for which days, and when it asks again.

import { drawAll, onSchemeChange } from "./charts.js";
import * as dashboards from "./dashboards.js";
import { h, update } from "./dom.js";
import { clock, learnDecimals, setTimeZone, today, days as writeDays } from "./format.js";
import { ask, NoAnswer } from "./server.js";
import * as lists from "./settlements.js";
import { language, switchLanguage, translate, word } from "./words.js";

const REFRESH_MS = 30_000;
const SYSTEM_MS = 5 * 60_000; // checking the invariants reads all tables
const DAY_MS = 86_400_000;

const PARTS = { ...dashboards, settlements: lists.settlements, events: lists.events };

const element = (id) => document.getElementById(id);
const filter = element("filter");
const signIn = element("sign-in-form");

let data = {}; // the latest answers of the server, by name
let times = {}; // when each of them arrived
let refreshing = null; // the AbortController of the running refresh
let failure = null; // {reason, names}: what the last refresh failed to load
let timer;

// ---- the period and the currency, which stand in the address ----

function chosenPeriod() {
  const query = new URLSearchParams(location.search);
  const last = today();
  const before = (days) => new Date(Date.parse(last) - days * DAY_MS).toISOString().slice(0, 10);
  const [from, to] = [query.get("from"), query.get("to")];
  if (isDay(from) && isDay(to)) return { name: "", from, to };
  switch (query.get("period")) {
    case "7":
      return { name: "7", from: before(6), to: last };
    case "90":
      return { name: "90", from: before(89), to: last };
    case "month":
      return { name: "month", from: `${last.slice(0, 8)}01`, to: last };
    case "last-month": {
      const end = new Date(Date.parse(`${last.slice(0, 8)}01`) - DAY_MS).toISOString().slice(0, 10);
      return { name: "last-month", from: `${end.slice(0, 8)}01`, to: end };
    }
    default:
      return { name: "30", from: before(29), to: last };
  }
}

const isDay = (text) => /^\d{4}-\d\d-\d\d$/.test(text) && !Number.isNaN(Date.parse(text));

/** All currencies, the most used first. */
function currencies() {
  const uses = new Map();
  const add = (rows, field) => {
    for (const row of rows ?? []) uses.set(row.currency, (uses.get(row.currency) ?? 0) + (row[field] ?? 0));
  };
  add(data.vouchers?.revenue, "bookings");
  add(data.fees?.fees, "feeEvents");
  add(data.telbank?.totals, "transfers");
  add(data.mortgages?.requested, "applications");
  add(data.fees?.owed);
  // among unused currencies, the one with the largest debt comes first
  return [...uses].sort(([, n], [, m]) => m - n).map(([currency]) => currency);
}

function chosenCurrency(all) {
  const asked = new URLSearchParams(location.search).get("currency");
  return all.includes(asked) ? asked : (all[0] ?? "EUR");
}

function choose(changes) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) query.delete(name);
    else query.set(name, value);
  }
  history.pushState(null, "", `?${query}`);
  shownSearch = location.search;
}

// ---- loading ----

/** Loads the figures of the chosen period; `all` reloads the expensive ones too, even if they are recent. */
async function refresh({ all = false } = {}) {
  clearTimeout(timer);
  refreshing?.abort();
  const controller = new AbortController();
  refreshing = controller;
  const { signal } = controller;
  element("figures").setAttribute("aria-busy", "true");
  const { from, to } = chosenPeriod();
  const days = `?from=${encodeURIComponent(from)}&to=${encodeURIComponent(to)}`;
  const paths = {
    presence: `/stats/presence${days}`,
    vouchers: `/stats/vouchers${days}`,
    mortgages: `/stats/mortgages${days}`,
    telbank: `/stats/telbank${days}`,
    fees: `/stats/fees${days}`,
    settlements: "/settlements?limit=200",
    events: "/events?limit=50",
    session: "/session",
  };
  // what the last refresh failed to load is loaded again
  if (all || failure?.names.includes("system") || !(Date.now() - times.system < SYSTEM_MS))
    paths.system = `/stats/system${days}`;

  const failures = [];
  await Promise.all(
    Object.entries(paths).map(async ([name, path]) => {
      try {
        const answer = await ask(path, { signal });
        if (signal.aborted) return;
        data[name] = answer;
        if (answer.timeZone) setTimeZone(answer.timeZone);
        times[name] = Date.now();
      } catch (reason) {
        if (!(reason instanceof NoAnswer)) throw reason;
        failures.push({ name, reason });
        const old = data[name];
        // showing figures of another period would mislead
        if (old?.from && (old.from !== from || old.to !== to)) {
          delete data[name];
          delete times[name];
        }
      }
    }),
  ).catch((error) => {
    if (!signal.aborted) throw error;
  });
  if (signal.aborted) return;
  refreshing = null;
  element("figures").removeAttribute("aria-busy");

  const refusal = failures.find(({ reason }) => reason.status === 401 || reason.status === 403);
  if (refusal) return leave(word("serverSaid", { sentence: word("sessionOver"), error: refusal.reason.message }));
  failure = failures.length ? { reason: failures[0].reason, names: failures.map(({ name }) => name) } : null;
  show();
  scheduleRefresh();
}

function scheduleRefresh() {
  clearTimeout(timer);
  timer = setTimeout(() => {
    if (document.visibilityState === "visible") refresh();
  }, REFRESH_MS);
}

/** A sentence that says why the server did not answer; `proof` is what the reader has just signed in with. */
function sentence(reason, proof) {
  if (reason.status === 0) return word("notReached");
  const own = {
    401: { key: "keyRefused", token: "tokenRefused", cookie: "cookieNeeded" }[proof],
    403: proof === "token" ? "notAnAdmin" : "accessRefused",
    429: proof && "tooManyAttempts",
  }[reason.status];
  return own ? word("serverSaid", { sentence: word(own), error: reason.message }) : reason.message;
}

// ---- showing ----

function show() {
  for (const answer of Object.values(data)) {
    for (const rows of Object.values(answer)) {
      if (Array.isArray(rows)) learnDecimals(rows.filter((row) => "decimals" in row));
    }
  }
  const period = chosenPeriod();
  const all = currencies();
  const chosen = { currency: chosenCurrency(all), ends: ends(period) };

  for (const place of element("figures").querySelectorAll("[data-part]")) {
    const name = place.dataset.part;
    const parts =
      name === "overview" || data[name] ? PARTS[name](data, chosen) : [h("p", { class: "muted" }, word("noFigures"))];
    update(place, parts);
  }
  lists.showStatement();
  showFilter(period, all, chosen.currency);
  showNotice();
  const latest = Math.max(...Object.values(times));
  element("updated").textContent = Number.isFinite(latest) ? word("updated", { time: clock(latest) }) : "";
  for (const id of ["figures", "sections", "refresh", "updated"]) element(id).hidden = false;
  element("sign-in").hidden = true;
  element("sign-out").hidden = !data.session?.signedIn;
  draw();
}

/** The first and last day of the plots: those that have figures. */
function ends(period) {
  const days = data.presence?.days ?? [];
  return days.length ? { first: days[0].day, last: days.at(-1).day } : { first: period.from, last: period.to };
}

function draw() {
  drawAll().catch((error) => {
    console.warn(error);
    element("notice").textContent = word("noChartsNow");
    element("notice").hidden = false;
  });
}

function showFilter({ name, from, to }, all, currency) {
  for (const button of filter.querySelectorAll("[data-period]")) {
    button.setAttribute("aria-pressed", String(button.dataset.period === name));
  }
  for (const [field, day] of [
    [filter.elements.from, from],
    [filter.elements.to, to],
  ]) {
    if (!filter.contains(document.activeElement) || !field.value) field.value = day; // do not disturb typing
  }
  element("period").textContent = word("ownPeriod", { period: writeDays(from, to) });
  if (name === "") element("own-period").open = true;
  element("currency-choice").hidden = all.length < 2;
  update(
    filter.elements.currency,
    all.map((code) => h("option", { value: code, "data-key": code }, code)),
  );
  filter.elements.currency.value = currency;
}

function showNotice() {
  const notice = element("notice");
  let text = "";
  if (failure) {
    text = word("notRefreshed", { error: sentence(failure.reason) });
    const known = failure.names.map((name) => times[name]).filter(Boolean);
    if (known.length) text += ` ${word("oldFigures", { time: clock(Math.min(...known)) })}`;
  }
  if (notice.textContent !== text) notice.textContent = text;
  notice.hidden = text === "";
}

// ---- signing in and out ----

/** Shows the sign-in form instead of the figures, and says why. */
function leave(why = "") {
  clearTimeout(timer);
  refreshing?.abort();
  data = {};
  times = {};
  failure = null;
  if (element("statement").open) element("statement").close();
  for (const place of document.querySelectorAll("[data-part]")) place.replaceChildren();
  for (const id of ["figures", "sections", "refresh", "updated", "sign-out", "notice"]) element(id).hidden = true;
  element("sign-in").hidden = false;
  complain(why);
  signIn.elements.secret.focus();
}

function complain(text) {
  element("sign-in-error").textContent = text;
  signIn.elements.secret.setAttribute("aria-invalid", String(text !== ""));
}

signIn.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { kind, secret } = signIn.elements;
  let proof = kind.value;
  complain("");
  try {
    await ask("/session", { method: "PUT", body: { [proof]: secret.value.trim() } });
    proof = "cookie";
    await learnZone();
  } catch (reason) {
    if (!(reason instanceof NoAnswer)) throw reason;
    complain(sentence(reason, proof));
    return secret.select();
  }
  signIn.reset();
  await refresh({ all: true });
  element("main").focus();
});

element("sign-out").addEventListener("click", async () => {
  try {
    await ask("/session", { method: "DELETE" });
  } catch (reason) {
    if (!(reason instanceof NoAnswer)) throw reason;
    element("notice").textContent = word("notSignedOut", { error: sentence(reason) });
    element("notice").hidden = false;
    return;
  }
  leave();
});

// ---- the rest of what the reader can do ----

element("refresh").addEventListener("click", () => refresh({ all: true }));

element("language").addEventListener("click", () => {
  switchLanguage();
  showWords();
  if (!element("figures").hidden) show();
});

filter.addEventListener("click", ({ target }) => {
  if (!target.dataset.period) return;
  element("filter-error").textContent = "";
  choose({ period: target.dataset.period, from: null, to: null });
  refresh({ all: true });
});

filter.addEventListener("submit", (event) => {
  event.preventDefault();
  const { from, to } = filter.elements;
  const days = (Date.parse(to.value) - Date.parse(from.value)) / DAY_MS;
  const isValid = days >= 0 && days < 1096;
  element("filter-error").textContent = isValid ? "" : word("periodInvalid");
  if (!isValid) return from.focus();
  choose({ period: null, from: from.value, to: to.value });
  refresh({ all: true });
});

filter.elements.currency.addEventListener("change", ({ target }) => {
  choose({ currency: target.value });
  show();
});

let shownSearch = location.search;

addEventListener("popstate", () => {
  // following a link to a section of the page also triggers this
  if (location.search === shownSearch) return;
  shownSearch = location.search;
  if (!element("figures").hidden) refresh({ all: true });
});

for (const id of ["figures", "statement"]) {
  element(id).addEventListener("click", ({ target }) => {
    if (target.dataset.statement) lists.openStatement(target.dataset.statement, sentence);
  });
}

element("statement-more").addEventListener("click", () => lists.loadMore(sentence));

document.addEventListener("visibilitychange", () => {
  const isOld = !(Date.now() - Math.max(...Object.values(times)) < REFRESH_MS);
  if (document.visibilityState === "visible" && !element("figures").hidden && isOld && !refreshing) refresh();
});

onSchemeChange(draw);

function showWords() {
  translate();
  const button = element("language");
  button.textContent = word("otherLanguage");
  button.lang = language() === "de" ? "en" : "de";
}

/** Loads the portal's time zone, as the first answer that only operators get. Throws NoAnswer. */
async function learnZone() {
  setTimeZone((await ask("/stats/presence")).timeZone);
}

async function start() {
  showWords();
  try {
    await learnZone();
  } catch (reason) {
    if (!(reason instanceof NoAnswer)) throw reason;
    if (reason.status === 401 || reason.status === 403) return leave();
  }
  await refresh({ all: true });
}

start();
