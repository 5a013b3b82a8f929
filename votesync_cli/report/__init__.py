"""A run as a report: what came of it in numbers, from recorded evidence; the plots, the page and the Markdown of it."""
