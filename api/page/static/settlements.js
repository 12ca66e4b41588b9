// Settlements with a statement each, and the latest events.

import { badge, h, keyFigures, long, table, update } from "./dom.js";
import { count, day, decimalsOf, moment, money, percent, period } from "./format.js";
import { ask, NoAnswer, PREFIX } from "./server.js";
import { language, word } from "./words.js";

const PAGE = 100;
const MAX_PAPER = 1000; // fee events of a PDF: the server refuses more
const KINDS = { open: "quiet", invoiced: "quiet", paid: "good", written_off: "quiet", voided: "quiet" };

function status(settlement) {
  const name = word(`settlement.${settlement.status}`);
  return settlement.isOverdue ? badge("warn", `${name}, ${word("overdue")}`) : badge(KINDS[settlement.status], name);
}
const periodOf = (settlement) => period(settlement.periodFrom, settlement.periodTo);
const title = (settlement) => word("statementOf", { period: periodOf(settlement), uid: settlement.beneficiaryUid });

/** The table of settlements, or a sentence where there is none. */
export function settlements({ settlements: { items } }) {
  if (items.length === 0) return [h("p", { class: "muted" }, word("noSettlements"))];
  const caption = word("latestSettlements", { count: count(items.length) });
  const columns = ["settlementPeriod", "invoiceNumber", "beneficiary", "total", "paid", "dueOn", "state", "statement"];
  return [
    table(
      caption,
      columns.map((name) => ({ name: word(name), numeric: name === "total" || name === "paid" })),
      items.map((settlement) => ({
        key: settlement.id,
        cells: [
          periodOf(settlement),
          long(settlement.number ?? "–"),
          long(settlement.beneficiaryUid),
          money(settlement.totalCents, settlement.currency),
          settlement.paidCents === 0 ? "–" : money(settlement.paidCents, settlement.currency),
          settlement.dueOn === null ? "–" : day(settlement.dueOn),
          status(settlement),
          h(
            "button",
            {
              type: "button",
              "data-statement": settlement.id,
              "aria-label": `${word("openStatement")}: ${title(settlement)}`, // the visible words first
            },
            word("openStatement"),
          ),
        ],
      })),
      "card tall",
    ),
  ];
}

/** The table of the latest events, or a sentence where there is none. */
export function events({ events: { items } }) {
  if (items.length === 0) return [h("p", { class: "muted" }, word("noEvents"))];
  const columns = [word("time"), word("type"), word("actor"), word("subject"), word("details")];
  return [
    table(
      word("latestEvents", { count: count(items.length) }),
      columns.map((name) => ({ name })),
      items.map((event) => ({
        key: event.id,
        cells: [
          moment(event.createdAt),
          long(event.type),
          long(event.actorId ?? "–"),
          long([event.subjectType, event.subjectId].filter(Boolean).join(" ") || "–"),
          Object.keys(event.meta).length === 0 ? "–" : h("code", {}, long(JSON.stringify(event.meta), 60)),
        ],
      })),
      "card tall wide",
    ),
  ];
}

const dialog = document.getElementById("statement");
const body = dialog.querySelector("[data-part]");
const more = document.getElementById("statement-more");
const error = document.getElementById("statement-error");
const close = document.getElementById("statement-close");
const paper = document.getElementById("statement-pdf");
let shown = null; // {id, settlement, items}

/** Opens the statement of a settlement; `say` turns an error into a sentence. */
export async function openStatement(id, say) {
  shown = { id, settlement: null, items: [] };
  update(body, h("p", { class: "muted" }, word("loading")));
  more.hidden = true;
  paper.hidden = true;
  // another settlement may have led here
  if (dialog.open) close.focus();
  else dialog.showModal();
  await loadMore(say);
}

/** Loads the next page of fee events. */
export async function loadMore(say) {
  const statement = shown;
  const after = statement.items.at(-1)?.id;
  more.disabled = true;
  error.textContent = "";
  try {
    const answer = await ask(`/settlements/${statement.id}?limit=${PAGE}${after ? `&after=${after}` : ""}`);
    if (shown !== statement) return; // another statement was opened meanwhile
    statement.settlement = answer.settlement;
    statement.items.push(...answer.items);
    showStatement(answer.items.length === PAGE);
  } catch (reason) {
    if (!(reason instanceof NoAnswer)) throw reason;
    if (shown === statement) error.textContent = say(reason);
  } finally {
    more.disabled = false;
  }
}

