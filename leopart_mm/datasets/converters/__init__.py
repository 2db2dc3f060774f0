"""Converting published data sets and masks; tools/dataset_converters are their command lines."""
