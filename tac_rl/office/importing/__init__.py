"""Read a company from a running stack through the services' own APIs, as an overlay."""
