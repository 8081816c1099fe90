"""The console: what support sees, and what staff administrators may do."""
