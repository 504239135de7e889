"""What happens to the forge's state: one module a resource. API, pages and overlays go through here."""
