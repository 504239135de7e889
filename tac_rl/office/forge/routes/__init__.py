"""Endpoints of the REST API v4: one router a resource."""
