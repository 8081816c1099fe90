-- How many turns a tenant's work gets for each of another's.
ALTER TABLE tenants ADD COLUMN weight INTEGER DEFAULT 1 NOT NULL CONSTRAINT ck_tenants_weight CHECK (weight BETWEEN 1 AND 100);
