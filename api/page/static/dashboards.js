// The four answers on top and the six dashboards: each a function from the server's answers to elements.

import { byDay, byName, plot } from "./charts.js";
import { badge, h, keyFigures, long, table } from "./dom.js";
import { count, day, decimal, major, moment, money, percent } from "./format.js";
import { word } from "./words.js";

const number = (name) => ({ name, numeric: true });
const sum = (rows, field) => rows.reduce((total, row) => total + row[field], 0);

/** A plot with its caption and the same figures as a table; a sentence where there are no figures. */
function figure({ caption, spec, series, columns, rows, isEmpty, empty = word("nothingYet") }) {
  return h(
    "figure",
    { class: "card", "data-key": caption },
    h("figcaption", {}, caption),
    isEmpty ? h("p", { class: "muted" }, empty) : plot(spec, word("chart", { caption }), series),
    rows.length === 0
      ? null
      : h("details", {}, h("summary", {}, word("figuresAsTable")), table(caption, columns, rows)),
  );
}

/** Series by day, with a table whose latest day comes first. */
function daily({ caption, rows, series, more = [], ends, write = null }) {
  const columns = [...series, ...more];
  return figure({
    caption,
    series,
    spec: byDay({ rows, series, ends, write: write ?? count, writeDay: day, isWhole: write === null }),
    columns: [{ name: word("day") }, ...columns.map(({ name }) => number(name))],
    rows: [...rows].reverse().map((row) => ({
      key: row.day,
      cells: [day(row.day), ...columns.map(({ field }) => (write ?? count)(row[field]))],
    })),
    isEmpty: series.every(({ field }) => rows.every((row) => row[field] === 0)),
  });
}

/** Rows by name, in the given order. */
function ranked({ caption, name, rows, columns, colour, isWhole = true, format, empty }) {
  return figure({
    caption,
    spec: byName({ rows, colour, isWhole, format }),
    columns: [{ name }, ...columns.map(number)],
    rows: rows.map(({ name: title, cells }, at) => ({ key: `${at} ${title}`, cells: [long(title), ...cells] })),
    isEmpty: rows.every(({ value }) => !value),
    empty,
  });
}

const plots = (...figures) => h("div", { class: "plots" }, figures);

/** The rows in the chosen currency. */
const inCurrency = (rows, { currency }) => rows.filter((row) => row.currency === currency);

/** The sum of each currency, as money; the chosen currency first. */
function moneyOf(rows, field, chosen) {
  const sums = new Map();
  for (const row of rows) sums.set(row.currency, (sums.get(row.currency) ?? 0) + row[field]);
  const first = money(sums.get(chosen) ?? 0, chosen);
  sums.delete(chosen);
  return {
    first,
    others: [...sums].filter(([, cents]) => cents !== 0).map(([currency, cents]) => money(cents, currency)),
  };
}

/** The first texts, and the number of the others. */
function few(texts, limit = 3) {
  if (texts.length <= limit) return texts;
  return [...texts.slice(0, limit), word("andOthers", { count: count(texts.length - limit) })];
}

function answer(question, kind, value, lines) {
  return h(
    "article",
    { class: `card answer ${kind}`, "data-key": question },
    h("h3", {}, question),
    h("p", { class: "value" }, value),
    h(
      "ul",
      {},
      lines.map((line) => h("li", {}, line)),
    ),
  );
}

const pair = (name, value) => [h("span", { class: "muted" }, name), " ", h("strong", {}, value)];

/** A line with a name and the amounts in other currencies. */
function also(name, { others }) {
  const texts = [name, others.length ? `${word("alsoIn")} ${few(others).join(" · ")}` : ""].filter(Boolean);
  return texts.length ? [h("span", { class: "muted also" }, texts.join(", "))] : [];
}

/** The four questions of an operator. */
export function overview({ presence, vouchers, fees, system }, chosen) {
  const lastDay = presence?.days.at(-1);
  const earned = fees && moneyOf(fees.fees, "amountCents", chosen.currency);
  const revenue = vouchers && moneyOf(vouchers.revenue, "amountCents", chosen.currency);
  return [
    answer(word("asked1"), "", presence ? word("onlineNow", { count: count(presence.online) }) : "–", [
      ...(lastDay ? [pair(`${word("thinkers")}, ${day(lastDay.day)}`, count(lastDay.thinkers))] : []),
      ...(vouchers ? [pair(word("bookingsInPeriod"), count(vouchers.bookings))] : []),
      ...(system ? [pair(word("eventsInPeriod"), count(sum(system.days, "events")))] : []),
    ]),
    answer(word("asked2"), "", earned ? earned.first : "–", [
      ...(earned ? also(word("feesOfPeriod"), earned) : []),
      ...(revenue ? [pair(word("revenueOfPeriod"), revenue.first), ...also("", revenue)] : []),
    ]),
    debts(fees, chosen),
    health(system),
  ];
}

