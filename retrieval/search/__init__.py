"""From what somebody asks to ranked hits: the language, the engine, pages, relevance."""