/** Shows the statement again, in the page's language. */
export function showStatement(hasMore = !more.hidden) {
  if (!shown?.settlement) return;
  const { settlement, items } = shown;
  const cents = (amount) => money(amount, settlement.currency);
  const hadFocus = document.activeElement === more;
  update(
    body,
    h("p", { class: "lead" }, title(settlement)),
    keyFigures([
      ...(settlement.number === null
        ? []
        : [
            [word("invoiceNumber"), long(settlement.number)],
            [word("dueOn"), day(settlement.dueOn)],
            [word("paid"), cents(settlement.paidCents)],
          ]),
      [word("total"), cents(settlement.totalCents)],
      [word("state"), status(settlement)],
      [word("charged"), cents(settlement.chargedCents)],
      [word("reversed"), cents(settlement.reversedCents)],
      [word("adjusted"), cents(settlement.adjustedCents)],
      [word("feeEvents"), count(settlement.feeEvents)],
      ...["createdAt", "invoicedAt", "paidAt", "writtenOffAt", "voidedAt"]
        .filter((field) => settlement[field] !== null)
        .map((field) => [word(field), moment(settlement[field])]),
      ...(settlement.writeOffReason === null ? [] : [[word("writeOffReason"), long(settlement.writeOffReason)]]),
      ...(settlement.voidReason === null ? [] : [[word("voidReason"), long(settlement.voidReason)]]),
      ...["replaces", "replacedBy"]
        .filter((field) => settlement[field].length > 0)
        .map((field) => [word(field), settlement[field].map(other)]),
    ]),
    parts(settlement),
    items.length === 0
      ? h("p", { class: "muted" }, word("noFeeEvents"))
      : [
          table(
            word("feeEvents"),
            [word("time"), word("fee"), word("subject"), word("explanation"), word("amount")].map((name, at) => ({
              name,
              numeric: at === 4,
            })),
            items.map((event) => ({
              key: event.id,
              cells: [
                moment(event.createdAt),
                h("code", {}, event.feeId),
                [`${word(`subject.${event.subjectType}`)} `, h("code", {}, long(event.subjectId, 40))],
                explanation(event),
                money(event.amountCents, event.currency),
              ],
            })),
            "tall wide",
          ),
          h(
            "p",
            { class: "muted" },
            word("shownOf", { count: count(items.length), total: count(settlement.feeEvents) }),
          ),
        ],
  );
  more.hidden = !hasMore;
  paper.href = `${PREFIX}/api/admin/settlements/${settlement.id}/pdf?language=${language()}`;
  paper.hidden = settlement.feeEvents > MAX_PAPER;
  if (hadFocus && !hasMore) [...body.querySelectorAll(".scroll")].at(-1).focus(); // the fee events
}

/** A button that opens another settlement. */
const other = ({ id, number }) => h("button", { type: "button", "data-statement": id }, long(number ?? id));

const payer = (uid) => (uid === null ? word("unknownPayer") : long(uid));

/** The tables of payers and payments, where there are any. */
function parts({ payers, payments, currency }) {
  return [
    payers.length === 0
      ? null
      : table(
          word("payers"),
          [{ name: word("payer") }, { name: word("feeEvents"), numeric: true }, { name: word("total"), numeric: true }],
          payers.map((part) => ({
            key: `payer ${part.payerUid}`,
            cells: [payer(part.payerUid), count(part.feeEvents), money(part.totalCents, currency)],
          })),
          "tall",
        ),
    payments.length === 0
      ? null
      : table(
          word("payments"),
          [
            ...["paidOn", "payer", "reference", "recordedBy"].map((name) => ({ name: word(name) })),
            { name: word("amount"), numeric: true },
          ],
          payments.map((part) => ({
            key: part.id,
            cells: [
              day(part.paidOn),
              part.payerUid === null ? "–" : long(part.payerUid),
              long(part.reference ?? "–"),
              long(part.recordedBy),
              money(part.amountCents, currency),
            ],
          })),
          "tall",
        ),
  ];
}

/** The calculation of an amount. */
function explanation(event) {
  if (event.reverses !== null) return [word("takesBack", { id: "" }), h("code", {}, event.reverses)];
  if (event.adjusts !== null) return [word("adjusts", { id: "" }), h("code", {}, event.adjusts)];
  if (event.rate === null) return "–";
  const { currency } = event;
  let part = word("rateOfBase", { rate: percent(event.rate), base: money(event.baseCents, currency) });
  if (event.rate === 0) part = money(event.fixedCents, currency);
  else if (event.fixedCents !== 0) part = word("plusFixed", { part, fixed: money(event.fixedCents, currency) });
  const unrounded = money(Number(event.unrounded), currency, decimalsOf(currency) + 4);
  if (event.bound === "minimum") return word("minimumApplied", { part, unrounded });
  if (event.bound === "maximum") return word("maximumApplied", { part, unrounded });
  return Number(event.unrounded) === event.amountCents ? part : word("rounded", { part, unrounded });
}

close.addEventListener("click", () => dialog.close());
