"""Secrets and raw payloads, sealed under a key of each tenant's own."""
