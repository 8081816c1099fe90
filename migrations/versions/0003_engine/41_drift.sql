-- A stream's fields as last seen at the provider, and how they differ from what its recipes were built on.
ALTER TABLE streams ADD COLUMN known_fields JSONB;
ALTER TABLE streams ADD COLUMN fields_checked_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE streams ADD COLUMN drift JSONB;
