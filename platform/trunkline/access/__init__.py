"""Connect sessions: the product's leave for one of its users to connect an account."""
