"""Installing models: download, conversion, export."""
