"""Changes over HTTP: labels and albums, each of which can be taken back for a while."""
