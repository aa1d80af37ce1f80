"""One small file a codec family, and the registry that finds them and third parties' own."""