/** Debts by beneficiary: in the chosen currency with the largest first, then in others. */
function debts(fees, chosen) {
  const owed = fees ? fees.owed.filter((row) => row.owedCents !== 0) : [];
  if (owed.length === 0) return answer(word("asked3"), "", fees ? word("nothingOwed") : "–", []);
  const total = moneyOf(owed, "owedCents", chosen.currency);
  const creditors = [...inCurrency(owed, chosen), ...owed.filter((row) => row.currency !== chosen.currency)];
  return answer(word("asked3"), "", total.first, [
    ...also("", total),
    ...few(
      creditors.map((row) => pair(word("owedTo", { uid: row.beneficiaryUid }), money(row.owedCents, row.currency))),
    ),
  ]);
}

/** Whether anything is broken, and what. */
function health(system) {
  if (!system) return answer(word("asked4"), "", "–", []);
  const failed = system.jobs.filter(({ state }) => state === "failed");
  const late = system.jobs.filter(({ state }) => state === "late");
  // where neither pg_cron nor a server is, a person runs the jobs, so that late jobs are no fault
  const idle = system.clock ? [] : late;
  const jobs = system.clock ? [...failed, ...late] : failed;
  const rules = system.invariants?.filter(({ violations }) => violations !== 0) ?? [];
  const problems = jobs.length + rules.length;
  const of = (bad, all) => word("countOf", { count: count(all.length - bad.length), total: count(all.length) });
  const names = (rows) => few(rows.map(({ name }) => name)).join(", ");
  const kind = problems > 0 ? "bad" : idle.length > 0 ? "warn" : "good";
  const value = { bad: word("problems", { count: count(problems) }), warn: word("noScheduler"), good: word("allGood") }[
    kind
  ];
  return answer(word("asked4"), kind === "bad" ? "alarm" : "", badge(kind, value), [
    system.invariants === null
      ? h("span", { class: "muted" }, word("rulesUnread"))
      : rules.length
        ? pair(word("rulesBad"), names(rules))
        : pair(word("rulesGood"), of(rules, system.invariants)),
    jobs.length
      ? pair(word("jobsBad"), names(jobs))
      : idle.length
        ? pair(word("jobsIdle"), names(idle))
        : pair(word("jobsGood"), system.clock ? of(jobs, system.jobs) : word("byHand")),
    pair(word("reportedErrors"), count(sum(system.days, "errors"))),
  ]);
}

export function presence({ presence: figures }, { ends }) {
  return [
    keyFigures([
      [word("online"), count(figures.online)],
      [word("mostThinkers"), count(Math.max(0, ...figures.days.map(({ thinkers }) => thinkers)))],
      [word("newThinkers"), count(sum(figures.days, "newThinkers"))],
      [word("matches"), count(sum(figures.days, "matches"))],
    ]),
    plots(
      daily({
        caption: word("thinkersByDay"),
        rows: figures.days,
        ends,
        series: [
          { name: word("thinkers"), field: "thinkers", colour: 1, as: "bar" },
          { name: word("newThinkers"), field: "newThinkers", colour: 2, as: "point" },
        ],
        more: [
          { name: word("heartbeats"), field: "heartbeats" },
          { name: word("matches"), field: "matches" },
        ],
      }),
      ranked({
        caption: word("pairCodes"),
        name: word("pairCode"),
        columns: [word("sessions"), word("online")],
        rows: figures.pairCodes.map(({ pairCode, sessions, online }) => ({
          name: pairCode,
          value: sessions,
          text: count(sessions),
          cells: [count(sessions), count(online)],
        })),
        colour: 3,
        empty: word("nothingNow"),
      }),
    ),
  ];
}

