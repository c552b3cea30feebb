"""One file a change of the tables, in order; none is edited once it was released."""
