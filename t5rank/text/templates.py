"""The prompts of the papers, as templates."""

RANKT5 = "Query: {query} Document: {document}"
MONOT5 = "Query: {query} Document: {document} Relevant:"
