"""The paper of a settlement for accountants: both parties, the totals by fee, and how each fee was computed."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal, localcontext
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

from api.cli.amounts import major
from api.cli.texts import visible_line

Record: TypeAlias = dict[str, Any]
"""A settlement or a fee event as `get_settlement` returns it."""

STEPS = ("created", "invoiced", "paid", "written_off", "voided")
"""Those of a settlement, each with its time."""

LONGEST_NAME = 255
"""The characters of a name on paper. A uid has no more, but a character without a shape is shown as up to ten."""

TEMPLATE = Path(__file__).with_suffix(".typ")


class Language(StrEnum):
    """The language of a paper."""

    GERMAN = "de"
    ENGLISH = "en"


def statement_pdf(settlement: Record, events: Iterable[Record], language: Language) -> bytes:
    """The PDF of a settlement with its fee events. The same settlement makes the same bytes.

    Raises ImportError where the packages of the extra `pdf` are not installed.
    """
    if find_spec("typst") is None:
        raise ImportError("typst")
    created = datetime.fromisoformat(settlement["created_at"]).replace(microsecond=0)
    content = _Paper(settlement, settlement["decimals"], language).content(events)
    with tempfile.TemporaryDirectory(prefix="portal-") as folder:
        paper = Path(folder) / TEMPLATE.name
        paper.write_text(TEMPLATE.read_text())
        (Path(folder) / "data.json").write_text(json.dumps(content))
        command = [sys.executable, "-I", "-m", "api.paper.typeset", str(paper), created.isoformat()]
        subprocess.run(command, check=True)  # noqa: S603 (ours)
        return paper.with_suffix(".pdf").read_bytes()


@dataclass
class _Sums:
    """What one fee makes in a settlement, in minor units."""

    number: int = 0
    charged: int = 0
    reversed: int = 0
    adjusted: int = 0

    @property
    def total(self) -> int:
        return self.charged + self.reversed + self.adjusted


@dataclass
class _Paper:
    settlement: Record
    exponent: int
    language: Language
    words: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.words = {key: words[list(Language).index(self.language)] for key, words in WORDS.items()}

    def content(self, events: Iterable[Record]) -> dict[str, object]:
        """All that the template shows: texts only."""
        sums: dict[str, _Sums] = {}
        lines = []
        for event in events:
            self._add(sums.setdefault(event["fee_id"], _Sums()), event)
            lines.append(self._line(event))
        words, settlement = self.words, self.settlement
        name = settlement["number"] or settlement["id"]
        return {
            "language": self.language,
            "words": words,
            "title": f"{words['statement']} {visible_line(name)}",
            "footer": f"{words['statement']} {visible_line(name)} · {self._period()}",
            "facts": self._facts(),
            "total": self._amount(settlement["total_cents"], unit=True),
            "fees": {
                "head": [words[key] for key in ("fee", "number", "charged", "reversed", "adjusted", "sum")],
                "rows": [
                    [
                        visible_line(fee),
                        str(of.number),
                        *map(self._amount, (of.charged, of.reversed, of.adjusted, of.total)),
                    ]
                    for fee, of in sorted(sums.items())
                ],
                "sum": [
                    words["total"],
                    str(settlement["fee_events"]),
                    self._amount(settlement["charged_cents"]),
                    self._amount(settlement["reversed_cents"]),
                    self._amount(settlement["adjusted_cents"]),
                    self._amount(
                        settlement["charged_cents"] + settlement["reversed_cents"] + settlement["adjusted_cents"]
                    ),
                ],
            },
            "payers": {
                "head": [words[key] for key in ("payer", "number", "sum")],
                "rows": [
                    [self._who(payer["payer_uid"]), str(payer["fee_events"]), self._amount(payer["total_cents"])]
                    for payer in settlement["payers"]
                ],
            },
            "payments": {
                "head": [words[key] for key in ("day", "payer", "reference", "sum")],
                "rows": [
                    [
                        self._day(payment["paid_on"]),
                        self._who(payment["payer_uid"]),
                        visible_line(payment["reference"] or ""),
                        self._amount(payment["amount_cents"]),
                    ]
                    for payment in settlement["payments"]
                ],
            },
            "lines": {"head": [words[key] for key in ("day", "how", "payer", "sum")], "rows": lines},
        }

    def _facts(self) -> list[tuple[str, str]]:
        words, settlement = self.words, self.settlement
        status = words[settlement["status"]] + (f", {words['overdue']}" if settlement["is_overdue"] else "")
        facts = [
            (words["id"], settlement["id"]),
            (words["beneficiary"], visible_line(settlement["beneficiary_uid"])),
            (words["payer"], ", ".join(self._who(payer["payer_uid"]) for payer in settlement["payers"][:5])
             + (" …" if len(settlement["payers"]) > 5 else "")),
            (words["period"], self._period()),
            (words["status"], status),
        ]  # fmt: skip
        steps = [(f"{step}_on", settlement[f"{step}_at"]) for step in STEPS]
        facts += [(words[step], self._day(moment)) for step, moment in steps if moment]
        if settlement["due_on"]:
            facts.append((words["due"], self._day(settlement["due_on"])))
        if settlement["paid_cents"]:
            facts.append((words["paid_so_far"], self._amount(settlement["paid_cents"], unit=True)))
        reasons = [settlement[name] for name in ("write_off_reason", "void_reason")]
        facts += [(words["reason"], visible_line(reason)) for reason in reasons if reason]
        for key in ("replaces", "replaced_by"):
            facts += [(words[key], visible_line(other["number"] or other["id"])) for other in settlement[key]]
        return facts

    def _line(self, event: Record) -> list[str]:
        words = self.words
        subject = f"{words[event['subject_type']]} {visible_line(event['subject_id'])}"
        if event["slot_start"]:
            subject += f", {words['appointment']} {self._day(event['slot_start'])} {event['slot_start'][11:16]}"
        # a correction of an earlier month is due in this period
        if event["month"][:7] != self.settlement["period_from"][:7]:
            subject += f"; {words['month']} {event['month'][:7]}"
        return [
            self._day(event["created_at"]),
            f"{visible_line(event['fee_id'])}: {subject}\n{self._calculation(event)}",
            self._who(event["payer_uid"]),
            self._amount(event["amount_cents"]),
        ]

    def _calculation(self, event: Record) -> str:
        words, charge = self.words, event["reverses"] or event["adjusts"]
        if charge is None:
            fixed = f" + {self._amount(event['fixed_cents'])}" if event["fixed_cents"] else ""
            exact = self._number(major(event["unrounded"], self.exponent), decimals="#" * 20)
            rate = self._number(Decimal(event["rate"]) * 100, places=0, decimals="####")
            bound = f"; {words[event['bound']]}" if event["bound"] else ""
            return f"{self._amount(event['base_cents'])} × {rate} %{fixed} = {exact}{bound}"
        told = f"{words['reverses' if event['reverses'] else 'adjusts']} {charge}"
        if corrected := event["corrects_number"] or event["corrects_settlement_id"]:
            told += f" ({words['statement']} {visible_line(corrected)})"
        return told + (f": {visible_line(event['reason'])}" if event["reason"] else "")

    @staticmethod
    def _add(sums: _Sums, event: Record) -> None:
        sums.number += 1
        if event["reverses"]:
            sums.reversed += event["amount_cents"]
        elif event["adjusts"]:
            sums.adjusted += event["amount_cents"]
        else:
            sums.charged += event["amount_cents"]

    def _who(self, uid: str | None) -> str:
        name = "–" if uid is None else visible_line(uid)
        return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}…"

    def _period(self) -> str:
        last = date.fromisoformat(self.settlement["period_to"]) - timedelta(days=1)
        return f"{self._day(self.settlement['period_from'])} – {self._day(last.isoformat())}"

    def _day(self, moment: str) -> str:
        from babel.dates import format_date

        return format_date(date.fromisoformat(moment[:10]), "medium", locale=self.language)

    def _amount(self, cents: int | None, *, unit: bool = False) -> str:
        amount = self._number(major(cents or 0, self.exponent))
        return f"{amount} {self.settlement['currency']}" if unit else amount

    def _number(self, value: str | Decimal, *, places: int | None = None, decimals: str = "") -> str:
        """The number in the form of the language, with all its digits."""
        from babel.numbers import format_decimal

        decimals = "0" * (self.exponent if places is None else places) + decimals
        pattern = f"#,##0.{decimals}" if decimals else "#,##0"
        with localcontext(prec=100):  # of more digits than usual, too
            return format_decimal(Decimal(value), pattern, locale=self.language, decimal_quantization=False)


WORDS: dict[str, tuple[str, str]] = {
    "statement": ("Abrechnung", "Statement"),
    "page": ("Seite", "Page"),
    "of": ("von", "of"),
    "id": ("Kennung", "Id"),
    "beneficiary": ("Empfänger", "Beneficiary"),
    "payer": ("Zahler", "Payer"),
    "period": ("Zeitraum", "Period"),
    "status": ("Stand", "Status"),
    "open": ("offen", "open"),
    "invoiced": ("in Rechnung gestellt", "invoiced"),
    "paid": ("bezahlt", "paid"),
    "written_off": ("abgeschrieben", "written off"),
    "voided": ("storniert", "voided"),
    "overdue": ("überfällig", "overdue"),
    "created_on": ("Erstellt am", "Created on"),
    "invoiced_on": ("Rechnung vom", "Invoiced on"),
    "paid_on": ("Bezahlt am", "Paid on"),
    "written_off_on": ("Abgeschrieben am", "Written off on"),
    "voided_on": ("Storniert am", "Voided on"),
    "due": ("Fällig am", "Due on"),
    "paid_so_far": ("Gezahlt", "Paid so far"),
    "reason": ("Grund", "Reason"),
    "replaces": ("Ersetzt", "Replaces"),
    "replaced_by": ("Ersetzt durch", "Replaced by"),
    "total": ("Summe", "Total"),
    "by_fee": ("Summen nach Gebühren", "Totals by fee"),
    "by_payer": ("Summen nach Zahlern", "Totals by payer"),
    "payments": ("Zahlungen", "Payments"),
    "lines": ("Posten", "Items"),
    "explanation": (
        "Gebühr = Grundlage × Satz + fester Teil, einmal kaufmännisch auf die kleinste Einheit der Währung gerundet, "
        "innerhalb von Mindest- und Höchstbetrag.",
        "Fee = base × rate + fixed part, rounded once, half away from zero, to the smallest unit of the currency, "
        "within the minimum and the maximum.",
    ),
    "fee": ("Gebühr", "Fee"),
    "number": ("Anzahl", "Count"),
    "charged": ("Belastet", "Charged"),
    "reversed": ("Zurückgenommen", "Reversed"),
    "adjusted": ("Berichtigt", "Adjusted"),
    "sum": ("Betrag", "Amount"),
    "day": ("Tag", "Day"),
    "reference": ("Verwendungszweck", "Reference"),
    "how": ("Wofür, und wie berechnet", "What for, and how computed"),
    "voucher_booking": ("Buchung", "Booking"),
    "transfer": ("Überweisung", "Transfer"),
    "mortgage_contract": ("Hypothekenvertrag", "Mortgage contract"),
    "appointment": ("Termin", "appointment"),
    "month": ("Monat", "month"),
    "minimum": ("Mindestbetrag", "minimum"),
    "maximum": ("Höchstbetrag", "maximum"),
    "reverses": ("nimmt zurück:", "reverses"),
    "adjusts": ("berichtigt:", "adjusts"),
}
"""The words of the paper: in German, and in English."""
