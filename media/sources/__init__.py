"""Where calls come from: a file an SFU, or the participants themselves (`direct`)."""
