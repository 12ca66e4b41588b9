// Elements, and how they change under a reader's hands. Texts are only ever set as text.

/** An element with attributes (true sets one, false omits it) and children: elements or texts. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null));
  return element;
}

/** Replaces the children of an element, but keeps equal ones with their focus and open details. */
export function update(element, ...children) {
  const fresh = children.flat(Infinity).filter((child) => child !== null);
  const wanted = new Set(fresh.map(keyOf).filter(Boolean));
  const keyed = new Map();
  for (const old of [...element.childNodes]) {
    if (!keyOf(old)) continue;
    if (wanted.has(keyOf(old))) keyed.set(keyOf(old), old);
    else old.remove();
  }
  let place = element.firstChild;
  for (const child of fresh) {
    const node = typeof child === "string" ? document.createTextNode(child) : child;
    const old = keyOf(node) ? keyed.get(keyOf(node)) : place;
    if (!old || !isAlike(old, node)) {
      element.insertBefore(node, place);
      continue;
    }
    if (old === place) place = place.nextSibling;
    else element.insertBefore(old, place);
    change(old, node);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

const keyOf = (node) => node.dataset?.key;

const isAlike = (old, node) => old.nodeName === node.nodeName && keyOf(old) === keyOf(node);

function change(old, node) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== node.data) old.data = node.data;
    return;
  }
  if (old.isEqualNode(node)) return;
  for (const { name } of [...old.attributes]) {
    // details that the reader opened stay open
    if (!node.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of node.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  if (!old.hasAttribute("data-plot")) update(old, ...node.childNodes); // a plot is drawn by charts.js
}

/** A table in its own region, which scrolls if it is too wide. Rows are {key, cells}. */
export function table(caption, columns, rows, kind = "") {
  return h(
    "div",
    { class: `scroll ${kind}`, role: "region", tabindex: "0", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", { class: "hidden" }, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map(({ name, numeric }) => h("th", { scope: "col", ...isNumber(numeric) }, name)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map(({ key, cells }) =>
          h(
            "tr",
            { "data-key": key },
            cells.map((cell, at) =>
              h(
                at === 0 ? "th" : "td",
                {
                  ...(at === 0 ? { scope: "row" } : {}),
                  ...isNumber(columns[at].numeric),
                },
                cell,
              ),
            ),
          ),
        ),
      ),
    ),
  );
}

const isNumber = (numeric) => (numeric ? { class: "number" } : {});

/** Names and values, as a row of key figures. */
export function keyFigures(pairs) {
  return h(
    "dl",
    { class: "key-figures" },
    pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

/** A state in words, with a sign and a colour: good, warn, bad or quiet. */
export function badge(kind, text) {
  const sign = { good: "✓", warn: "!", bad: "✕", quiet: "·" }[kind];
  return h("span", { class: `badge ${kind}` }, h("span", { "aria-hidden": "true" }, sign), ` ${text}`);
}

/** A text that may be very long: its beginning, with the whole text in details. */
export function long(text, limit = 80) {
  if (text.length <= limit) return text;
  return h("details", {}, h("summary", {}, `${text.slice(0, limit)}…`), h("p", {}, text));
}
