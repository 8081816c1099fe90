"""Partners' connectors: archives of data that staff take in, approve, upgrade and withdraw."""
