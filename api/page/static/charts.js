// Plots, drawn by Vega-Lite in the page's own colours; words and numbers come written in the page's language.

import { h } from "./dom.js";
import { language } from "./words.js";

const scheme = matchMedia("(prefers-color-scheme: dark)");
const drawn = new WeakMap(); // by element: what was drawn, and how to remove it

let vega;
const loadVega = () => (vega ??= import("./vega.js"));

// what a series is drawn as: bars stand on each other; points and rings are drawn only where something happened
const MARKS = {
  bar: { type: "bar", cornerRadiusEnd: 1 },
  ring: { type: "point", size: 90, strokeWidth: 2 },
  point: { type: "point", filled: true, size: 50, opacity: 1, style: "halo" },
};

/**
 * Counts or amounts by day. `series` are {name, field, colour, as: "bar" | "ring" | "point"}; `rows` have a day and the
 * fields; `write` formats a number, `writeDay` a day. The axis covers all days of `ends`, and earlier days that have
 * rows; `isWhole` means that all values are integers.
 */
export function byDay({ rows, series, ends, write, writeDay, isWhole }) {
  const values = rows
    .flatMap(({ day, ...row }) =>
      series.map(({ name, field }, at) => ({
        day,
        at,
        value: row[field],
        label: `${writeDay(day)}\n${name}: ${write(row[field])}`,
      })),
    )
    .filter(({ value }) => value !== 0);
  const first = rows.reduce((earliest, { day }) => (day < earliest ? day : earliest), ends.first);
  const among = (as) => series.flatMap((one, at) => (one.as === as ? [at] : []));
  const layers = Object.keys(MARKS).filter((as) => values.some(({ at }) => among(as).includes(at)));
  return {
    height: 190,
    data: { values },
    layer: layers.map((as) => ({
      mark: { ...MARKS[as], aria: false, binSpacing: rows.length > 45 ? 0 : 1 },
      transform: [{ filter: { field: "at", oneOf: among(as) } }],
      encoding: {
        x: {
          field: "day",
          timeUnit: "utcyearmonthdate",
          bandPosition: 0.5,
          type: "temporal",
          title: null,
          scale: { type: "utc", domain: [first, dayAfter(ends.last)].map(asDate) },
          axis: { format: language() === "de" ? "%-d. %b" : "%-d %b", grid: false, labelOverlap: true, tickCount: 5 },
        },
        y: {
          field: "value",
          type: "quantitative",
          title: null,
          stack: as === "bar" ? "zero" : null,
          axis: numbers(values, isWhole),
        },
        color: {
          field: "at",
          type: "nominal",
          legend: null,
          scale: { domain: series.map((_, at) => at), range: series.map(({ colour }) => `series-${colour}`) },
        },
        tooltip: { field: "label" },
      },
    })),
  };
}

/** An axis of numbers in a D3 format; integers have no ticks between 1 and 2. */
function numbers(values, isWhole, format = ",~f") {
  const most = values.reduce((max, { value }) => Math.max(max, value), 1);
  return { format, tickCount: isWhole ? Math.min(4, most) : 4 };
}

/** Amounts by name, as horizontal bars: `rows` are {name, value, text}; `format` is the D3 format of the axis. */
export function byName({ rows, colour = 1, isWhole, format }) {
  const values = rows.map(({ name, value, text }, at) => ({ at, name, value, label: `${name}: ${text}` }));
  return {
    height: rows.length * 26,
    data: { name: "rows", values },
    mark: { type: "bar", aria: false, cornerRadiusEnd: 2, height: 14 },
    encoding: {
      // by number, because Vega keeps a scale's values as keys of an object, where "__proto__" is lost
      y: {
        field: "at",
        type: "nominal",
        title: null,
        axis: { labelExpr: "data('rows')[datum.value].name", labelLimit: 130, ticks: false, domain: false },
      },
      x: { field: "value", type: "quantitative", title: null, stack: null, axis: numbers(values, isWhole, format) },
      color: { value: `series-${colour}` },
      tooltip: { field: "label" },
    },
  };
}

