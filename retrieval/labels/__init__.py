"""Tags and captions by people, predictions by models, XMP, zero-shot labels."""
