"""The tracker, with Plane's API v1."""
