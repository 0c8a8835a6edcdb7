"""What the keys of a command line may be: ranges, choices, names. Nothing heavy is imported here."""
