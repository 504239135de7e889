"""The forge, with GitLab's REST API v4 over real git repositories."""
