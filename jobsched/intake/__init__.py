"""From a wish to a committed row, and from a row that nobody wants any more to none."""
