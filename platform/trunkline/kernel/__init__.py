"""What has no domain: settings, database, servers, errors."""