export function vouchers({ vouchers: figures }, chosen) {
  const { currency, ends } = chosen;
  return [
    keyFigures([
      [word("bookings"), count(figures.bookings)],
      [word("cancellations"), count(figures.cancellations)],
      [`${word("revenue")} (${currency})`, moneyOf(figures.revenue, "amountCents", currency).first],
      [word("issuedNow"), count(figures.vouchers.issued)],
      ...["booked", "consumed", "cancelled", "expired"].map((status) => [
        word(status),
        count(figures.vouchers[status]),
      ]),
    ]),
    plots(
      daily({
        caption: word("bookingsByDay"),
        rows: figures.days,
        ends,
        series: [
          { name: word("bookings"), field: "bookings", colour: 1, as: "bar" },
          { name: word("cancellations"), field: "cancellations", colour: 2, as: "point" },
        ],
        more: [{ name: word("issued"), field: "issued" }],
      }),
      moneyByDay({
        caption: word("revenueByDay", { currency }),
        rows: inCurrency(figures.revenueDays, chosen),
        currency,
        ends,
        series: [{ name: word("revenue"), field: "amountCents", colour: 3, as: "bar" }],
      }),
      ranked({
        caption: word("utilisation"),
        name: word("template"),
        columns: [word("share"), word("bookedHours"), word("offeredHours")],
        rows: figures.templates.map(({ templateId, title, utilisation, bookedMinutes, offeredMinutes }) => ({
          name: title ?? templateId ?? word("noTemplate"),
          value: utilisation ?? 0,
          text: percent(utilisation),
          cells: [percent(utilisation), decimal(bookedMinutes / 60), decimal(offeredMinutes / 60)],
        })),
        colour: 4,
        isWhole: false,
        format: ".0~%",
      }),
    ),
    allCurrencies(word("revenueByCurrency"), figures.revenue, [
      [word("bookings"), (row) => count(row.bookings)],
      [word("revenue"), (row) => money(row.amountCents, row.currency)],
    ]),
  ];
}

/** Amounts by day in one currency: drawn in major units, written as money. */
function moneyByDay({ caption, rows, currency, ends, series }) {
  const drawn = rows.map((row) => ({
    ...row,
    ...Object.fromEntries(series.map(({ field }) => [field, major(row[field], currency)])),
  }));
  const write = (amount) => money(amount * 10 ** (rows[0]?.decimals ?? 0), currency);
  return daily({ caption, rows: drawn, series, ends, write });
}

export function mortgages({ mortgages: figures }, { ends }) {
  const { applications, offers, interest, requested } = figures;
  return [
    keyFigures([
      [
        word("requested"),
        requested.length ? few(requested.map((row) => money(row.amountCents, row.currency))).join(" · ") : "–",
      ],
      [word("offers"), count(offers.open + offers.accepted + offers.withdrawn)],
      [word("accepted"), count(offers.accepted)],
      [word("withdrawn"), count(offers.withdrawn)],
      [word("acceptanceRate"), percent(figures.acceptanceRate)],
      [word("interestAverage"), percent(interest.average)],
      [
        word("interestRange"),
        interest.minimum === null ? "–" : `${percent(interest.minimum)} – ${percent(interest.maximum)}`,
      ],
    ]),
    plots(
      daily({
        caption: word("mortgagesByDay"),
        rows: figures.days,
        ends,
        series: [
          { name: word("applications"), field: "applications", colour: 1, as: "bar" },
          { name: word("offers"), field: "offers", colour: 2, as: "ring" },
          { name: word("accepted"), field: "accepted", colour: 3, as: "point" },
        ],
      }),
      ranked({
        caption: word("applicationsNow"),
        name: word("state"),
        columns: [word("count")],
        rows: ["open", "offered", "accepted", "rejected"].map((state) => ({
          name: word(`application.${state}`),
          value: applications[state],
          text: count(applications[state]),
          cells: [count(applications[state])],
        })),
        colour: 1,
        empty: word("nothingNow"),
      }),
    ),
  ];
}

