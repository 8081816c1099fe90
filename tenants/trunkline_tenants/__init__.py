"""Who the tenants are: members, sessions, API keys."""
