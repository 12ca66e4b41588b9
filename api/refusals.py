"""Every way to say no: from a reason, raised by SQL or here, to the legacy status and sentence.

This is the one table. German sentences are the legacy servers' own (contract, sections 2 to 5); English ones answer on
telbank, mortgage, contracts, telemetry and admin, whose routes carry the opt `language`.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from litestar.openapi import ResponseSpec
from pydantic import BaseModel

Language = Literal["de", "en"]


class Sentence(NamedTuple):
    """A status, and a sentence in German and English. `{}` stands for the refusal's detail."""

    status: int
    de: str
    en: str


SENTENCES: dict[str, Sentence] = {
    # any route
    "invalid_json": Sentence(400, "invalid JSON body", "invalid JSON body"),
    "invalid_json_telbank": Sentence(400, "Invalid JSON body", "Invalid JSON body"),
    "value_invalid": Sentence(400, "Ungültiger Wert: {}", "invalid value: {}"),
    "text_expected": Sentence(400, "{} muss ein Text sein", "{} must be a text"),
    "whole_number_expected": Sentence(400, "{} muss eine ganze Zahl sein", "{} must be a whole number"),
    "json_unreasonable": Sentence(
        400,
        "JSON mit mehr als 63 Ebenen, mehr als 4 MiB oder zu großen Zahlen",
        "JSON of more than 63 levels, more than 4 MiB or with too large numbers",
    ),
    "date_invalid": Sentence(400, "{} ist kein gültiges Datum", "{} is not a valid date"),
    "date_out_of_range": Sentence(400, "Datum außerhalb der Jahre 1 bis 9999", "date outside of the years 1 to 9999"),
    "amount_out_of_range": Sentence(
        400,
        "Betrag muss eine ganze, nicht negative Zahl in Minor Units (Cent) sein, höchstens 9007199254740991",
        "amount out of range: whole minor units (cents), at most 9007199254740991",
    ),
    "duration_out_of_range": Sentence(
        400,
        "Dauer muss positiv sein, höchstens 525600 Minuten bzw. 100 Jahre",
        "a duration must be positive, at most 525600 minutes or 100 years",
    ),
    "interest_out_of_range": Sentence(
        400,
        "Zinssatz muss ein Anteil von 0 bis 99.9999 mit höchstens vier Nachkommastellen sein",
        "interest must be a fraction from 0 to 99.9999 with at most four decimals",
    ),
    "uid_invalid": Sentence(400, "Uid muss 1 bis 255 Zeichen haben", "uid must have 1 to 255 characters"),
    "not_signed_in": Sentence(401, "Nicht angemeldet", "not signed in"),
    "not_yourself": Sentence(403, "Nur für die eigene Uid erlaubt", "allowed for your own uid only"),
    "not_an_admin": Sentence(403, "Nur Admins dürfen das sehen", "only admins may see this"),
    "append_only": Sentence(403, "Was geschehen ist, bleibt geschrieben", "what happened stays written"),
    "foreign_origin": Sentence(
        403,
        "Anfrage von einer anderen Herkunft (Origin oder Host)",
        "request from another origin (Origin or Host)",
    ),
    "token_keys_away": Sentence(
        503,
        "Token kann gerade nicht geprüft werden, bitte gleich noch einmal",
        "the token cannot be checked now, please try again shortly",
    ),
    "idempotency_key_invalid": Sentence(
        400, "Idempotency-Key muss 1 bis 255 Zeichen haben", "Idempotency-Key must have 1 to 255 characters"
    ),
    "request_in_progress": Sentence(
        409,
        "Eine Anfrage mit diesem Idempotency-Key läuft noch, bitte gleich noch einmal",
        "a request with this Idempotency-Key is in progress, please try again shortly",
    ),
    "idempotency_key_reused": Sentence(
        422,
        "Dieser Idempotency-Key gehört zu einer anderen Anfrage",
        "this Idempotency-Key belongs to another request",
    ),
    "unsupported_encoding": Sentence(415, "unsupported content encoding", "unsupported content encoding"),
    "too_large": Sentence(413, "request body too large", "request body too large"),
    "rate_limited": Sentence(429, "rate limit exceeded", "rate limit exceeded"),
    "database_away": Sentence(
        503,
        "Datenbank nicht erreichbar, bitte gleich noch einmal",
        "database not available, please try again shortly",
    ),
    "busy": Sentence(503, "Datenbank ausgelastet, bitte gleich noch einmal", "database busy, please try again shortly"),
    "outcome_unknown": Sentence(
        503,
        "Verbindung zur Datenbank verloren: die Anfrage kann ausgeführt worden sein oder nicht",
        "connection to the database lost: the request may or may not have been carried out",
    ),
    # presence
    "token_required": Sentence(400, "token fehlt", "token fehlt"),
    "token_expired": Sentence(401, "Token abgelaufen", "Token abgelaufen"),
    "signature_invalid": Sentence(401, "Signatur ungültig", "Signatur ungültig"),
    "thinker_required": Sentence(400, "thinker_id fehlt", "thinker_id fehlt"),
    "pair_code_invalid": Sentence(
        400, "pair_code muss 1 bis 255 Zeichen haben", "pair_code must have 1 to 255 characters"
    ),
    # voucher and slots
    "issuer_required": Sentence(400, "issuerUid ist erforderlich", "issuerUid is required"),
    "voucher_required": Sentence(400, "voucherId ist erforderlich", "voucherId is required"),
    "voucher_not_found": Sentence(404, "Voucher nicht gefunden", "voucher not found"),
    "voucher_exists": Sentence(409, "Voucher existiert bereits", "voucher exists already"),
    "voucher_status_unknown": Sentence(
        400,
        "status muss issued, booked, consumed, cancelled oder expired sein",
        "status must be issued, booked, consumed, cancelled or expired",
    ),
    "valid_until_before_valid_from": Sentence(400, "validUntil liegt vor validFrom", "validUntil is before validFrom"),
    "booking_fields_required": Sentence(
        400,
        "voucherId, slotId und holderUid sind erforderlich",
        "voucherId, slotId and holderUid are required",
    ),
    "voucher_not_bookable": Sentence(
        400,
        "Voucher hat Status {} und kann nicht gebucht werden",
        "voucher has status {} and cannot be booked",
    ),
    "slot_not_offered": Sentence(400, "Slot nicht verfügbar", "slot not available"),
    "slot_taken": Sentence(400, "Slot nicht verfügbar", "slot already booked"),
    "booking_or_voucher_required": Sentence(
        400, "voucherId oder bookingId ist erforderlich", "voucherId or bookingId is required"
    ),
    "booking_not_found": Sentence(404, "Buchung nicht gefunden", "booking not found"),
    "booking_is_cancelled": Sentence(409, "Stornierte Buchung bleibt storniert", "a cancelled booking stays cancelled"),
    "not_a_party": Sentence(403, "Nur Aussteller oder Inhaber dürfen stornieren", "only issuer or holder may cancel"),
    # mortgages
    "borrower_header_required": Sentence(
        400, "X-MOT-User Header (borrowerUid) ist erforderlich", "X-MOT-User header (borrowerUid) is required"
    ),
    "lender_header_required": Sentence(
        400, "X-MOT-User Header (issuerId) ist erforderlich", "X-MOT-User header (issuerId) is required"
    ),
    "user_header_required": Sentence(400, "X-MOT-User Header ist erforderlich", "X-MOT-User header is required"),
    "role_unknown": Sentence(400, "Ungültige Rolle, erwarte borrower oder lender", "role must be borrower or lender"),
    "not_a_lender": Sentence(403, "Nur Lender dürfen alle Anträge sehen", "only lenders may see all applications"),
    "lender_role_required": Sentence(403, "Nur Lender dürfen Angebote machen", "only lenders may make offers"),
    "loan_invalid": Sentence(
        400, "desiredLoan muss {{amount, currency}} sein", "desiredLoan must be {{amount, currency}}"
    ),
    "rate_type_unknown": Sentence(
        400, "desiredRateType muss fixed oder variable sein", "desiredRateType must be fixed or variable"
    ),
    "application_status_unknown": Sentence(
        400,
        "status muss open, offered, accepted oder rejected sein",
        "status must be open, offered, accepted or rejected",
    ),
    "application_exists": Sentence(409, "Application existiert bereits", "application exists already"),
    "application_required": Sentence(400, "applicationId ist erforderlich", "applicationId is required"),
    "application_not_found": Sentence(404, "Application nicht gefunden", "application not found"),
    "application_closed": Sentence(
        409,
        "Application hat Status {} und nimmt keine Angebote an",
        "application has status {} and takes no offers",
    ),
    "offer_exists": Sentence(409, "Offer existiert bereits", "offer exists already"),
    "offer_required": Sentence(400, "voucherId ist erforderlich", "voucherId is required"),
    "offer_not_found": Sentence(404, "Offer nicht gefunden", "offer not found"),
    "offer_not_open": Sentence(
        400,
        "Offer hat Status {} und kann nicht akzeptiert werden",
        "offer has status {} and cannot be accepted",
    ),
    "not_the_offers_borrower": Sentence(
        403, "Offer gehört nicht zu diesem Borrower", "offer does not belong to this borrower"
    ),
    "signing_fields_required": Sentence(
        400, "contractVoucherId und action sind erforderlich", "contractVoucherId and action are required"
    ),
    "mortgage_contract_not_found": Sentence(404, "Contract nicht gefunden", "contract not found"),
    "signer_unknown": Sentence(400, "Unbekannte action", "unknown action"),
    "not_the_borrower": Sentence(
        403, "Nur der Borrower darf diese Aktion durchführen", "only the borrower may do this"
    ),
    "not_the_lender": Sentence(403, "Nur der Lender darf diese Aktion durchführen", "only the lender may do this"),
    "not_a_notary": Sentence(403, "Nur ein Notar darf diese Aktion durchführen", "only a notary may do this"),
    # telbank
    "direction_unknown": Sentence(400, "Invalid direction", "Invalid direction"),
    "amounts_required": Sentence(
        400,
        "cryptoAmount, cryptoSymbol, fiatAmount and fiatCurrency are required as numbers/strings",
        "cryptoAmount, cryptoSymbol, fiatAmount and fiatCurrency are required as numbers/strings",
    ),
    "transfer_not_found": Sentence(404, "Not found", "Not found"),
    # contracts
    "multipart_expected": Sentence(400, "expected multipart/form-data", "expected multipart/form-data"),
    "file_required": Sentence(400, "file field is required", "file field is required"),
    "not_your_room": Sentence(403, "only who is in the room may do this", "only who is in the room may do this"),
    "storage_away": Sentence(503, "document store not available", "document store not available"),
    # telemetry and admin
    "events_required": Sentence(400, "an array of events is required", "an array of events is required"),
    "too_many_events": Sentence(413, "more than 1000 events", "more than 1000 events"),
    "voucher_is_booked": Sentence(409, "Voucher ist gebucht: sein Preis bleibt", "voucher is booked: its price stays"),
    "period_invalid": Sentence(
        400,
        "Ein Zeitraum geht von einem Tag bis vor einen späteren",
        "a period goes from a day to before a later one",
    ),
    "days_invalid": Sentence(
        400,
        "Ein Zeitraum hat 1 bis 1096 Tage in den Jahren 1 bis 9999",
        "a period has 1 to 1096 days of the years 1 to 9999",
    ),
    "settlement_not_found": Sentence(404, "Abrechnung nicht gefunden", "settlement not found"),
    "settlement_move_refused": Sentence(
        409, "Abrechnung mit Status {} erlaubt das nicht", "a settlement with status {} does not allow that"
    ),
    "limit_invalid": Sentence(400, "limit must be a whole number", "limit must be a whole number"),
}


