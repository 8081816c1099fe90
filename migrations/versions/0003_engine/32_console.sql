-- The console pages through names instead of reading every tenant's.
CREATE INDEX ix_tenants_listing ON tenants (lower(name), id);
