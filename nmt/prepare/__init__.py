"""From text to prepared data: blocks of records are cleaned, compared, encoded and put together."""
