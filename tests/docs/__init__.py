"""The documentation is true: links, citations, commands, Python, and what stands in two places."""
