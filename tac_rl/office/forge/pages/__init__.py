"""Plain pages for people and browsing agents: no scripts, everything escaped, forms for the daily things."""