export function telbank({ telbank: figures }, chosen) {
  const { currency, ends } = chosen;
  const totals = inCurrency(figures.totals, chosen);
  const days = new Map();
  for (const row of inCurrency(figures.days, chosen)) {
    const flow = days.get(row.day) ?? { day: row.day, decimals: row.decimals, inCents: 0, outCents: 0, netCents: 0 };
    flow.inCents += row.inCents;
    flow.outCents -= row.outCents; // below the line
    flow.netCents += row.netCents;
    days.set(row.day, flow);
  }
  return [
    keyFigures([
      [word("transfers"), count(sum(figures.totals, "transfers"))],
      [`${word("moneyIn")} (${currency})`, money(sum(totals, "inCents"), currency)],
      [`${word("moneyOut")} (${currency})`, money(sum(totals, "outCents"), currency)],
      [`${word("net")} (${currency})`, money(sum(totals, "netCents"), currency)],
    ]),
    plots(
      moneyByDay({
        caption: word("flowsByDay", { currency }),
        rows: [...days.values()],
        currency,
        ends,
        series: [
          { name: word("moneyIn"), field: "inCents", colour: 3, as: "bar" },
          { name: word("moneyOut"), field: "outCents", colour: 2, as: "bar" },
          { name: word("net"), field: "netCents", colour: 1, as: "point" },
        ],
      }),
      ranked({
        caption: word("flowsByNetwork", { currency }),
        name: word("network"),
        columns: [word("transfers"), word("moneyIn"), word("moneyOut"), word("net")],
        rows: inCurrency(figures.flows, chosen).map((row) => ({
          name: row.network ?? word("noNetwork"),
          value: major(row.netCents, currency),
          text: money(row.netCents, currency),
          cells: [
            count(row.transfers),
            ...["inCents", "outCents", "netCents"].map((field) => money(row[field], currency)),
          ],
        })),
        colour: 1,
        isWhole: false,
      }),
    ),
    allCurrencies(word("flowsByCurrency"), figures.totals, [
      [word("transfers"), (row) => count(row.transfers)],
      ...[
        ["moneyIn", "inCents"],
        ["moneyOut", "outCents"],
        ["net", "netCents"],
      ].map(([name, field]) => [word(name), (row) => money(row[field], row.currency)]),
    ]),
  ];
}

/** The total of each currency, where there are several. */
function allCurrencies(caption, rows, columns) {
  if (rows.length < 2) return null;
  return table(
    caption,
    [{ name: word("currency") }, ...columns.map(([name]) => number(name))],
    rows.map((row) => ({ key: row.currency, cells: [row.currency, ...columns.map(([, write]) => write(row))] })),
    "card",
  );
}

export function fees({ fees: figures }, chosen) {
  const { currency, ends } = chosen;
  const days = inCurrency(figures.days, chosen);
  const owed = inCurrency(figures.owed, chosen);
  const columns = [
    ["unsettled", "unsettledCents"],
    ["openSettlements", "openCents"],
    ["invoiced", "invoicedCents"],
    ["owed", "owedCents"],
    ["overdueAmount", "overdueCents"],
    ["paid", "paidCents"],
    ["writtenOff", "writtenOffCents"],
  ];
  return [
    keyFigures([
      [`${word("accrued")} (${currency})`, money(sum(days, "accruedCents"), currency)],
      [`${word("charged")} (${currency})`, money(sum(days, "chargedCents"), currency)],
      [`${word("reversed")} (${currency})`, money(sum(days, "reversedCents"), currency)],
      [`${word("adjusted")} (${currency})`, money(sum(days, "adjustedCents"), currency)],
      [word("feeEvents"), count(sum(figures.fees, "feeEvents"))],
    ]),
    plots(
      moneyByDay({
        caption: word("feesByDay", { currency }),
        rows: days,
        currency,
        ends,
        series: [
          { name: word("charged"), field: "chargedCents", colour: 1, as: "bar" },
          { name: word("reversed"), field: "reversedCents", colour: 2, as: "bar" },
          { name: word("adjusted"), field: "adjustedCents", colour: 3, as: "point" },
        ],
      }),
      ranked({
        caption: word("owedByBeneficiary", { currency }),
        name: word("beneficiary"),
        columns: [word("owed")],
        rows: owed.slice(0, 10).map((row) => ({
          name: row.beneficiaryUid,
          value: major(row.owedCents, currency),
          text: money(row.owedCents, currency),
          cells: [money(row.owedCents, currency)],
        })),
        colour: 3,
        isWhole: false,
        empty: word("nothingNow"),
      }),
    ),
    h("h3", {}, word("owedToWhom")),
    figures.owed.length === 0
      ? h("p", { class: "muted" }, word("nothingNow"))
      : table(
          word("owedToWhom"),
          [{ name: word("beneficiary") }, { name: word("currency") }, ...columns.map(([name]) => number(word(name)))],
          figures.owed.map((row) => ({
            key: `${row.beneficiaryUid} ${row.currency}`,
            cells: [
              long(row.beneficiaryUid),
              row.currency,
              ...columns.map(([, field]) => money(row[field], row.currency)),
            ],
          })),
          "card",
        ),
    h("h3", {}, word("receivables")),
    figures.receivables.length === 0
      ? h("p", { class: "muted" }, word("nothingNow"))
      : receivables(figures.receivables),
    figures.charged.length === 0
      ? null
      : table(
          word("chargedFor"),
          [
            { name: word("beneficiary") },
            { name: word("currency") },
            ...["feeEvents", "accrued", "settled", "unsettled"].map((name) => number(word(name))),
          ],
          figures.charged.map((row) => ({
            key: `${row.beneficiaryUid} ${row.currency}`,
            cells: [
              long(row.beneficiaryUid),
              row.currency,
              count(row.feeEvents),
              ...["accruedCents", "settledCents", "openCents"].map((field) => money(row[field], row.currency)),
            ],
          })),
          "card",
        ),
    figures.fees.length === 0
      ? null
      : table(
          word("feesByKind"),
          [{ name: word("fee") }, { name: word("currency") }, number(word("feeEvents")), number(word("accrued"))],
          figures.fees.map((row) => ({
            key: `${row.feeId} ${row.currency}`,
            cells: [row.feeId, row.currency, count(row.feeEvents), money(row.amountCents, row.currency)],
          })),
          "card",
        ),
  ];
}

