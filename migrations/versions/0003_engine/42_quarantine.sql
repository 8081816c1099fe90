-- What was set aside is tried again: by itself while its cause may pass, or when somebody asks for it.
ALTER TABLE quarantine ADD COLUMN tries INTEGER DEFAULT 1 NOT NULL;
ALTER TABLE quarantine ADD COLUMN tried_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL;
ALTER TABLE quarantine ADD COLUMN passing BOOLEAN DEFAULT false NOT NULL;
ALTER TABLE quarantine ADD COLUMN asked_at TIMESTAMP WITH TIME ZONE;
CREATE INDEX ix_quarantine_stream ON quarantine (tenant_id, connection_id, stream, external_id);
CREATE INDEX ix_quarantine_asked ON quarantine (tenant_id, connection_id, stream, external_id) WHERE asked_at IS NOT NULL;
