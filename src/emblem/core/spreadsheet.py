"""Texts as cells of a CSV file. Pure."""

_BEGIN_FORMULAS = tuple("=+-@\t\r\n")


def cell(text: str) -> str:
    """Keep what a client wrote from being a formula where a spreadsheet opens it.

    Source: OWASP, "CSV Injection". Who reads the file otherwise takes one leading ' away.
    """
    return f"'{text}" if text.startswith(_BEGIN_FORMULAS) else text
