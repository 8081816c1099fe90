"""A person's own account, for members and staff alike."""
