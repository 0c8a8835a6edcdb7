"""One module per data set: layout, protocol, owner, licence, caveats, references."""
