"""Resets and health checks, with the API of TAC's api-server."""
