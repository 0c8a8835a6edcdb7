"""The commands behind scripts/: arguments checked before heavy imports, errors in one line."""
