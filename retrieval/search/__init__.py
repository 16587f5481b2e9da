"""From queries to ranked hits: query syntax, engine, pages, relevance."""
