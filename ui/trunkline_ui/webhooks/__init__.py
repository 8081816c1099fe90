"""Webhook endpoints and what was sent to them: the same pages in the portal and in the console."""
