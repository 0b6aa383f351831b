"""How each data set lies on disk: one file reads a layout's annotations, one row says where its files are."""
