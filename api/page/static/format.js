// Numbers, money, days and times, as the page's language writes them.

import { language } from "./words.js";

let zone; // the portal's time zone, if the browser knows it
const exponents = new Map(); // decimals by currency, from the server

export function setTimeZone(name) {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    zone = name;
  } catch {
    zone = undefined;
  }
}

/** Remembers the decimals of every currency in these rows. */
export function learnDecimals(rows) {
  for (const { currency, decimals } of rows) exponents.set(currency, decimals);
}

/** Today (2026-11-24) in the portal's time zone. */
export const today = () => new Intl.DateTimeFormat("sv-SE", { timeZone: zone }).format(new Date());

export const count = (number) => new Intl.NumberFormat(language()).format(number);

/** A number with one decimal at most. */
export const decimal = (number) => new Intl.NumberFormat(language(), { maximumFractionDigits: 1 }).format(number);

/** A fraction in percent; a dash for null. */
export function percent(fraction) {
  if (fraction === null) return "–";
  return new Intl.NumberFormat(language(), { style: "percent", maximumFractionDigits: 2 }).format(fraction);
}

/** The number of decimals of a currency. */
export function decimalsOf(currency) {
  if (!exponents.has(currency)) {
    let digits = 2;
    try {
      digits = new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits;
    } catch {
      // not a currency code of ISO 4217
    }
    exponents.set(currency, digits);
  }
  return exponents.get(currency);
}

/** Converts minor units into major units, for a chart. */
export const major = (cents, currency) => cents / 10 ** decimalsOf(currency);

/** Minor units as money; `digits` shows more decimals, for unrounded amounts. */
export function money(cents, currency, digits = decimalsOf(currency)) {
  const decimals = decimalsOf(currency);
  const options = { minimumFractionDigits: decimals, maximumFractionDigits: Math.max(decimals, digits) };
  const amount = cents / 10 ** decimals;
  try {
    return new Intl.NumberFormat(language(), { ...options, style: "currency", currency }).format(amount);
  } catch {
    return `${new Intl.NumberFormat(language(), options).format(amount)} ${currency}`;
  }
}

const date = (text, options) => new Intl.DateTimeFormat(language(), options).format(new Date(text));

/** A day (2026-11-24). */
export const day = (text) => date(text, { timeZone: "UTC", day: "numeric", month: "short", year: "numeric" });

/** A period of days, both included: 01.–31.10.2026. */
export function days(from, to) {
  return new Intl.DateTimeFormat(language(), { timeZone: "UTC", dateStyle: "medium" }).formatRange(
    new Date(from),
    new Date(to),
  );
}

/** A period of days, without the last one. */
export const period = (from, before) => days(from, new Date(before) - 86_400_000);

/** A time in the portal's time zone; a dash for null. */
export function moment(text) {
  return text === null ? "–" : date(text, { timeZone: zone, dateStyle: "medium", timeStyle: "medium" });
}

/** A time of today, in the reader's time zone. */
export const clock = (time) => new Intl.DateTimeFormat(language(), { timeStyle: "medium" }).format(time);