/** The receivables: payer, beneficiary, amount and the day of the oldest charge; the most overdue first. */
function receivables(rows) {
  const columns = [
    ["owed", "owedCents"],
    ["overdueAmount", "overdueCents"],
    ["unsettled", "unsettledCents"],
    ["openSettlements", "openCents"],
    ["invoiced", "invoicedCents"],
  ];
  return table(
    word("largestReceivables", { count: count(rows.length) }),
    [
      ...["payer", "beneficiary", "currency", "since"].map((name) => ({ name: word(name) })),
      ...columns.map(([name]) => number(word(name))),
    ],
    rows.map((row) => ({
      key: JSON.stringify([row.payerUid, row.beneficiaryUid, row.currency]),
      cells: [
        row.payerUid === null ? word("unknownPayer") : long(row.payerUid),
        long(row.beneficiaryUid),
        row.currency,
        row.since === null ? "–" : day(row.since),
        ...columns.map(([, field]) => money(row[field], row.currency)),
      ],
    })),
    "card tall",
  );
}

// the worst first
const JOB_KINDS = { failed: "bad", late: "warn", waiting: "quiet", good: "good" };
const severity = ({ state }) => Object.keys(JOB_KINDS).indexOf(state);

export function system({ system: figures }, { ends }) {
  return [
    keyFigures([
      [word("eventsInPeriod"), count(sum(figures.days, "events"))],
      [word("errors"), count(sum(figures.days, "errors"))],
    ]),
    plots(
      daily({
        caption: word("eventsByDay"),
        rows: figures.days,
        ends,
        series: [
          { name: word("events"), field: "events", colour: 1, as: "bar" },
          { name: word("errors"), field: "errors", colour: 5, as: "point" },
        ],
      }),
      ranked({
        caption: word("eventTypes"),
        name: word("type"),
        columns: [word("count")],
        rows: figures.types.slice(0, 10).map(({ type, events }) => ({
          name: type,
          value: events,
          text: count(events),
          cells: [count(events)],
        })),
        colour: 4,
      }),
    ),
    h("h3", {}, word("invariants")),
    figures.invariants === null
      ? h("p", { class: "muted" }, word("rulesUnread"))
      : table(
          word("invariants"),
          [{ name: word("invariant") }, { name: word("state") }, { name: word("brokenBy") }],
          figures.invariants
            .toSorted((a, b) => b.violations - a.violations)
            .map(({ name, violations, meaning }) => ({
              key: name,
              cells: [
                h("code", {}, name),
                violations === 0
                  ? badge("good", word("kept"))
                  : badge("bad", word("violated", { count: count(violations) })),
                h("span", { lang: "en" }, meaning),
              ],
            })),
          "card wide whole",
        ),
    h("h3", {}, word("jobs")),
    figures.clock ? null : h("p", { class: "muted" }, word("runByHand")),
    table(
      word("jobs"),
      ["job", "state", "lastRun", "schedule", "runBy", "does", "lastError"].map((name) => ({ name: word(name) })),
      figures.jobs
        .toSorted((a, b) => severity(a) - severity(b))
        .map((job) => ({
          key: job.name,
          cells: [
            h("code", {}, job.name),
            badge(JOB_KINDS[job.state], word(`job.${job.state}`)),
            job.lastRunAt === null ? word("never") : moment(job.lastRunAt),
            h("code", {}, job.schedule),
            job.runBy === "nobody" ? word("nobody") : h("code", {}, job.runBy),
            h("span", { lang: "en" }, job.does),
            job.lastErrorAt === null
              ? "–"
              : [`${moment(job.lastErrorAt)}: `, h("span", { lang: "en" }, long(job.lastError ?? ""))],
          ],
        })),
      "card wide whole",
    ),
  ];
}
