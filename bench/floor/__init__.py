"""What a cached login over HTTP can't fall below, served as the product is, to compare with."""
