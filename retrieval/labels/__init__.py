"""What people say about pictures and what a model believes: tags, captions, XMP, zero-shot labels."""
