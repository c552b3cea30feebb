"""One file a section of the page: contract records in, what the template shows out."""
