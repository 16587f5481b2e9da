"""What lies on the disk: model folders, weights, merge tables; read and written with every field checked."""
