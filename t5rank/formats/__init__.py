"""Reading and writing of text files, JSON, Markdown and numbers."""
