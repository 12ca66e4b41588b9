"""The errors of the API: one table from code to HTTP status and message, in German and English.

SQL raises a code as its message (`raise sqlstate 'PT409' using message = 'slot_taken'`); Python raises ApiError(code).
The German messages are the legacy servers' own. Routes with the opt `language` = "en" (telbank, mortgage, contracts,
telemetry, admin) answer in English.
"""

from typing import Literal, NamedTuple

Language = Literal["de", "en"]


class Error(NamedTuple):
    """An HTTP status and a message in two languages; `{}` stands for the detail."""

    status: int
    de: str
    en: str


ERRORS: dict[str, Error] = {
    # any route
    "invalid_json": Error(400, "invalid JSON body", "invalid JSON body"),
    "invalid_json_telbank": Error(400, "Invalid JSON body", "Invalid JSON body"),
    "value_invalid": Error(400, "Ungültiger Wert: {}", "invalid value: {}"),
    "text_expected": Error(400, "{} muss ein Text sein", "{} must be a text"),
    "whole_number_expected": Error(400, "{} muss eine ganze Zahl sein", "{} must be a whole number"),
    "json_unreasonable": Error(
        400,
        "JSON mit mehr als 63 Ebenen, mehr als 64 KiB, zu vielen Werten oder zu großen Zahlen",
        "JSON of more than 63 levels, more than 64 KiB, too many values or too large numbers",
    ),
    "date_invalid": Error(400, "{} ist kein gültiges Datum", "{} is not a valid date"),
    "date_out_of_range": Error(400, "Datum außerhalb der Jahre 1 bis 9999", "date outside of the years 1 to 9999"),
    "currency_unknown": Error(400, "Unbekannte Währung", "unknown currency"),
    "amount_out_of_range": Error(
        400,
        "Betrag muss eine ganze, nicht negative Zahl in Minor Units (Cent) sein, höchstens 9007199254740991",
        "amount out of range: whole minor units (cents), at most 9007199254740991",
    ),
    "duration_out_of_range": Error(
        400,
        "Dauer muss positiv sein, höchstens 525600 Minuten bzw. 100 Jahre",
        "a duration must be positive, at most 525600 minutes or 100 years",
    ),
    "interest_out_of_range": Error(
        400,
        "Zinssatz muss ein Anteil von 0 bis 99.9999 mit höchstens vier Nachkommastellen sein",
        "interest must be a fraction from 0 to 99.9999 with at most four decimals",
    ),
    "uid_invalid": Error(400, "Uid muss 1 bis 255 Zeichen haben", "uid must have 1 to 255 characters"),
    "not_signed_in": Error(401, "Nicht angemeldet", "not signed in"),
    "session_required": Error(
        401,
        "Keine Sitzung: Bitte die Seite neu laden und Cookies erlauben",
        "no session: please reload the page, and allow cookies",
    ),
    "session_ended": Error(
        401, "Sitzung beendet: Bitte die Seite neu laden", "the session has ended: please reload the page"
    ),
    "too_many_claims": Error(
        429, "Zu viele neue Uids, bitte später noch einmal", "too many new uids, please try again later"
    ),
    "thinker_not_claimed": Error(404, "Keine Sitzung hat diese Uid", "no session has this uid"),
    "not_yourself": Error(403, "Nur für die eigene Uid erlaubt", "allowed for your own uid only"),
    "not_an_admin": Error(403, "Nur Admins dürfen das sehen", "only admins may see this"),
    "not_a_server": Error(403, "Nur für vertrauenswürdige Server", "only trusted servers may do this"),
    "append_only": Error(403, "Was geschehen ist, bleibt geschrieben", "what happened stays written"),
    "foreign_origin": Error(
        403,
        "Anfrage von einer anderen Herkunft (Origin oder Host)",
        "request from another origin (Origin or Host)",
    ),
    "token_keys_away": Error(
        503,
        "Token kann gerade nicht geprüft werden, bitte gleich noch einmal",
        "the token cannot be checked now, please try again shortly",
    ),
    "idempotency_key_invalid": Error(
        400, "Idempotency-Key muss 1 bis 255 Zeichen haben", "Idempotency-Key must have 1 to 255 characters"
    ),
    "request_in_progress": Error(
        409,
        "Eine Anfrage mit diesem Idempotency-Key läuft noch, bitte gleich noch einmal",
        "a request with this Idempotency-Key is in progress, please try again shortly",
    ),
    "idempotency_key_reused": Error(
        422,
        "Dieser Idempotency-Key gehört zu einer anderen Anfrage",
        "this Idempotency-Key belongs to another request",
    ),
    "query_too_large": Error(
        400,
        "Anfrage mit mehr als 10 Umwandlungen (::), mehr als 16 KiB SQL oder like(any)",
        "query with more than 10 casts (::), more than 16 KiB of SQL or like(any)",
    ),
    "unsupported_encoding": Error(415, "unsupported content encoding", "unsupported content encoding"),
    "too_large": Error(413, "request body too large", "request body too large"),
    "body_timeout": Error(408, "request body too slow", "request body too slow"),
    "daily_limit_reached": Error(429, "Tageslimit erreicht ({})", "daily limit reached ({})"),
    "rate_limited": Error(429, "rate limit exceeded", "rate limit exceeded"),
    "database_away": Error(
        503,
        "Datenbank nicht erreichbar, bitte gleich noch einmal",
        "database not available, please try again shortly",
    ),
    "database_read_only": Error(
        503,
        "Datenbank erlaubt gerade nur Lesen, bitte später noch einmal",
        "database read-only at the moment, please try again later",
    ),
    "busy": Error(503, "Datenbank ausgelastet, bitte gleich noch einmal", "database busy, please try again shortly"),
    "outcome_unknown": Error(
        503,
        "Verbindung zur Datenbank verloren: die Anfrage kann ausgeführt worden sein oder nicht",
        "connection to the database lost: the request may or may not have been carried out",
    ),
    # health
    "not_migrated": Error(
        503,
        "Die Datenbank hat andere Migrationen als dieser Server",
        "the database has other migrations than this server",
    ),
    "stopping": Error(503, "Der Server wird beendet", "the server is stopping"),
    # presence
    "token_required": Error(400, "token fehlt", "token fehlt"),
    "token_expired": Error(401, "Token abgelaufen", "Token abgelaufen"),
    "signature_invalid": Error(401, "Signatur ungültig", "Signatur ungültig"),
    "thinker_required": Error(400, "thinker_id fehlt", "thinker_id fehlt"),
    "pair_code_invalid": Error(
        400, "pair_code muss 1 bis 255 Zeichen haben", "pair_code must have 1 to 255 characters"
    ),
    # voucher and slots
    "issuer_required": Error(400, "issuerUid ist erforderlich", "issuerUid is required"),
    "voucher_required": Error(400, "voucherId ist erforderlich", "voucherId is required"),
    "voucher_not_found": Error(404, "Voucher nicht gefunden", "voucher not found"),
    "voucher_exists": Error(409, "Voucher existiert bereits", "voucher exists already"),
    "voucher_status_unknown": Error(
        400,
        "status muss issued, booked, consumed, cancelled oder expired sein",
        "status must be issued, booked, consumed, cancelled or expired",
    ),
    "price_invalid": Error(400, "price muss {{amount, currency}} sein", "price must be {{amount, currency}}"),
    "valid_until_before_valid_from": Error(400, "validUntil liegt vor validFrom", "validUntil is before validFrom"),
    "booking_fields_required": Error(
        400,
        "voucherId, slotId und holderUid sind erforderlich",
        "voucherId, slotId and holderUid are required",
    ),
    "voucher_not_bookable": Error(
        400,
        "Voucher hat Status {} und kann nicht gebucht werden",
        "voucher has status {} and cannot be booked",
    ),
    "slot_not_offered": Error(400, "Slot nicht verfügbar", "slot not available"),
    "slot_taken": Error(400, "Slot nicht verfügbar", "slot already booked"),
    "too_many_bookings": Error(
        409,
        "Mehr als {} Buchungen, die noch nicht vorbei sind, sind nicht erlaubt",
        "more than {} bookings that are not over are not allowed",
    ),
    "booking_or_voucher_required": Error(
        400, "voucherId oder bookingId ist erforderlich", "voucherId or bookingId is required"
    ),
    "booking_not_found": Error(404, "Buchung nicht gefunden", "booking not found"),
    "booking_is_cancelled": Error(409, "Stornierte Buchung bleibt storniert", "a cancelled booking stays cancelled"),
    "not_a_party": Error(403, "Nur Aussteller oder Inhaber dürfen stornieren", "only issuer or holder may cancel"),
    # mortgages
    "borrower_header_required": Error(
        400, "X-MOT-User Header (borrowerUid) ist erforderlich", "X-MOT-User header (borrowerUid) is required"
    ),
    "lender_header_required": Error(
        400, "X-MOT-User Header (issuerId) ist erforderlich", "X-MOT-User header (issuerId) is required"
    ),
    "user_header_required": Error(400, "X-MOT-User Header ist erforderlich", "X-MOT-User header is required"),
    "role_unknown": Error(400, "Ungültige Rolle, erwarte borrower oder lender", "role must be borrower or lender"),
    "not_a_lender": Error(403, "Nur Lender dürfen alle Anträge sehen", "only lenders may see all applications"),
    "lender_role_required": Error(403, "Nur Lender dürfen Angebote machen", "only lenders may make offers"),
    "loan_invalid": Error(
        400, "desiredLoan muss {{amount, currency}} sein", "desiredLoan must be {{amount, currency}}"
    ),
    "rate_type_unknown": Error(
        400, "desiredRateType muss fixed oder variable sein", "desiredRateType must be fixed or variable"
    ),
    "application_status_unknown": Error(
        400,
        "status muss open, offered, accepted oder rejected sein",
        "status must be open, offered, accepted or rejected",
    ),
    "application_exists": Error(409, "Application existiert bereits", "application exists already"),
    "application_required": Error(400, "applicationId ist erforderlich", "applicationId is required"),
    "application_not_found": Error(404, "Application nicht gefunden", "application not found"),
    "application_closed": Error(
        409,
        "Application hat Status {} und nimmt keine Angebote an",
        "application has status {} and takes no offers",
    ),
    "offer_exists": Error(409, "Offer existiert bereits", "offer exists already"),
    "offer_required": Error(400, "voucherId ist erforderlich", "voucherId is required"),
    "offer_not_found": Error(404, "Offer nicht gefunden", "offer not found"),
    "offer_not_open": Error(
        400,
        "Offer hat Status {} und kann nicht akzeptiert werden",
        "offer has status {} and cannot be accepted",
    ),
    "not_the_offers_borrower": Error(
        403, "Offer gehört nicht zu diesem Borrower", "offer does not belong to this borrower"
    ),
    "signing_fields_required": Error(
        400, "contractVoucherId und action sind erforderlich", "contractVoucherId and action are required"
    ),
    "mortgage_contract_not_found": Error(404, "Contract nicht gefunden", "contract not found"),
    "signer_unknown": Error(400, "Unbekannte action", "unknown action"),
    "not_the_borrower": Error(403, "Nur der Borrower darf diese Aktion durchführen", "only the borrower may do this"),
    "not_the_lender": Error(403, "Nur der Lender darf diese Aktion durchführen", "only the lender may do this"),
    "not_a_notary": Error(403, "Nur ein Notar darf diese Aktion durchführen", "only a notary may do this"),
    # telbank
    "direction_unknown": Error(400, "Invalid direction", "Invalid direction"),
    "amounts_required": Error(
        400,
        "cryptoAmount, cryptoSymbol, fiatAmount and fiatCurrency are required as numbers/strings",
        "cryptoAmount, cryptoSymbol, fiatAmount and fiatCurrency are required as numbers/strings",
    ),
    "transfer_not_found": Error(404, "Not found", "Not found"),
    # contracts
    "multipart_expected": Error(400, "expected multipart/form-data", "expected multipart/form-data"),
    "file_required": Error(400, "file field is required", "file field is required"),
    "contract_not_found": Error(404, "contract not found", "contract not found"),
    "not_your_room": Error(403, "only who is in the room may do this", "only who is in the room may do this"),
    "uploads_busy": Error(
        503, "too many uploads at once, please try again shortly", "too many uploads at once, please try again shortly"
    ),
    "your_documents_full": Error(403, "no space left for documents of yours", "no space left for documents of yours"),
    "storage_full": Error(507, "document store is full", "document store is full"),
    "storage_away": Error(503, "document store not available", "document store not available"),
    # telemetry and admin
    "proof_required": Error(400, "key oder token ist erforderlich", "key or token is required"),
    "key_invalid": Error(401, "invalid api key", "invalid api key"),
    "token_invalid": Error(401, "invalid token", "invalid token"),
    "events_required": Error(400, "an array of events is required", "an array of events is required"),
    "too_many_events": Error(413, "more than 1000 events", "more than 1000 events"),
    "voucher_is_booked": Error(409, "Voucher ist gebucht: sein Preis bleibt", "voucher is booked: its price stays"),
    "statement_too_long": Error(
        409,
        "zu viele Posten für ein PDF: portal statement ID --format pdf",
        "too many fees for a PDF: portal statement ID --format pdf",
    ),
    "pdf_not_installed": Error(
        501, "das Paket `pdf` ist nicht installiert", "the extra `pdf` is not installed (docs/operation.md)"
    ),
    "period_invalid": Error(
        400,
        "Ein Zeitraum geht von einem Tag bis vor einen späteren",
        "a period goes from a day to before a later one",
    ),
    "days_invalid": Error(
        400,
        "Ein Zeitraum hat 1 bis 1096 Tage in den Jahren 1 bis 9999",
        "a period has 1 to 1096 days of the years 1 to 9999",
    ),
    "reason_required": Error(400, "Ein Grund ist erforderlich", "a reason is required"),
    "fee_event_not_found": Error(404, "Gebühr nicht gefunden", "charge not found"),
    "fee_already_reversed": Error(409, "Gebühr ist schon zurückgenommen", "charge is already reversed"),
    "adjustment_refused": Error(
        409,
        "Korrektur nicht möglich: von der Gebühr sind {} übrig (Minor Units)",
        "adjustment not possible: of the charge {} is left (minor units)",
    ),
    "nothing_to_invoice": Error(
        409, "Die Summe ist null: nichts zu berechnen", "the total is zero: there is nothing to invoice"
    ),
    "nothing_to_pay": Error(409, "Nichts offen, das bezahlt werden kann", "nothing is owed that can be paid"),
    "payment_invalid": Error(
        400,
        "Eine Zahlung braucht einen positiven Betrag, einen Tag bis heute und höchstens 1000 Zeichen Referenz",
        "a payment needs a positive amount, a day not after today and at most 1000 characters of reference",
    ),
    "payment_too_high": Error(409, "Zahlung ist höher als der offene Betrag", "the payment is more than what is owed"),
    "settlement_has_payments": Error(
        409, "Abrechnung ist schon teilweise bezahlt", "a part of the settlement is already paid"
    ),
    "settlement_not_found": Error(404, "Abrechnung nicht gefunden", "settlement not found"),
    "settlement_move_refused": Error(
        409, "Abrechnung mit Status {} erlaubt das nicht", "a settlement with status {} does not allow that"
    ),
    # erasing a person, by the command line only
    "thinker_not_found": Error(404, "Niemand hat diese Uid", "nobody has this uid"),
    "thinker_has_obligations": Error(409, "Vorher muss enden: {}", "not erased, because this has to end first: {}"),
    "limit_invalid": Error(400, "limit must be a whole number", "limit must be a whole number"),
}


class ApiError(Exception):
    """An error for the client: a code of ERRORS, and the detail that fills `{}` in its message.

    `retry_after` is the value of the header Retry-After; empty if the client need not wait.
    """

    def __init__(self, code: str, detail: str = "", retry_after: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        """The HTTP status of the legacy API."""
        return ERRORS[self.code].status

    def message(self, language: Language) -> str:
        """The message of the legacy API."""
        text = ERRORS[self.code]
        return (text.en if language == "en" else text.de).format(self.detail)


class PortalError(Exception):
    """An expected failure of a command. Its message is one sentence for the user."""
