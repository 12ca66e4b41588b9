"""Amounts of money as people write them: exact decimals."""

import re
from decimal import Decimal

import typer

from api.errors import PortalError


def major(minor: int | str | None, exponent: int) -> str:
    """Minor units as an exact decimal: 1234 cents are 12.34. Empty for None."""
    return "" if minor is None else f"{Decimal(minor).scaleb(-exponent):f}"


def minor(amount: Decimal, exponent: int, currency: str) -> int:
    """A decimal as minor units: 12.34 are 1234 cents. Raises PortalError where it has more decimals than those."""
    scaled = amount.scaleb(exponent)
    if scaled != scaled.to_integral_value():
        raise PortalError(f"{amount:f} has more decimals than {currency}, which has {exponent}.")
    return int(scaled)


def read_amount(text: str) -> Decimal:
    """The amount of an option. Raises BadParameter for what is no positive decimal number."""
    if not re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,6})?", text) or not Decimal(text):
        raise typer.BadParameter(f"{text!r} is no positive amount such as 12.50.")
    return Decimal(text)
