"""The field's words as types, on numpy and the standard library alone."""
