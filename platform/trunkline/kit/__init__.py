"""The connector kit: what partners, and we ourselves, make and prove connectors with."""
