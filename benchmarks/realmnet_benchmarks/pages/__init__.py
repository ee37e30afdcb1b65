"""Reports as documents: sections of tables and figures, as HTML, Markdown, text and JSON."""
