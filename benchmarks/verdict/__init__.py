"""The study behind the verdict at the end of a training; see `study`."""
