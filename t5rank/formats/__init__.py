"""How text files, JSON, Markdown and numbers are written and read."""
