-- When a stream is beyond its target, kept by the row itself; and what the console looks at first, whatever sleeps.
ALTER TABLE streams ADD COLUMN freshness_chosen BOOLEAN DEFAULT false NOT NULL;
ALTER TABLE streams ADD COLUMN late_at TIMESTAMP WITH TIME ZONE GENERATED ALWAYS AS (CASE WHEN paused_at IS NULL AND next_due_at IS NOT NULL THEN (coalesce(last_success_at, created_at) AT TIME ZONE 'UTC' + make_interval(secs => greatest(freshness_seconds, 2 * schedule_seconds))) AT TIME ZONE 'UTC' END) STORED;
CREATE INDEX ix_streams_late ON streams (late_at) WHERE late_at IS NOT NULL;
CREATE INDEX ix_streams_troubled ON streams (tenant_id, connection_id) WHERE (paused_at IS NULL AND failures > 0) OR (paused_at IS NOT NULL AND cause IS NOT NULL AND cause NOT IN ('paused_by_member', 'disconnected_by_member'));
CREATE INDEX ix_connections_lost ON connections (tenant_id, id) WHERE state = 'reconnect_required';
CREATE INDEX ix_issues_review ON issues (tenant_id, connection_id, stream) WHERE resolved_at IS NULL AND cause = 'mass_deletion';
CREATE INDEX ix_issues_waiting ON issues (cause, opened_at, id) WHERE resolved_at IS NULL;
GRANT SELECT (late_at) ON streams TO trunkline_console;
