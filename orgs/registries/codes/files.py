"""What is wrong with a file, or with a row of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .row import Code, field

CODES: Mapping[str, Code] = MappingProxyType(
    {
        "ambiguous_entry": field(
            "Several entries may be meant.", short="several entries may be meant"
        ),
        "duplicate_row": field(
            "Another row is for the same entry.", short="the same pattern as another row"
        ),
        "needs_update": field(
            "The entry stands already, and differs.", short="differs from the entry that stands"
        ),
        "formula_error": field(
            "The cell's formula gives no value.", short="a formula without a value"
        ),
        "not_a_boolean": field("This is neither true nor false.", short="neither true nor false"),
        "field_of_other_type": field(
            "The field belongs to another type.", short="belongs to another type"
        ),
        "duplicate_column": field("The column stands twice.", short="stands twice"),
        "unknown_column": field("There is no such column.", short="no such column"),
        "not_an_entry": field("This isn't an entry.", short="not an entry"),
        "too_deep": field("The file is nested too deep.", short="nested too deep"),
        "too_many_blank_rows": field(
            "The file has too many blank rows.", short="too many blank rows"
        ),
        "unknown_format": field("The file is of no known format.", short="of no known format"),
        "invalid_yaml": field("The file isn't a valohai.yaml.", short="not a valohai.yaml"),
        "no_header": field("No row names the columns.", short="no row names the columns"),
        "missing_column": field("A column is missing.", short="a column is missing"),
        "too_many_columns": field("The file has too many columns.", short="too many columns"),
        "too_many_rows": field("The file has too many rows.", short="too many rows"),
        "too_many_cells": field("The file has too many cells.", short="more cells than the header"),
        "too_many_places": field(
            "The file's patterns and environments are too many together.",
            short="too many patterns and environments",
        ),
        "too_many_errors": field(
            "The file has more errors than are told.", short="too many errors"
        ),
        "too_much_work": field("The file takes too long to read.", short="takes too long to read"),
        "unreadable_file": field("The file can't be read.", short="can't be read"),
        "wrong_encoding": field(
            "Which letters the file has can't be told.", short="letters that can't be told"
        ),
        "password_elsewhere": field(
            "The password isn't in the file: a helper keeps it.",
            short="the password isn't in the file",
        ),
        "broken_quotes": field(
            "A quote in the file isn't closed.", short="a quotation mark isn't closed"
        ),
        "not_a_list": field(
            "The file doesn't hold a list of entries.", short="not a list of entries"
        ),
        "yaml_alias": field("The file has aliases, which aren't read.", short="a YAML alias"),
        "yaml_tag": field("The file has tags, which aren't read.", short="a YAML tag"),
        "changed_meanwhile": Code(
            "It was changed meanwhile.",
            409,
            short="changed meanwhile",
            fix="Read it again, and change that.",
        ),
    }
)
