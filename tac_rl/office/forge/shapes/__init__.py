"""The JSON of GitLab's answers: a TypedDict for the document, and the function that fills it."""
