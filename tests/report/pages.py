"""Reads pages and Markdown with parsers that are not ours."""

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """A page's tables (rows of cells' texts), headings, links and text."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.tags, self.attributes, self.text = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag in ("small", "sub") and self.tables and self.tables[-1][-1]:
            self.tables[-1][-1][-1] += "\n"

    def handle_data(self, data):
        self.text += data
        if self.tables and self.tables[-1] and self.tables[-1][-1] and data.strip():
            self.tables[-1][-1][-1] += data

    def handle_endtag(self, tag):
        if tag == "table":
            self.tables.append([])  # what follows is in none

    def table(self, first):
        """The table whose header begins with a word: {first cell's first line: row}."""
        (found,) = [table for table in self.tables if table and table[0][0] == first]
        return {row[0].split("\n")[0]: row for row in found}


def markdown_page(text):
    """The page that CommonMark with tables makes of the text."""
    from markdown_it import MarkdownIt

    return Page(MarkdownIt("commonmark", {"html": True}).enable("table").render(text))


def cells(page):
    """All cells of all tables, each without white space."""
    return [
        [[re.sub(r"\s", "", cell) for cell in row] for row in table]
        for table in page.tables
        if table
    ]