class Refused(Exception):  # noqa: N818 (it is an answer, not a fault)
    """A request is refused for a reason, which stands in SENTENCES; `detail` fills the sentence's `{}`."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail

    @property
    def status(self) -> int:
        """The legacy status of the reason."""
        return SENTENCES[self.reason].status

    def sentence(self, language: Language) -> str:
        """The legacy sentence of the reason."""
        sentence = SENTENCES[self.reason]
        return (sentence.en if language == "en" else sentence.de).format(self.detail)


class ErrorBody(BaseModel):
    """Every refusal's body."""

    ok: Literal[False] = False
    error: str


_ANY_ROUTE = ("database_away", "busy", "outcome_unknown")
_ANY_CALLER = ("not_signed_in", "not_yourself", "foreign_origin", "token_keys_away")
_ANY_BODY = ("invalid_json", "value_invalid", "text_expected", "json_unreasonable", "too_large", "unsupported_encoding")

ANY_KEY = ("idempotency_key_invalid", "request_in_progress", "idempotency_key_reused")
"""Why a request with an Idempotency-Key may be refused."""


def refusals(
    *reasons: str, language: Language = "de", body: bool = False, is_open: bool = False
) -> dict[int, ResponseSpec]:
    """What OpenAPI says of a route's errors: the statuses and sentences of these reasons, and of those any route has.

    `body` adds the reasons of a request with a JSON body, which may carry an Idempotency-Key; `is_open` leaves out that
    it is asked who asks.
    """
    sentences: dict[int, list[str]] = {} if is_open else {401: ["invalid api key", "invalid token"]}
    callers = ("foreign_origin",) if is_open else _ANY_CALLER
    names: Sequence[str] = (*((*_ANY_BODY, *ANY_KEY) if body else ()), *reasons, *callers, *_ANY_ROUTE)
    for name in names:
        refused = Refused(name, "…")
        sentences.setdefault(refused.status, []).append(refused.sentence(language))
    return {
        status: ResponseSpec(ErrorBody, description="; ".join(texts), generate_examples=False)
        for status, texts in sorted(sentences.items())
    }