/** The placeholder of a plot, and its legend. */
export function plot(spec, description, series = []) {
  return [
    series.length > 1
      ? h(
          "ul",
          { class: "legend" },
          series.map(({ name, colour, as }) => h("li", { class: `series-${colour} ${as}` }, name)),
        )
      : null,
    h("div", { class: "plot", "data-plot": JSON.stringify({ ...spec, description }) }),
  ];
}

/** Draws the plots whose figures, language or colours have changed. Throws where Vega cannot be loaded. */
export async function drawAll() {
  const places = [...document.querySelectorAll("[data-plot]")].filter((place) => place.checkVisibility());
  if (places.length === 0) return;
  const { vegaEmbed } = await loadVega().catch((error) => {
    vega = undefined; // load it again the next time
    throw error;
  });
  for (const place of places) {
    const wanted = `${language()} ${scheme.matches} ${place.dataset.plot}`;
    if (drawn.get(place)?.wanted === wanted || !place.isConnected) continue;
    drawn.get(place)?.view?.finalize();
    drawn.set(place, { wanted });
    const view = await vegaEmbed(place, inColour(JSON.parse(place.dataset.plot)), {
      actions: false,
      ast: true, // Vega interprets expressions instead of using eval
      defaultStyle: false,
      renderer: "svg",
      tooltip: showTip,
      ...locale(),
    });
    drawn.set(place, { wanted, view });
  }
}

export const onSchemeChange = (redraw) => scheme.addEventListener("change", redraw);

const asDate = (day) => ({
  year: Number(day.slice(0, 4)),
  month: Number(day.slice(5, 7)),
  date: Number(day.slice(8)),
  utc: true,
});

function dayAfter(day) {
  return new Date(Date.parse(day) + 86_400_000).toISOString().slice(0, 10);
}

/** The plot with the colours and fonts of the page's style sheet. */
function inColour(spec) {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const text = { labelColor: colour("muted"), labelFont: colour("font"), labelFontSize: 12 };
  const painted = JSON.parse(JSON.stringify(spec), (key, value) =>
    // names of colours stand only where the plot is made, never among its data
    key === "range" ? value.map(colour) : key === "color" && value.value ? { value: colour(value.value) } : value,
  );
  painted.data = spec.data;
  return {
    ...painted,
    width: "container",
    autosize: { type: "fit-x", contains: "padding" },
    background: null,
    config: {
      view: { stroke: null },
      style: { halo: { stroke: colour("surface"), strokeWidth: 1.5 } },
      axis: { ...text, gridColor: colour("line"), domainColor: colour("line"), tickColor: colour("line"), aria: false },
    },
  };
}

/** The locale in which Vega formats numbers and dates on its axes. */
function locale() {
  const names = (count, write) => Array.from({ length: count }, (_, at) => write(at));
  const intl = (options) => new Intl.DateTimeFormat(language(), { ...options, timeZone: "UTC" });
  const month = (options) => names(12, (at) => intl(options).format(Date.UTC(2026, at, 1)));
  const weekday = (options) => names(7, (at) => intl(options).format(Date.UTC(2026, 1, 1 + at))); // a Sunday
  const german = language() === "de";
  return {
    formatLocale: {
      decimal: german ? "," : ".",
      thousands: german ? "." : ",",
      grouping: [3],
      currency: ["", ""],
      percent: german ? "\u00a0%" : "%",
    },
    timeFormatLocale: {
      dateTime: "%x, %X",
      date: german ? "%d.%m.%Y" : "%d/%m/%Y",
      time: "%H:%M:%S",
      periods: ["AM", "PM"],
      days: weekday({ weekday: "long" }),
      shortDays: weekday({ weekday: "short" }),
      months: month({ month: "long" }),
      shortMonths: month({ month: "short" }),
    },
  };
}

/** The tooltip: the figure under the pointer. Without a pointer, the table has the same figures. */
function showTip(_, event, __, text) {
  const tip = document.getElementById("tip");
  tip.hidden = !text;
  if (!text) return;
  tip.textContent = text;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, innerWidth - width - 12))}px`;
  tip.style.top = `${Math.max(4, event.clientY - height - 12)}px`;
}
