"""Customers' accounts at providers: the OAuth flow, the tokens, the life of a connection."""
