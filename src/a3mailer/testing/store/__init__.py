"""The rules every store keeps, by their nouns; ``testing.mailstore`` puts them together."""
