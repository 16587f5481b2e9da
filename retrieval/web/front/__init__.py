"""What stands in front of every request and behind every answer: hosts, origins, tokens, limits, headers, problems."""
