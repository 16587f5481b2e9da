"""Worker threads with bounded job queues: the engine thread and the catalog readers."""
