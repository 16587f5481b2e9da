"""Work on each content of a gallery once, after its pictures are indexed: in child processes, resumably."""
